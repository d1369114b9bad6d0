"""Barcodes as names: how often the nearest is right, seen and unseen species apart, and how barcodes of a species differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.barcode import accuracy
from biocosmos.evaluate.barcode.caveats import barcode_caveats
from biocosmos.evaluate.barcode.cost import COST
from biocosmos.evaluate.barcode.distances import LEAST_OVERLAP, MEASURES, Measure
from biocosmos.evaluate.barcode.names import BINS, NAMED, named_rows
from biocosmos.evaluate.barcode.page import page
from biocosmos.evaluate.barcode.provisional import without_provisional
from biocosmos.evaluate.barcode.specimens import Library, library_tables, species_of
from biocosmos.evaluate.numbers.bootstrap import CONFIDENCE, DRAWS, Bootstrap, Resample
from biocosmos.evaluate.numbers.examples import CONFUSION, confused_pairs
from biocosmos.evaluate.numbers.targets import Target, rank_targets
from biocosmos.evaluate.report import Report, split_hash
from biocosmos.evaluate.retrieval.report import check_apart
from biocosmos.search.gallery import Gallery

Array = npt.NDArray[Any]
Row = dict[str, Any]
NEIGHBOURS = 10
"""Nearest barcodes looked at: the first of them that has a name at a rank is the answer there."""
CONFUSED = pa.schema([("encoder", pa.string()), ("seen", pa.bool_()), *CONFUSION])
"""seen: the gallery has the true taxon, so that the answer could have been right."""
PROBES = pa.schema(
    [(name, pa.string()) for name in ("encoder", "probe", "rank", "measure")]
    + [(name, pa.float64()) for name in ("value", "low", "high")]
    + [("specimens", pa.int64())]
)


@dataclass(frozen=True)
class Beside:
    """What a job found beside the neighbours; all may be left out.

    found: encoder -> (rows, tied): (q, k) int64 gallery rows of the queries' neighbours, best first, and (q, k) bool, whether
    each is exactly as near as the first, where the job has searched (and taken the time) itself; answers: namer -> its answers to
    the queries (:meth:`Identifier.identify`); known: what that namer was fitted on; promise: the share of wrong answers promised;
    cost: rows of ``COST``; probes: rows of :data:`PROBES`; published: makes a table of published figures (task, data, model,
    measure, published, measured_here, source) from the rows of accuracy.
    """

    found: Mapping[str, tuple[Array, Array]] = field(default_factory=dict)
    answers: Mapping[str, pa.Table] = field(default_factory=dict)
    known: Gallery | None = None
    promise: float | None = None
    cost: Sequence[Row] = ()
    probes: pa.Table | None = None
    published: Callable[[Sequence[Row]], pa.Table] | None = None


def barcode_report(
    galleries: Mapping[str, Gallery],
    queries: Mapping[str, Gallery],
    *,
    library: Library | None = None,
    beside: Beside | None = None,
    measure: Measure = "p",
    tree_genera: Sequence[str] = (),
    provisional: bool = False,
    seed: int = 0,
    bootstrap: int = DRAWS,
    resample: Resample = "specimens",
    confidence: float = CONFIDENCE,
) -> Report:
    """The nearest barcode (or image) of every encoder as a name, and the barcodes themselves.

    galleries, queries: encoder -> the specimens that answer, and those that are asked, of one collection; queries of seen and of
    unseen species may be together: they are told apart by whether their species is in the gallery. library: the barcodes whose
    distances are taken (:class:`Library`), None for none. measure: of the gap and of trees, "p" the share of sites that differ
    over the overlap, "k2p" Kimura's distance. tree_genera: taxa that are drawn as trees, the genus with the most confusions by
    default. provisional: take names like "Aus sp. 1" for species. seed, bootstrap, resample, confidence: of the intervals.

    Tables: accuracy (encoder, group, rank; seen, unseen species, all), rarity (seen species by specimens in the gallery),
    confusion, named and reliability (of a namer), gaps (a row a species), distances (their histogram), bins (a row a species),
    trees (Newick) and tips, cost, probes, published. Raises BiocosmosError where nothing is labelled, for query ids in the
    gallery, an unknown measure or taxon.
    """
    if measure not in MEASURES:
        raise BiocosmosError(f"distance '{measure}' is not known: choose {' or '.join(MEASURES)}")
    beside = beside or Beside()
    boot = Bootstrap(bootstrap, confidence, seed, resample)
    rows: dict[str, list[Row]] = {"accuracy": [], "rarity": [], "confusion": []}
    facts: Row = {}
    for name, gallery in galleries.items():
        _judge(name, gallery, queries[name], beside.found.get(name), boot, provisional, rows, facts)
    main = facts["species"]
    named, bins = [], []
    first = next(iter(queries.values()))
    for answers in beside.answers.values():
        known = next(iter(galleries.values())) if beside.known is None else beside.known
        some, more = named_rows(answers, first, known, main, beside.promise, provisional=provisional)
        named += some
        bins += more
    tables = {
        "accuracy": pa.Table.from_pylist(rows["accuracy"], accuracy.ACCURACY),
        "rarity": pa.Table.from_pylist(rows["rarity"], accuracy.ACCURACY),
        "named": pa.Table.from_pylist(named, NAMED),
        "reliability": pa.Table.from_pylist(bins, BINS),
        "confusion": pa.Table.from_pylist(rows["confusion"], CONFUSED),
    }
    if library is not None:
        of_first = [row for row in rows["confusion"] if row["encoder"] == next(iter(galleries)) and row["target"] == main]
        confused = [row for row in of_first if row["seen"]] or of_first
        tables |= library_tables(library, confused, tree_genera, measure, provisional=provisional, seed=seed)
    tables["cost"] = pa.Table.from_pylist(list(beside.cost), COST)
    tables["probes"] = PROBES.empty_table() if beside.probes is None else beside.probes
    if beside.published is not None:
        tables["published"] = beside.published(rows["accuracy"])
    answering = next(iter(galleries.values()))
    provenance = {
        "protocol": "barcode",
        "encoders": {name: gallery.provenance for name, gallery in galleries.items()},
        "specimens": {"gallery": len(answering), "queries": len(first)},
        "species": main,
        "split_hash": split_hash(answering.provenance),
        "counts": facts["counts"],
        "options": {
            "distance": measure,
            "least_overlap": LEAST_OVERLAP,
            "neighbours": NEIGHBOURS,
            "provisional_names_are_species": provisional,
            "promise": beside.promise,
            "intervals": asdict(boot),
        },
    }
    caveats = barcode_caveats(tables, facts, boot, provenance)
    encoders = {
        id(gallery): name for name, gallery in reversed(list(galleries.items()))
    }  # an order by alignment has the same gallery
    return Report("barcode", f"Barcodes: {', '.join(reversed(list(encoders.values())))}", tables, caveats, provenance, page)


def _judge(
    name: str,
    gallery: Gallery,
    asked: Gallery,
    found: tuple[Array, Array] | None,
    boot: Bootstrap,
    provisional: bool,
    rows: dict[str, list[Row]],
    facts: Row,
) -> None:
    """Accuracy, rarity and confusions of one encoder; facts of the first are kept."""
    check_apart(gallery, asked)
    targets, left = _targets(gallery, asked, provisional)
    species = species_of(targets)
    if found is None:
        hits = gallery.search(asked, NEIGHBOURS)
        found = hits.rows, hits.scores == hits.scores[:, :1]
    near, tied = found
    rows["accuracy"] += accuracy.accuracy_rows(name, near, tied, targets, list(accuracy.groups_of(species)), boot)
    rows["rarity"] += accuracy.accuracy_rows(name, near, tied, targets, list(accuracy.rarity_of(species)), boot)
    for target in targets:
        said, at = accuracy.named(near, target)
        pairs = confused_pairs(gallery.taxonomy, target, said, asked.ids, gallery.ids[np.maximum(at, 0)])
        there = set(target.paths[np.unique(target.gallery[target.gallery >= 0])])
        rows["confusion"] += [{"encoder": name, "seen": row["true_path"] in there, **row} for row in pairs]
    groups = {group: int(mask.sum()) for group, mask in accuracy.groups_of(species)}
    facts.setdefault("species", species.name)
    facts.setdefault("counts", {"provisional": left, **groups})


def _targets(gallery: Gallery, asked: Gallery, provisional: bool) -> tuple[list[Target], dict[str, int]]:
    """The ranks that are judged, and how many specimens of either side have a provisional name, which is none there."""
    targets = rank_targets(gallery, asked, None)
    if not targets:
        raise BiocosmosError("nothing to evaluate: no specimen has a taxon; give rank columns at ingest")
    left = {"gallery": 0, "queries": 0}
    found = []
    for target in targets:
        kept, _ = (target, None) if provisional else without_provisional(target)
        left["gallery"] += int(((target.gallery >= 0) & (kept.gallery < 0)).sum())
        left["queries"] += int(((target.query >= 0) & (kept.query < 0)).sum())
        found.append(kept)
    if not any((target.query >= 0).any() for target in found):
        raise BiocosmosError("nothing to evaluate: no query has a name at any rank")
    return found, left
