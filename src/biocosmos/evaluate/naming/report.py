"""Identifications against the truth: accuracy per rank, roll-back, calibration, nearness in the tree, novelty, counts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.naming import tables as tables_of
from biocosmos.evaluate.naming.page import page
from biocosmos.evaluate.numbers.bootstrap import CONFIDENCE, DRAWS, Bootstrap, Resample
from biocosmos.evaluate.numbers.caveats import naming_caveats
from biocosmos.evaluate.numbers.examples import CONFUSION, confused_pairs
from biocosmos.evaluate.numbers.tallies import SUMMARY, Tally, answerable_table, average_rows, taxon_table
from biocosmos.evaluate.numbers.targets import Target, rank_targets
from biocosmos.evaluate.report import Report, split_hash
from biocosmos.search.gallery import Gallery
from biocosmos.specimens import guard
from biocosmos.tables import PROVENANCE_KEY

if TYPE_CHECKING:
    from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]
BEST_PATH = "best path"


@dataclass(frozen=True)
class Judged:
    """Answers and truth as node ids of one taxonomy, one row per query.

    path: (q,) the deepest node named, whatever its confidence; answer: (q,) where the roll-back stopped, 0 for no answer;
    truth: (q,) 0 unknown; confidence: (q, ranks) float64, NaN where there is none; known: (nodes,) bool, taxa that could have
    been answered; novelty: (q,) float64; flagged: (q,) bool, called novel.
    """

    ids: Array
    path: Array
    answer: Array
    truth: Array
    confidence: Array
    known: Array
    novelty: Array
    flagged: Array

    @property
    def novel(self) -> Array:
        """(q,) bool: the true taxon is not among the known ones."""
        unseen: Array = (self.truth > 0) & ~self.known[self.truth]
        return unseen


def identification(
    table: pa.Table,
    truth: Gallery | pa.Table | npt.ArrayLike,
    taxonomy: Taxonomy | None = None,
    *,
    gallery: Gallery | None = None,
    seed: int = 0,
    bootstrap: int = DRAWS,
    resample: Resample = "specimens",
    confidence: float = CONFIDENCE,
    examples: int = 6,
) -> Report:
    """Judge a table of identifications.

    table: from :meth:`Identifier.identify`. truth: a Gallery or a table with ``id`` and rank columns that hold every id of
    ``table``, or (q,) node ids in its order. taxonomy: needed unless ``truth`` is a Gallery. gallery: what the identifier was
    fitted on: it says which taxa could have been answered, and so which queries are unanswerable and which are novel; without
    it all count as answerable and novelty is not judged.

    Tables: summary (accuracy of the best path per rank, forced: unsure answers count), answerable, per_taxon, rollback (how
    often each rank was answered and right), answers (where the roll-back stopped), coverage, reliability, calibration,
    hierarchical, novelty, community, confusion, queries, examples. Raises BiocosmosError when ids are missing from the truth,
    or are in the gallery.
    """
    boot = Bootstrap(bootstrap, confidence, seed, resample)
    taxonomy = _taxonomy(truth, taxonomy)
    judged = judge(table, truth, taxonomy, gallery)
    asked = _pretend_gallery(judged.ids, judged.truth, taxonomy)
    # Without a gallery every true and every named taxon counts as one that could be answered.
    named = np.concatenate([judged.truth, judged.path])
    reference = _pretend_gallery(np.arange(len(named)), named, taxonomy)
    if gallery is not None:
        reference = _pretend_gallery(gallery.ids, gallery.taxa, taxonomy)
    targets = rank_targets(reference, asked, [rank for rank in taxonomy.ranks if rank in table.column_names])
    targets = [replace(target, query=_in_order(target.query, asked.ids, judged.ids)) for target in targets]
    targets = [target for target in targets if (target.query >= 0).any()]
    if not targets:
        raise BiocosmosError("nothing to judge: no query has a true taxon at a rank of the table")
    tallies = [_tally(target, judged, taxonomy) for target in targets]
    summary = [row for i, tally in enumerate(tallies) for row in average_rows(tally, (1,), boot, [*targets[:i], tally.target])]
    confusion: list[dict[str, Any]] = []
    for target in targets:
        named = taxonomy.ancestor(judged.path, target.name)
        shown = None if gallery is None else _specimens_of(named, gallery, taxonomy)
        confusion += confused_pairs(taxonomy, target, _codes(target, named), judged.ids, shown)
    per_taxon = taxon_table(tallies, (1,), confidence)
    if gallery is None:
        per_taxon = per_taxon.drop_columns(["gallery"])
    tables = {
        "summary": pa.Table.from_pylist(summary, schema=SUMMARY),
        "answerable": answerable_table(tallies),
        "per_taxon": per_taxon,
        "rollback": tables_of.rollback_table(judged, taxonomy, targets, boot),
        "answers": tables_of.answers_table(judged, taxonomy, confidence),
        "coverage": tables_of.coverage_table(judged, taxonomy, tallies),
        "reliability": tables_of.reliability_table(judged, taxonomy, tallies, confidence),
        "calibration": tables_of.calibration_table(judged, taxonomy, tallies),
        "hierarchical": tables_of.hierarchical_table(judged, taxonomy),
        "novelty": tables_of.novelty_table(judged, gallery is not None),
        "community": tables_of.community_table(judged, taxonomy, targets),
        "confusion": pa.Table.from_pylist(confusion, schema=CONFUSION),
        "queries": tables_of.judged_table(judged, taxonomy),
        "examples": tables_of.naming_examples(judged, taxonomy, table, examples, seed),
    }
    stored = (table.schema.metadata or {}).get(PROVENANCE_KEY)
    made = json.loads(stored) if stored else {}
    hashes = [
        split_hash(facts) for facts in (made.get("gallery", {}), made, {} if gallery is None else gallery.provenance) if facts
    ]
    provenance = {
        "protocol": "identification",
        "identifier": made,
        **({} if gallery is None else {"gallery": {"specimens": len(gallery), **gallery.provenance}}),
        "split_hash": next((found for found in hashes if found), None),
        "options": {"intervals": asdict(boot)},
    }
    caveats = naming_caveats(tallies, tables, boot, provenance, knows_gallery=gallery is not None)
    method = table.column("method")[0].as_py() if table.num_rows and "method" in table.column_names else "identifier"
    return Report("naming", f"Identification by {method}", tables, caveats, provenance, page)


def judge(table: pa.Table, truth: Gallery | pa.Table | npt.ArrayLike, taxonomy: Taxonomy, gallery: Gallery | None) -> Judged:
    """Answers and truth side by side. Raises BiocosmosError as :func:`identification` says."""
    ids = np.array(table.column("id").to_pylist(), dtype=object)
    if not len(ids):
        raise BiocosmosError("nothing to judge: the table of identifications is empty")
    if gallery is not None:
        guard.refuse_shared(ids, gallery.ids, "identified ids are in the gallery", "judge on specimens it has not seen")
    ranks = [rank for rank in taxonomy.ranks if rank in table.column_names]
    path = np.maximum(taxonomy.index(table.select(ranks)), 0).astype(np.int64)
    true = np.maximum(_true_nodes(ids, truth, taxonomy), 0)
    stop = {rank: i for i, rank in enumerate(taxonomy.ranks)}
    stops = np.array([stop.get(rank, -1) for rank in table.column("rank").to_pylist()], dtype=np.int64)
    lineage = np.concatenate([taxonomy.lineage(path), np.full((len(path), 1), -1)], axis=1)
    answer = np.maximum(lineage[np.arange(len(path)), stops], 0).astype(np.int64)
    said = [_floats(table, f"{rank}_confidence") for rank in taxonomy.ranks]
    flagged = (
        table.column("novel").fill_null(False).to_numpy().astype(bool)
        if "novel" in table.column_names
        else np.zeros(len(ids), bool)
    )
    known = np.ones(len(taxonomy), dtype=bool)
    if gallery is not None and gallery.taxa is not None:
        known = np.zeros(len(taxonomy), dtype=bool)
        lines = taxonomy.lineage(np.unique(np.maximum(gallery.taxa, 0)))
        known[lines[lines >= 0]] = True
        known[0] = True
    return Judged(ids, path, answer, true, np.stack(said, axis=1), known, _floats(table, "novelty"), flagged)


def _taxonomy(truth: Any, taxonomy: Taxonomy | None) -> Taxonomy:
    taxonomy = taxonomy or getattr(truth, "taxonomy", None)
    if taxonomy is None:
        raise BiocosmosError("judging identifications needs a taxonomy: pass taxonomy=collection.taxonomy")
    return taxonomy


def _true_nodes(ids: Array, truth: Any, taxonomy: Taxonomy) -> Array:
    if isinstance(truth, Gallery):
        if truth.taxa is None:
            raise BiocosmosError("the truth has no taxa: pass a labelled gallery")
        return _in_order(truth.taxa, truth.ids, ids)
    if isinstance(truth, pa.Table):
        return _in_order(taxonomy.index(truth), np.array(truth.column("id").to_pylist(), dtype=object), ids)
    nodes = np.asarray(truth, dtype=np.int64)
    if nodes.shape != ids.shape:
        raise BiocosmosError(f"{len(nodes)} true taxa for {len(ids)} identifications: pass one for each row")
    return nodes


def _in_order(values: Array, have: Array, want: Array) -> Array:
    """``values`` of ids ``have`` put in the order of ids ``want``. Raises BiocosmosError on an id that is missing."""
    place = {name: i for i, name in enumerate(have.tolist())}
    missing = [str(name) for name in want.tolist() if name not in place]
    if missing:
        raise BiocosmosError(
            f"{len(missing)} identified ids have no truth ({', '.join(missing[:3])}): pass the gallery or table that holds them"
        )
    ordered: Array = np.asarray(values)[[place[name] for name in want.tolist()]].astype(np.int64)
    return ordered


def _pretend_gallery(ids: Array, taxa: Array | None, taxonomy: Taxonomy) -> Gallery:
    """Ids and taxa in a gallery's order, without vectors: all that targets look at."""
    nodes = np.zeros(len(ids), dtype=np.int32) if taxa is None else np.asarray(taxa, dtype=np.int32)
    order = np.argsort(nodes, kind="stable")
    return Gallery(ids[order], np.zeros((len(ids), 0), dtype=np.float32), nodes[order], taxonomy)


def _tally(target: Target, judged: Judged, taxonomy: Taxonomy) -> Tally:
    named = taxonomy.ancestor(judged.path, target.name)
    truth = np.where(target.query >= 0, target.nodes[np.maximum(target.query, 0)], -2)
    return Tally(target, (named != truth).astype(np.int64), target.answerable(all_vs_all=False), BEST_PATH)


def _codes(target: Target, nodes: Array) -> Array:
    """Codes of nodes in ``target``, -1 for a null and for a taxon that neither the truth nor the gallery has."""
    place = np.minimum(np.searchsorted(target.nodes, nodes), len(target.nodes) - 1)
    codes: Array = np.where(target.nodes[place] == nodes, place, -1)
    return codes


def _floats(table: pa.Table, name: str) -> Array:
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    values: Array = table.column(name).cast(pa.float64()).to_numpy()
    return values


def _specimens_of(nodes: Array, gallery: Gallery, taxonomy: Taxonomy) -> Array:
    """(q,) object: the id of a gallery specimen of each taxon, to show what it looks like; None where there is none."""
    out = np.full(len(nodes), None, dtype=object)
    if gallery.taxa is None or not len(gallery):
        return out
    row = np.minimum(np.searchsorted(gallery.taxa, nodes), len(gallery) - 1)
    there = (nodes >= 0) & (gallery.taxa[row] >= nodes) & (gallery.taxa[row] < taxonomy.end[nodes])
    out[there] = gallery.ids[row[there]]
    return out
