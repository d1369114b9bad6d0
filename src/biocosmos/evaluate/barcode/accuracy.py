"""How often the nearest barcode is right: by rank, by what the gallery knows of the query's species, and by its rarity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.numbers.targets import Target

Array = npt.NDArray[Any]
Row = dict[str, Any]
ALL, SEEN, UNSEEN, UNNAMED = "all", "seen species", "unseen species", "no species name"
RARITY = (("1", 1, 1), ("2-5", 2, 5), ("6-20", 6, 20), ("more than 20", 21, None))
"""Name, fewest and most specimens of the query's species in the gallery."""

ACCURACY = pa.schema(
    [("encoder", pa.string()), ("group", pa.string()), ("rank", pa.string()), ("average", pa.string())]
    + [(name, pa.float64()) for name in ("value", "low", "high")]
    + [(name, pa.int64()) for name in ("right", "queries", "taxa", "unanswerable", "nameless", "tied")]
    + [(name, pa.float64()) for name in ("at_worst", "at_best")]
)
"""tied: queries that are equally near to specimens with several names at the rank, so that the order of the gallery answered;
at_worst, at_best: the share right had each of them been answered wrong, or right where one of the names is."""


def named(rows: Array, target: Target) -> tuple[Array, Array]:
    """What the nearest barcode with a name at the rank says: (codes (q,), -1 where no neighbour has one; its gallery row (q,)).

    rows: (q, k) int64 neighbours, best first, -1 for none.
    """
    codes = np.append(target.gallery, -1)[rows]
    has = codes >= 0
    first = has.argmax(axis=1) if rows.shape[1] else np.zeros(len(rows), np.int64)
    if not rows.shape[1]:
        return np.full(len(rows), -1, np.int64), np.full(len(rows), -1, np.int64)
    at, any_ = np.arange(len(rows)), has.any(axis=1)
    return np.where(any_, codes[at, first], -1), np.where(any_, rows[at, first], -1).astype(np.int64)


def ties(rows: Array, tied: Array, target: Target) -> tuple[Array, Array]:
    """(whether the nearest with a name disagree at the rank, whether one of them is right), (q,) bool each.

    rows: as for :func:`named`; tied: (q, k) bool, neighbours exactly as near as the first.
    """
    codes = np.where(tied, np.append(target.gallery, -1)[rows], -1)
    most = codes.max(axis=1, initial=-1)
    least = np.where(codes < 0, len(target), codes).min(axis=1, initial=len(target))
    right = ((codes == target.query[:, None]) & (codes >= 0)).any(axis=1)
    return (most >= 0) & (least < most), right


def groups_of(species: Target) -> Iterator[tuple[str, Array]]:
    """All queries (q,) bool, then those whose species the gallery has, those it has not, and those without one; none empty."""
    able = species.answerable(all_vs_all=False)
    has = species.query >= 0
    yield ALL, np.ones(len(has), bool)
    for name, mask in ((SEEN, able), (UNSEEN, has & ~able), (UNNAMED, ~has)):
        if mask.any():
            yield name, mask


def rarity_of(species: Target) -> Iterator[tuple[str, Array]]:
    """Queries by how many specimens of their species the gallery has; none that is empty."""
    counts = np.append(species.gallery_counts(), 0)[species.query] * (species.query >= 0)
    for name, low, high in RARITY:
        mask = (counts >= low) & (counts <= (high or counts.max(initial=low)))
        if mask.any():
            yield name, mask


def accuracy_rows(
    encoder: str,
    rows: Array,
    tied: Array,
    targets: Sequence[Target],
    groups: Sequence[tuple[str, Array]],
    boot: Bootstrap,
) -> list[Row]:
    """Micro and macro averages at every rank, of each group, over the queries that the gallery can answer.

    rows, tied: (q, k) neighbours as for :func:`ties`. unanswerable: queries of the group whose taxon is not in the gallery, who
    are in no average; nameless: those without a name at the rank.
    """
    out = []
    for target in targets:
        said, _ = named(rows, target)
        able, same = target.answerable(all_vs_all=False), said == target.query
        disagree, could = ties(rows, tied, target)
        for group, mask in groups:
            kept, has = able & mask, (target.query >= 0) & mask
            counts = np.bincount(target.query[kept], minlength=len(target))
            right = np.bincount(target.query[kept & same], minlength=len(target))
            open_, size = kept & disagree, max(int(kept.sum()), 1)
            ends_ = ((kept & same & ~disagree).sum() / size, ((kept & same & ~disagree) | (open_ & could)).sum() / size)
            about = {"encoder": encoder, "group": group, "rank": target.name, "right": int(right.sum())}
            about |= {"queries": int(kept.sum()), "taxa": int((counts > 0).sum())}
            about |= {"unanswerable": int((has & ~able).sum()), "nameless": int((mask & ~has).sum()), "tied": int(open_.sum())}
            about |= dict(zip(("at_worst", "at_best"), map(float, ends_))) if kept.any() else {}
            for average, value in (("micro", boot.micro(right, counts)), ("macro", boot.macro(right, counts))):
                ends = value if kept.any() else (None, None, None)
                out.append({**about, "average": average, "value": ends[0], "low": ends[1], "high": ends[2]})
    return out
