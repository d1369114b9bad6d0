"""Names with and without a prior of places, specimen by specimen, and those that flipped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.prior_changes.page import page
from biocosmos.evaluate.report import Report
from biocosmos.identify.predictions import Predictions

Row = dict[str, Any]
MENDED, BROKEN, OTHER, SAME = "mended", "broken", "still wrong", "same"
KINDS = (MENDED, BROKEN, OTHER, SAME)
"""Wrong without the prior and right with it; right and then wrong; another wrong name; the same name."""
CHANGED = pa.schema(
    [(name, pa.string()) for name in ("id", "kind", "rank", "truth", "without", "with")]
    + [("p_without", pa.float64()), ("p_with", pa.float64()), ("place", pa.string())]
)
RANKS = pa.schema(
    [("rank", pa.string()), ("specimens", pa.int64()), ("right_without", pa.float64()), ("right_with", pa.float64())]
    + [(name, pa.float64()) for name in ("difference", "low", "high")]
    + [(kind.replace(" ", "_"), pa.int64()) for kind in KINDS]
)
FEW = 20


@dataclass
class Changes:
    """Gathers what a namer says without and with a prior, block by block. name: of the namer."""

    name: str
    ranks: tuple[str, ...] = ()
    rows: list[Row] = field(default_factory=list)
    right: list[np.ndarray] = field(default_factory=list)
    unplaced: int = 0

    def add(self, without: Predictions, combined: Predictions, place: pa.ChunkedArray) -> None:
        """The same specimens twice; place: what the prior says of each, null where no place is known; those are counted only.

        A name is right at a rank where it is the true taxon there; specimens are judged at the ranks at which they are known.
        """
        self.ranks = without.ranks
        told = np.array([text is not None for text in place.to_pylist()], np.bool_)
        self.unplaced += int((~told).sum())
        rows = np.flatnonzero(told & without.answerable)
        if not len(rows):
            return
        tree, texts = without.taxonomy, place.take(pa.array(rows)).to_pylist()
        truth = tree.lineage(without.truth[rows])
        (first, p_first), (second, p_second) = (said.subset(rows).best_path() for said in (without, combined))
        known = truth >= 0
        self.right.append(np.stack([known, known & (first == truth), known & (second == truth), first == second], axis=2))
        deepest = np.where(known, np.arange(truth.shape[1]), -1).max(axis=1)
        for row, (number, rank) in enumerate(zip(rows, deepest, strict=True)):
            one, other, own = int(first[row, rank]), int(second[row, rank]), int(truth[row, rank])
            if one == other:
                continue
            kind = MENDED if other == own else BROKEN if one == own else OTHER
            self.rows.append(
                {
                    "id": str(without.ids[number]),
                    "kind": kind,
                    "rank": tree.ranks[rank],
                    "truth": tree.name(own),
                    "without": tree.name(one) if one >= 0 else None,
                    "with": tree.name(other) if other >= 0 else None,
                    "p_without": float(p_first[row, rank]),
                    "p_with": float(p_second[row, rank]),
                    "place": texts[row],
                }
            )


def prior_changes(
    changes: Changes, *, title: str, seed: int = 0, note: str = "", provenance: dict[str, Any] | None = None
) -> Report:
    """Tables ranks (right with and without at each rank, their difference with its interval, how many changed how) and changed.

    note: how the prior was combined. Raises BiocosmosError where no specimen has a place and a known name.
    """
    if not changes.right:
        raise BiocosmosError("no specimen asked about has a place and a name: what the prior changes cannot be judged")
    right = np.concatenate(changes.right)
    boot = Bootstrap(seed=seed)
    rows = [_rank(rank, right[:, number], boot) for number, rank in enumerate(changes.ranks) if right[:, number, 0].any()]
    tables = {
        "ranks": pa.Table.from_pylist(rows, RANKS),
        "changed": pa.Table.from_pylist(changes.rows, CHANGED),
    }
    facts = {
        "encoders": {},
        "judged": changes.name,
        "specimens": len(right),
        "unplaced": changes.unplaced,
        "combined": note,
        **(provenance or {}),
    }
    caveats = ["A prior of places tells where people collected, not where taxa live: it makes rare finds look wrong."]
    if changes.unplaced:
        caveats.append(f"{changes.unplaced:,} specimens have no place, so that nothing changed for them; they are not counted.")
    if len(right) < FEW:
        caveats.append(f"{len(right)} specimens are few: the next ones may say otherwise.")
    return Report("prior_changes", title, tables, caveats, facts, page)


def _rank(rank: str, right: np.ndarray, boot: Bootstrap) -> Row:
    """right: (n, 4) bool known, at least one of them, right without, right with, the same name."""
    known = right[right[:, 0]]
    one, other, same = known[:, 1], known[:, 2], known[:, 3]
    counts = {
        MENDED: ~one & other,
        BROKEN: one & ~other,
        OTHER: ~one & ~other & ~same,
        SAME: same,
    }
    sums = {kind: int(rows.sum()) for kind, rows in counts.items()}
    found = boot.paired_micro(*(np.array([n]) for n in (sums[MENDED], sums[BROKEN], len(known))))
    return {
        "rank": rank,
        "specimens": len(known),
        "right_without": float(one.mean()),
        "right_with": float(other.mean()),
        "difference": found.value,
        "low": found.low,
        "high": found.high,
        **{kind.replace(" ", "_"): count for kind, count in sums.items()},
    }
