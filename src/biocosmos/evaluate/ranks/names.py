"""What a namer said of each specimen, condensed from a stream of predictions, from its table of answers, or from both."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.hierarchy import deepest, place_of_truth
from biocosmos.evaluate.numbers.targets import Target
from biocosmos.evaluate.ranks.asked import Asked, columns_of
from biocosmos.identify.confidence.rollback import lowest_sure_rank, pick
from biocosmos.identify.encoding import encoder_of
from biocosmos.identify.predictions import Predictions
from biocosmos.search.gallery import Gallery
from biocosmos.tables import PROVENANCE_KEY
from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]
Row = dict[str, Any]
BEST_PATH, BEST_CLASS, EACH_RANK, RAW = "best path", "best class", "each rank alone", "raw ranks"
DECODINGS = {
    BEST_PATH: "from the root each time to the most probable child; always one path",
    BEST_CLASS: "the most probable class and what stands above it; always one path",
    EACH_RANK: "the most probable taxon of each rank by itself, from the one distribution over the tree",
    RAW: "what each rank's own classifier says, before the namer makes its ranks agree",
}
ROLLED = "rolled back"


@dataclass(frozen=True)
class Names:
    """What one namer said of n specimens; nothing over all nodes of the tree is kept.

    said: (n, ranks) int32, the node named at each rank however unsure, -1 for none; p: (n, ranks) float64, how sure, as whoever
    asks is told; raw: the same before it was calibrated; both NaN where nothing is said, None where there is none; place: per
    rank (n,) how many taxa of the rank were more probable than the true one; ways: the nodes read in each way of DECODINGS.
    stop: (n,) where the roll-back stopped, 0 for no answer; sure: (n,) where it would have, were no answer withheld as novel;
    novelty: (n,) float64, NaN unknown; flagged: (n,) called novel; table: the rows of the answers, all None without answers.
    """

    name: str
    said: Array
    p: Array | None = None
    raw: Array | None = None
    place: tuple[Array, ...] | None = None
    ways: Mapping[str, Array] = field(default_factory=dict)
    stop: Array | None = None
    sure: Array | None = None
    novelty: Array | None = None
    flagged: Array | None = None
    table: pa.Table | None = None
    classes: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    answers_facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def deepest(self) -> Array:
        """(n,) the finest node named."""
        return deepest(self.said)

    def points(self) -> list[tuple[str, Array]]:
        """What there is to judge: the best path (n, ranks), and where it was rolled back to."""
        return [(BEST_PATH, self.said), *([(ROLLED, self.answered)] if self.stop is not None else [])]

    @property
    def answered(self) -> Array:
        """(n, ranks) int32: the path down to where the roll-back stopped, -1 below."""
        assert self.stop is not None
        at = np.where(self.said == self.stop[:, None], np.arange(self.said.shape[1]), -1).max(axis=1)
        return np.where(np.arange(self.said.shape[1]) <= at[:, None], self.said, -1)

    def codes(self, asked: Asked, target: Target, said: Array | None = None) -> Array:
        """(n,) int64 codes in ``target`` of what is said at its rank, -1 for none."""
        return columns_of(target.nodes, (self.said if said is None else said)[:, asked.taxonomy.rank_index(target.name)])

    @property
    def encoder(self) -> str:
        """The encoder that it stands on, as its facts say."""
        return str(encoder_of(self.facts).get("name") or "not recorded")


# ---- from predictions ------------------------------------------------------------------------------------------------


def read(
    predictions: Predictions | Iterable[Predictions],
    name: str | None = None,
    how: str = BEST_PATH,
    branch: str | None = None,
) -> tuple[Asked, Names]:
    """Condense a stream of predictions, one block in memory at a time.

    how: the way of DECODINGS in which the report reads them. Raises BiocosmosError for an unknown way, for the raw ranks of a
    namer that has none, and for a stream of several namers.
    """
    if how not in DECODINGS:
        raise BiocosmosError(f"answers cannot be read as '{how}': choose {', '.join(DECODINGS)}")
    parts: dict[str, list[Any]] = {key: [] for key in ("ids", "truth", "p", "place", *DECODINGS)}
    first: Predictions | None = None
    for block in [predictions] if isinstance(predictions, Predictions) else predictions:
        first = first or block
        if block.facts.get("digest") != first.facts.get("digest") or not np.array_equal(block.classes, first.classes):
            raise BiocosmosError("these predictions are of several namers: judge one at a time, or pass {'name': predictions}")
        ways = {way: nodes for way in DECODINGS if (nodes := decode(block, way)) is not None}
        if how not in ways:
            who = name or namer_name(block.facts)
            raise BiocosmosError(f"{who} has no raw ranks, only one distribution over its classes: read it as '{EACH_RANK}'")
        for way, nodes in ways.items():
            parts[way].append(nodes)
        parts["ids"].append(block.ids)
        parts["truth"].append(block.truth)
        parts["p"].append(_p_of(block, ways[how], how))
        parts["place"].append(_places(block))
    if first is None:
        raise BiocosmosError("nothing to judge: there are no predictions")
    whole = {key: np.concatenate(blocks) for key, blocks in parts.items() if blocks}
    asked = replace(Asked.of(first, branch), ids=whole["ids"], truth=whole["truth"])
    named = Names(
        name or namer_name(first.facts),
        whole[how],
        whole["p"],
        None,
        tuple(whole["place"].T),
        {way: whole[way] for way in DECODINGS if way in whole},
        classes=len(first.classes),
        facts=first.facts,
    )
    return asked, named


def namer_name(facts: Mapping[str, Any]) -> str:
    """How a table calls a namer: its kind, as its facts say."""
    return str(facts.get("namer") or facts.get("head") or facts.get("method") or "namer")


def decode(predictions: Predictions, how: str = BEST_PATH) -> npt.NDArray[np.int32] | None:
    """The node said at every rank, (n, ranks) int32, -1 for none, in one of the ways of DECODINGS.

    None for the raw ranks of a namer that has none.
    """
    if how == BEST_PATH:
        return predictions.best_path()[0]
    if how == BEST_CLASS:
        return predictions.taxonomy.lineage(predictions.classes[predictions.logits.argmax(axis=1)])
    if how == EACH_RANK:
        nodes: Sequence[Array] = [nodes_at(predictions, rank) for rank in range(len(predictions.ranks))]
        scores: Sequence[Array] = [predictions.log_p[:, columns] for columns in nodes]
    elif predictions.rank_scores is None:
        return None
    else:
        nodes, scores = list(predictions.rank_nodes), predictions.rank_scores
    out = np.full((len(predictions), len(predictions.ranks)), -1, np.int32)
    for rank, (columns, score) in enumerate(zip(nodes, scores)):
        if len(columns):
            out[:, rank] = columns[score.argmax(axis=1)]
    return out


def nodes_at(predictions: Predictions, rank: int) -> npt.NDArray[np.int32]:
    """Nodes of a rank with a class at or under them, ascending: what can be answered there."""
    return np.asarray(predictions.tree.nodes[predictions.tree.ranks == rank], np.int32)


def _places(predictions: Predictions) -> Array:
    """(n, ranks) int64: how many taxa of each rank were more probable than the true one."""
    places = []
    for rank in range(len(predictions.ranks)):
        nodes = nodes_at(predictions, rank)
        true = predictions.taxonomy.ancestor(np.maximum(predictions.truth, 0), rank)
        places.append(place_of_truth(predictions.log_p[:, nodes], columns_of(nodes, true)))
    return np.stack(places, axis=1)


def _p_of(predictions: Predictions, said: Array, how: str) -> Array:
    """(n, ranks) float64 p of what is said, NaN where nothing is: of the node in the tree, or by the rank's own classifier."""
    p = np.full(said.shape, np.nan)
    for rank in range(said.shape[1]):
        rows = np.flatnonzero(said[:, rank] >= 0)
        if how == RAW and predictions.rank_scores is not None:
            found = predictions.rank_scores[rank][rows].max(axis=1) if len(rows) else np.empty(0)
        else:
            found = predictions.log_p[rows, said[rows, rank]]
        p[rows, rank] = np.clip(np.exp(found.astype(np.float64)), 0, 1)
    return p


# ---- from the table of answers ---------------------------------------------------------------------------------------


def with_answers(named: Names, asked: Asked, table: pa.Table, how: str = BEST_PATH) -> Names:
    """The same namer with what it told whoever asked: calibrated confidence, where the roll-back stopped, novelty.

    table: see :func:`biocosmos.identify.answers.answer_table`, any order. Raises BiocosmosError where it lacks an id.
    """
    ids = table.column("id").to_pylist()
    table = table.take(pa.array(in_order(np.arange(len(ids)), ids, asked.ids, "are not in the table of answers")))
    told = _told(table, asked.taxonomy)
    if how != BEST_PATH:  # confidence and roll-back are of the best path
        told = {**told, "said": named.said, "p": named.p}
    ways = {**named.ways, BEST_PATH: told["said"]} if how == BEST_PATH and named.ways else named.ways
    return replace(named, **told, ways=ways, raw=named.p if how == BEST_PATH else None)


def from_answers(
    table: pa.Table,
    truth: Gallery | pa.Table | npt.ArrayLike | None,
    taxonomy: Taxonomy | None,
    known: Gallery | None,
    name: str | None = None,
    branch: str | None = None,
) -> tuple[Asked, Names]:
    """A table of answers alone, with the truth beside it.

    truth: a Gallery or a table with ``id`` and rank columns that hold every id of ``table``, or (n,) nodes in its order;
    taxonomy: needed unless ``truth`` is a Gallery; known: specimens that the namer was fitted on, which say what could have been
    answered. Raises BiocosmosError for an empty table, one without a truth, and ids that are in ``known``.
    """
    taxonomy = taxonomy or getattr(truth, "taxonomy", None)
    if taxonomy is None:
        raise BiocosmosError("judging identifications needs a taxonomy: pass taxonomy=collection.taxonomy")
    ids = np.array(table.column("id").to_pylist(), dtype=object)
    if not len(ids):
        raise BiocosmosError("nothing to judge: the table of identifications is empty")
    able = None if known is None or known.taxa is None else _ancestors(taxonomy, known.taxa)
    asked = Asked.over(ids, taxonomy, np.maximum(_true_nodes(ids, truth, taxonomy), 0), able, branch)
    told = _told(table, taxonomy)
    made = told["answers_facts"]
    method = table.column("method")[0].as_py() if "method" in table.column_names else made.get("method", "identifier")
    facts = {"namer": method, "encoder": encoder_of(made.get("gallery", {})) or made.get("encoder"), **_split_of(made, known)}
    return asked, Names(name or str(method), facts=facts, **told)


def in_order(values: Array, have: Iterable[Any], want: Iterable[Any], lacking: str) -> Array:
    """``values`` of ids ``have`` in the order of ids ``want``. Raises BiocosmosError, "3 identified ids <lacking> (a, b, c)"."""
    place = {name: i for i, name in enumerate(have)}
    want = list(want)
    missing = [str(name) for name in want if name not in place]
    if missing:
        raise BiocosmosError(f"{len(missing)} identified ids {lacking} ({', '.join(missing[:3])})")
    ordered: Array = np.asarray(values)[[place[name] for name in want]].astype(np.int64)
    return ordered


def _told(table: pa.Table, taxonomy: Taxonomy) -> Row:
    """What a table of answers says of each row, as fields of :class:`Names`."""
    ranks = [rank for rank in taxonomy.ranks if rank in table.column_names]
    path = np.maximum(taxonomy.index(table.select(ranks)), 0).astype(np.int64)
    said = taxonomy.lineage(path)
    place = {rank: i for i, rank in enumerate(taxonomy.ranks)}
    at = np.array([place.get(rank, -1) for rank in table.column("rank").to_pylist()], dtype=np.int64)
    p = np.stack([_floats(table, f"{rank}_confidence") for rank in taxonomy.ranks], axis=1)
    p[said < 0] = np.nan
    stored = (table.schema.metadata or {}).get(PROVENANCE_KEY)
    facts: Row = json.loads(stored) if stored else {}
    promise = facts.get("promise") or {}
    threshold = promise.get("threshold", facts.get("threshold")) if isinstance(promise, Mapping) else facts.get("threshold")
    stop = np.maximum(pick(said, at, 0), 0).astype(np.int64)
    sure = stop if threshold is None else np.maximum(pick(said, lowest_sure_rank(p, float(threshold)), 0), 0).astype(np.int64)
    flagged = np.zeros(table.num_rows, bool)
    if "novel" in table.column_names:
        flagged = table.column("novel").fill_null(False).to_numpy().astype(bool)
    novelty = _floats(table, "novelty")
    return {
        "said": said,
        "p": p,
        "stop": stop,
        "sure": sure,
        "novelty": None if np.isnan(novelty).all() else novelty,
        "flagged": flagged,
        "table": table,
        "answers_facts": facts,
    }


def _floats(table: pa.Table, name: str) -> Array:
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    values: Array = table.column(name).cast(pa.float64()).to_numpy()
    return values.copy()


def _true_nodes(ids: Array, truth: Any, taxonomy: Taxonomy) -> Array:
    lacking = "have no truth: pass the gallery or table that holds them"
    if isinstance(truth, Gallery):
        if truth.taxa is None:
            raise BiocosmosError("the truth has no taxa: pass a labelled gallery")
        return in_order(truth.taxa, truth.ids, ids, lacking)
    if isinstance(truth, pa.Table):
        return in_order(taxonomy.index(truth), truth.column("id").to_pylist(), ids, lacking)
    nodes = np.asarray([] if truth is None else truth, dtype=np.int64)
    if nodes.shape != ids.shape:
        raise BiocosmosError(f"{len(nodes)} true taxa for {len(ids)} identifications: pass one for each row")
    return nodes


def _ancestors(taxonomy: Taxonomy, taxa: Array) -> Array:
    """(nodes,) bool: the taxa and everything above them, and the root."""
    known = np.zeros(len(taxonomy), dtype=bool)
    lines = taxonomy.lineage(np.unique(np.maximum(taxa, 0)))
    known[lines[lines >= 0]] = True
    known[0] = True
    return known


def _split_of(made: Mapping[str, Any], known: Gallery | None) -> Row:
    """The split that an answer table, or what it was made from, says it comes from."""
    for facts in (made.get("gallery") or {}, made, {} if known is None else known.provenance):
        if facts.get("split") or facts.get("split_hash"):
            return {key: facts[key] for key in ("split", "split_hash") if facts.get(key)}
    return {}
