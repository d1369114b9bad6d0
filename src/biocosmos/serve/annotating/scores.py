"""What each queue of review looks at, and what it asks first: scores over arrays in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover import kept
from biocosmos.errors import BiocosmosError
from biocosmos.serve.catalogue import STATES, Catalogue, Moment, View
from biocosmos.serve.catalogue.one_tree import nodes_called
from biocosmos.specimens.by_hand import Ledger

Array = npt.NDArray[Any]
KINDS = {
    "unsure": ("Least sure", "the machine's name, the least confident first"),
    "novel": ("Most novel", "unlike everything that has a name"),
    "against": ("Model against label", "the machine says another taxon than the label, the surest first"),
    "disagree": ("Two people disagree", "what stands of two people is not the same name"),
    "random": ("Random", "any specimen, drawn for each person alone"),
    "unlabelled": ("Unlabelled", "nobody named it, in the order of storage"),
    "chosen": ("Next to label", "what 'discover queue' chose last"),
}
UNLABELLED, PREDICTED, DUBIOUS, VALIDATED = range(len(STATES))
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Wanted:
    """What a queue may show. able: (n,) bool; score: (n,) float32, the highest first; proposed: (n,) int32 nodes, 0 for none;
    missing: why it can show nothing, in words, and the page that changes it."""

    able: npt.NDArray[np.bool_]
    score: npt.NDArray[np.float32]
    proposed: npt.NDArray[np.int32]
    missing: tuple[str, str, str] | None = None


@dataclass(frozen=True)
class Listed:
    """Rows of a table that was kept, with a score and a node of each."""

    name: str
    rows: Array
    score: Array
    nodes: Array


def wanted(
    kind: str, moment: Moment, view: View, ledger: Ledger, rows_of_subjects: Array, by: str, listed: Listed | None
) -> Wanted:
    """What the queue ``kind`` asks this person ``by``; the filters of the view are applied elsewhere.

    rows_of_subjects: row of each subject of the ledger, -1 for none; listed: the table that the queue is kept in, if any. What is
    validated is asked again only where the view names states.
    """
    n = len(moment)
    open_ = np.ones(n, bool) if view.states else moment.states != VALIDATED
    guess = np.where(moment.predicted > 0, moment.predicted, moment.nodes).astype(np.int32)
    if kind == "unsure":
        able = ~np.isnan(moment.confidence) & open_
        return Wanted(able, 1 - moment.confidence, guess, _no_answers(moment.confidence))
    if kind == "novel":
        return Wanted(~np.isnan(moment.novelty) & open_, moment.novelty, guess, _no_answers(moment.novelty))
    if kind == "unlabelled":
        able = (moment.states == UNLABELLED) | (moment.states == PREDICTED)
        return Wanted(able, -np.arange(n, dtype=np.float32), guess)
    if kind == "random":
        return Wanted(np.ones(n, bool), drawn(n, by), guess)
    if kind == "disagree":
        return _disagreed(moment, ledger, rows_of_subjects)
    if kind == "chosen":
        return _chosen(n, guess, listed)
    return _against(moment, ledger, rows_of_subjects, listed)


def drawn(n: int, by: str) -> npt.NDArray[np.float32]:
    """(n,) numbers in [0, 1) that depend on the row and the person alone: the same order after a restart."""
    seed = np.uint64(int.from_bytes(by.encode()[:64], "little") % (1 << 61))
    with np.errstate(over="ignore"):
        x = (np.arange(n, dtype=np.uint64) + seed) * _GOLDEN
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x >> np.uint64(40)).astype(np.float32)) / np.float32(1 << 24)


def listed_in(catalogue: Catalogue, kind: kept.Kind, moment: Moment) -> Listed | None:
    """The latest table of suspects, or the latest queue, that was kept with the collection; None where there is none. Raises
    BiocosmosError for a damaged one."""
    there = kept.kept(catalogue.collection, kind)
    if not there:
        return None
    table = there[-1].table()
    named, score = ("proposal", "score") if kind == "suspects" else ("taxon", "place")
    if lacking := [name for name in ("id", named, score) if name not in table.column_names]:
        raise BiocosmosError(f"{there[-1].path} has no column '{lacking[0]}': remove it and discover again")
    rows = moment.stored.rows_of_ids(table["id"].combine_chunks())
    values = np.asarray(table[score].to_numpy(), np.float64)
    names = table[named].to_pylist()
    ranks = table["rank"].to_pylist() if "rank" in table.column_names else [None] * len(names)
    pairs = {pair: _node(moment, *pair) for pair in {*zip(names, ranks)}}
    nodes = np.array([pairs[pair] for pair in zip(names, ranks)], np.int32)
    here = rows >= 0
    return Listed(there[-1].name, rows[here], (values if kind == "suspects" else -values)[here], nodes[here])


def _node(moment: Moment, name: str | None, rank: str | None) -> int:
    if name is None:
        return 0
    found = nodes_called(moment.taxonomy, name, rank if rank in moment.taxonomy.ranks else None)
    return int(found[0]) if len(found) == 1 else 0


def _no_answers(numbers: Array) -> tuple[str, str, str] | None:
    if not np.isnan(numbers).all():
        return None
    return "No machine has named these specimens yet.", "/jobs", "Identify them"


def _disagreed(moment: Moment, ledger: Ledger, rows_of_subjects: Array) -> Wanted:
    n = len(moment)
    able, score = np.zeros(n, bool), np.zeros(n, np.float32)
    entries, _, _, disagreed = ledger.table()
    disagreed = disagreed[: len(rows_of_subjects)]
    rows = rows_of_subjects[disagreed]
    able[rows[rows >= 0]] = True
    score[rows[rows >= 0]] = entries[: len(rows_of_subjects)][disagreed][rows >= 0]  # the latest first
    missing = None if able.any() else ("Nobody disagrees with anybody.", "/review?kind=random", "Look at random specimens")
    return Wanted(able, score, moment.nodes, missing)


def _chosen(n: int, guess: Array, listed: Listed | None) -> Wanted:
    able, score, proposed = np.zeros(n, bool), np.full(n, -np.inf, np.float32), guess.copy()
    if listed is None:
        return Wanted(able, score, proposed, ("No queue was computed yet.", "/jobs", "Compute one"))
    able[listed.rows], score[listed.rows] = True, listed.score
    proposed[listed.rows] = np.where(listed.nodes > 0, listed.nodes, proposed[listed.rows])
    return Wanted(able, score, proposed)


def _against(moment: Moment, ledger: Ledger, rows_of_subjects: Array, listed: Listed | None) -> Wanted:
    """Labels that nobody confirmed and that the last answer, or the audit of labels, contradicts."""
    tree, labels, predicted = moment.taxonomy, moment.labels, moment.predicted
    proposed = np.maximum(predicted, 0)
    both = (labels > 0) & (proposed > 0)
    able = both & ~tree.is_ancestor(labels, proposed) & ~tree.is_ancestor(proposed, labels)
    score = np.nan_to_num(moment.confidence, nan=0.0).astype(np.float32)
    if listed is not None and len(listed.rows):
        proposed = proposed.copy()
        doubted = listed.nodes > 0
        rows, nodes = listed.rows[doubted], listed.nodes[doubted]
        apart = (labels[rows] > 0) & ~tree.is_ancestor(labels[rows], nodes) & ~tree.is_ancestor(nodes, labels[rows])
        rows, nodes, told = rows[apart], nodes[apart], listed.score[doubted][apart]
        able[rows], proposed[rows] = True, nodes
        score[rows] = 1 + told / max(float(told.max(initial=0)), 1e-9) if len(told) else 1
    entries = ledger.table()[0][: len(rows_of_subjects)]
    said = rows_of_subjects[entries >= 0]
    able[said[said >= 0]] = False
    missing = None
    if listed is None and not (predicted > 0).any():
        missing = ("Neither has a machine named these specimens nor were their labels audited.", "/jobs", "Audit the labels")
    return Wanted(able, score, proposed.astype(np.int32), missing)
