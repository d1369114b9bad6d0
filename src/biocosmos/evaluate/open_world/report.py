"""Seen and unseen species, two parts, asked of one gallery: the protocol of CLIBD, and of BIOSCAN-5M's 1-NN probe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.bootstrap import CONFIDENCE, DRAWS, Bootstrap
from biocosmos.evaluate.numbers.targets import Target, rank_targets
from biocosmos.evaluate.open_world.page import page
from biocosmos.evaluate.open_world.published import (
    ACCURACY,
    DNA,
    GENUS_OF_UNSEEN,
    IMAGE,
    SPECIES_FINE_TUNED,
    SPECIES_LINEAR,
    SPECIES_OF_SEEN,
    measured,
    published_table,
    retrieval_task,
)
from biocosmos.evaluate.open_world.scores import MEASURES, answer_scores, harmonic_mean, share_within
from biocosmos.evaluate.report import Report, split_hash
from biocosmos.evaluate.retrieval.report import check_apart
from biocosmos.search.gallery import Gallery

Array = npt.NDArray[Any]
Row = dict[str, Any]
Search = Callable[[Gallery, Gallery, int], Array]
"""(gallery, queries, k) -> (q, k) int64 rows of the gallery, best first, -1 for none."""
KS = (1, 3, 5)
SEEN, UNSEEN = "seen", "unseen"
SPECIES, GENUS = "species", "genus"
NEAREST, LINEAR, FINE_TUNED = "nearest", "linear", "fine-tuned"
"""How an answer was found: by 1-NN, by a softmax on frozen vectors, by the head that the encoder was fine-tuned with."""
OPEN_WORLD = pa.schema(
    [("encoder", pa.string()), ("rank", pa.string()), ("k", pa.int64()), ("average", pa.string())]
    + [(f"{part}{end}", pa.float64()) for part in (SEEN, UNSEEN) for end in ("", "_low", "_high")]
    + [("harmonic_mean", pa.float64())]
)
TASKS = pa.schema(
    [(name, pa.string()) for name in ("encoder", "how", "queries", "rank")]
    + [(name, pa.float64()) for name in MEASURES]
    + [(name, pa.int64()) for name in ("specimens", "taxa", "unanswerable", "unnamed")]
)


def open_world(
    galleries: Mapping[str, Gallery],
    seen: Mapping[str, Gallery],
    unseen: Mapping[str, Gallery],
    *,
    data: str = "",
    modalities: Mapping[str, str] | None = None,
    probes: Sequence[Row] = (),
    searches: Mapping[str, Search] | None = None,
    ks: Sequence[int] = KS,
    ranks: Sequence[str] | None = None,
    seed: int = 0,
    bootstrap: int = DRAWS,
    confidence: float = CONFIDENCE,
) -> Report:
    """Is the taxon of a query among those of its k nearest specimens: of seen species, of unseen ones, and the harmonic mean.

    galleries, seen, unseen: encoder -> the specimens that answer, and the two parts that ask, of one collection. Where the
    gallery holds no specimen of the unseen species this is the genus task of BIOSCAN-5M; where it holds keys of them, CLIBD's.
    data: the collection and its parts, for the table of published figures; modalities: encoder -> "dna" or "image", default
    DNA; probes: rows of :data:`TASKS` by other ways than the nearest (:func:`biocosmos.jobs.evaluate_open_world.probed`);
    searches: encoder -> how its neighbours are found, where it is not by :meth:`Gallery.search`.

    Tables: open_world (top-k, micro over queries and macro over true taxa), tasks (the nearest one as an answer: accuracy,
    balanced accuracy, F1), published (figures of the papers beside these). A query without a name at a rank is left out there
    and counted; one whose taxon the gallery does not have counts as wrong, as in the papers, and is counted too. A neighbour
    without a name is wrong: in CLIBD's code two "not_classified" agree. Where no query of a part can be right at a rank, there is
    no share of it: NaN.

    Raises BiocosmosError where nothing is labelled, and for query ids that are in the gallery.
    """
    boot, modalities = Bootstrap(bootstrap, confidence, seed), modalities or {}
    rows: list[Row] = []
    tasks: list[Row] = []
    found: list[Row] = []
    both: list[str] = []
    for name, gallery in galleries.items():
        search = (searches or {}).get(name, _search)
        parts = {side: asked_of(gallery, each[name], max(ks), ranks, search) for side, each in ((SEEN, seen), (UNSEEN, unseen))}
        more, own = retrieved(name, parts, ks, boot), _tasks(name, parts)
        rows += more
        tasks += own + [row for row in probes if row["encoder"] == name]
        both = both or _in_both(parts)
        found += _measured(data, name, modalities.get(name, DNA), more, tasks, parts)
    first = next(iter(galleries.values()))
    tables = {
        "open_world": pa.Table.from_pylist(rows, OPEN_WORLD),
        "tasks": pa.Table.from_pylist(tasks, TASKS),
        "published": published_table(found, modalities=set(modalities.values()) or {DNA}),
    }
    provenance = {
        "protocol": "open-world",
        "encoders": {name: gallery.provenance for name, gallery in galleries.items()},
        "specimens": {
            "gallery": len(first),
            SEEN: len(next(iter(seen.values()))),
            UNSEEN: len(next(iter(unseen.values()))),
        },
        "data": data,
        "split_hash": split_hash(first.provenance),
        "options": {"ks": list(ks), "intervals": asdict(boot)},
    }
    return Report("open_world", f"Seen and unseen: {', '.join(galleries)}", tables, _caveats(tasks) + both, provenance, page)


Part = list[tuple[Target, Array]]
"""Every rank, and (q, k) int64 codes of the neighbours of every query at it, best first, -1 for none."""


def _search(gallery: Gallery, queries: Gallery, k: int) -> Array:
    return np.asarray(gallery.search(queries, k).rows)


def asked_of(gallery: Gallery, queries: Gallery, k: int, ranks: Sequence[str] | None = None, search: Search = _search) -> Part:
    """The k nearest of one gallery for the queries of a part. Raises BiocosmosError as :func:`open_world`."""
    check_apart(gallery, queries)
    targets = rank_targets(gallery, queries, ranks)
    if not any((target.query >= 0).any() for target in targets):
        raise BiocosmosError("nothing to evaluate: no query has a name at any rank")
    near = search(gallery, queries, k)
    return [(target, np.append(target.gallery, -1)[near]) for target in targets]


def retrieved(encoder: str, parts: Mapping[str, Part], ks: Sequence[int], boot: Bootstrap) -> list[Row]:
    """Rows of :data:`OPEN_WORLD`: top-k shares of "seen" and "unseen" queries, and their harmonic mean."""
    rows = []
    names = dict.fromkeys(target.name for part in parts.values() for target, _ in part)
    for rank in names:
        at = {part: next((pair for pair in pairs if pair[0].name == rank), None) for part, pairs in parts.items()}
        for k in ks:
            for average in ("micro", "macro"):
                row: Row = {"encoder": encoder, "rank": rank, "k": k, "average": average}
                row |= {f"{part}{end}": float("nan") for part in (SEEN, UNSEEN) for end in ("", "_low", "_high")}
                for part, pair in at.items():
                    low = high = value = float("nan")
                    if pair is not None and pair[0].answerable(all_vs_all=False).any():
                        value, low, high = share_within(pair[0].query, pair[1], k, average, boot)
                    row |= {part: value, f"{part}_low": low, f"{part}_high": high}
                rows.append({**row, "harmonic_mean": harmonic_mean(row[SEEN], row[UNSEEN])})
    return rows


def _tasks(encoder: str, parts: Mapping[str, Part]) -> list[Row]:
    rows = []
    for part, pairs in parts.items():
        for target, codes in pairs:
            named = target.query >= 0
            facts = {"specimens": int(named.sum()), "unnamed": int((~named).sum()), "taxa": len(np.unique(target.query[named]))}
            facts["unanswerable"] = int((named & ~target.answerable(all_vs_all=False)).sum())
            scores = answer_scores(target.query, codes[:, 0])
            rows.append({"encoder": encoder, "how": NEAREST, "queries": part, "rank": target.name, **scores, **facts})
    return rows


def _measured(
    data: str, encoder: str, modality: str, retrieved: Iterable[Row], tasks: Iterable[Row], parts: Mapping[str, Part]
) -> list[Row]:
    """Rows of the table of published figures: the tasks that these parts pose."""
    asked = {LINEAR: SPECIES_LINEAR, FINE_TUNED: SPECIES_FINE_TUNED}
    found = [
        measured(asked[row["how"]], data, encoder, ACCURACY, row["accuracy"])
        for row in tasks
        if row["how"] in asked and (row["encoder"], row["queries"], row["rank"]) == (encoder, SEEN, SPECIES)
    ]
    keys_of_unseen = any(
        target.name == SPECIES and bool(target.answerable(all_vs_all=False).any()) for target, _ in parts[UNSEEN]
    )
    if keys_of_unseen:
        return found + [
            measured(retrieval_task(row["rank"], modality), data, encoder, f"top-1 macro, {name.replace('_', ' ')}", row[name])
            for row in retrieved
            if (row["k"], row["average"]) == (1, "macro") and row["rank"] in ("order", "family", GENUS, SPECIES)
            for name in (SEEN, UNSEEN, "harmonic_mean")
            if not np.isnan(row[name])
        ]
    wanted = {(SEEN, SPECIES): SPECIES_OF_SEEN, (UNSEEN, GENUS): GENUS_OF_UNSEEN}
    return found + [
        measured(wanted[row["queries"], row["rank"]], data, encoder, ACCURACY, row["accuracy"])
        for row in tasks
        if (row["encoder"], row["how"]) == (encoder, NEAREST) and (row["queries"], row["rank"]) in wanted and row["specimens"]
    ]


def _in_both(parts: Mapping[str, Part]) -> list[str]:
    """What is said where species of the unseen part are asked about in the seen part too."""
    asked = {
        part: {name for target, _ in pairs if target.name == SPECIES for name in target.names_of(np.unique(target.query)) if name}
        for part, pairs in parts.items()
    }
    shared = sorted(asked[SEEN] & asked[UNSEEN])
    if not shared:
        return []
    return [
        f"{len(shared):,} of {len(asked[UNSEEN]):,} species of the part that stands for unseen species are in the part of seen "
        f"species too ({', '.join(shared[:3])} ...): what is said of unseen species is not about unseen ones."
    ]


def _caveats(tasks: Sequence[Row]) -> list[str]:
    said = [
        "Accuracies of seen and of unseen species are not comparable with each other, nor those of one set of parts with those "
        "of another: the parts differ in how many specimens and taxa they have.",
        "Published figures are on the data that stand beside them; what is measured here on other data reproduces none of them.",
    ]
    first = tasks[0]["encoder"] if tasks else None
    said += [
        f"{row['unanswerable']:,} of {row['specimens']:,} {row['queries']} queries have a {row['rank']} that the gallery does "
        "not have: they count as wrong."
        for row in tasks
        if row["unanswerable"] and (row["encoder"], row["how"]) == (first, NEAREST) and row["rank"] != SPECIES
    ]
    if any(row["queries"] == UNSEEN and row["rank"] == SPECIES and row["unanswerable"] == row["specimens"] > 0 for row in tasks):
        said.append("The gallery has no specimen of the unseen species, so that their species cannot be right, and no mean is.")
    return said


__all__ = ["DNA", "IMAGE", "KS", "open_world"]
