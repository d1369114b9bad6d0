"""Ways to read one answer per rank out of a head's predictions, and what each specimen is asked at each rank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.hierarchy import deepest, place_of_truth
from biocosmos.evaluate.numbers.targets import Target, node_paths
from biocosmos.identify.predictions import Predictions
from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]
BEST_PATH, BEST_CLASS, EACH_RANK, RAW = "best path", "best class", "each rank alone", "raw levels"
DECODINGS = {
    BEST_PATH: "from the root each time to the most probable child; always one path",
    BEST_CLASS: "the most probable class and what stands above it; always one path",
    EACH_RANK: "the most probable taxon of each rank by itself, from the one distribution over the tree",
    RAW: "what each rank's own classifier says, before the head makes its ranks agree",
}
ALL = "all"


def decode(predictions: Predictions, how: str = BEST_PATH) -> npt.NDArray[np.int32] | None:
    """The node answered at every rank, (n, ranks) int32, -1 for none, in one of the ways of DECODINGS.

    None for the raw levels of a head that has none.
    """
    if how == BEST_PATH:
        return predictions.best_path()[0]
    if how == BEST_CLASS:
        return predictions.taxonomy.lineage(predictions.classes[predictions.logits.argmax(axis=1)])
    ranks = range(len(predictions.ranks))
    if how == EACH_RANK:
        nodes = [nodes_at(predictions, rank) for rank in ranks]
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
    """Nodes of a rank with a class at or under them, ascending: what the head can answer there."""
    return np.asarray(predictions.tree.nodes[predictions.tree.ranks == rank], np.int32)


@dataclass(frozen=True)
class Answers:
    """What one head answered.

    said: (n, ranks) int32 nodes, -1 for no answer; p: (n, ranks) float64, NaN where there is none, or None; place: per rank (n,)
    how many taxa of the rank were more probable than the true one, or None.
    """

    name: str
    said: Array
    p: Array | None = None
    place: tuple[Array, ...] | None = None

    @property
    def deepest(self) -> Array:
        """(n,) the finest answer."""
        return deepest(self.said)


def answers(predictions: Predictions, name: str, how: str = BEST_PATH) -> Answers:
    """What is said at every rank in one of the ways of DECODINGS, its p, and the place of the truth at every rank.

    Raises BiocosmosError for an unknown way, and for the raw levels of a head that has none.
    """
    if how not in DECODINGS:
        raise BiocosmosError(f"answers cannot be read as '{how}': choose {', '.join(DECODINGS)}")
    said = decode(predictions, how)
    if said is None:
        raise BiocosmosError(f"{name} has no raw levels, only one distribution over its classes: read it as '{EACH_RANK}'")
    places = []
    for rank in range(len(predictions.ranks)):
        nodes = nodes_at(predictions, rank)
        true = predictions.taxonomy.ancestor(np.maximum(predictions.truth, 0), rank)
        places.append(place_of_truth(predictions.log_p[:, nodes], columns_of(nodes, true)))
    return Answers(name, said, _p_of(predictions, said, how), tuple(places))


def _p_of(predictions: Predictions, said: Array, how: str) -> Array:
    """(n, ranks) float64 p of what is said, NaN where nothing is: of the node in the tree, or by the raw level."""
    p = np.full(said.shape, np.nan)
    for rank in range(said.shape[1]):
        rows = np.flatnonzero(said[:, rank] >= 0)
        if how == RAW and predictions.rank_scores is not None:
            found = predictions.rank_scores[rank][rows].max(axis=1) if len(rows) else np.empty(0)
        else:
            found = predictions.log_p[rows, said[rows, rank]]
        p[rows, rank] = np.clip(np.exp(found.astype(np.float64)), 0, 1)
    return p


def columns_of(nodes: Array, wanted: Array) -> Array:
    """Index into ascending ``nodes`` of each of ``wanted`` (n,), -1 where it is not among them."""
    if not len(nodes):
        return np.full(len(wanted), -1, np.int64)
    at = np.minimum(np.searchsorted(nodes, wanted), len(nodes) - 1)
    return np.where(nodes[at] == wanted, at, -1).astype(np.int64)


@dataclass(frozen=True)
class Asked:
    """The specimens of a report: what is true of them, what a head could have answered, and the branch each belongs to.

    truth: (n,) deepest known node, 0 unknown, -1 not in the tree; able: (nodes,) bool, taxa with a class at or under them.
    """

    ids: Array
    taxonomy: Taxonomy
    truth: Array
    able: Array
    branch_rank: str

    @classmethod
    def of(cls, predictions: Predictions, branch: str | None = None) -> Asked:
        """From one head's predictions; branch: the rank whose taxa are reported apart, the first by default."""
        taxonomy = predictions.taxonomy
        able = np.zeros(len(taxonomy), bool)
        able[predictions.tree.nodes] = True
        rank = taxonomy.ranks[taxonomy.rank_index(0 if branch is None else branch)]
        return cls(predictions.ids, taxonomy, predictions.truth, able, rank)

    @property
    def true(self) -> Array:
        """(n, ranks) int32 true nodes, -1 null."""
        return self.taxonomy.lineage(np.maximum(self.truth, 0))

    @property
    def judged(self) -> Array:
        """(n,) bool: something is known."""
        return self.truth > 0

    @property
    def answerable(self) -> Array:
        """(n,) bool: the deepest known taxon has a class at or under it."""
        return self.judged & self.able[np.maximum(self.truth, 0)]

    def targets(self) -> list[Target]:
        """One a rank at which some specimen has a name; its "gallery" is one row for each taxon the head can answer."""
        found = []
        for rank, name in enumerate(self.taxonomy.ranks):
            true = self.true[:, rank]
            if not (true >= 0).any():
                continue
            nodes = self.taxonomy.at_rank(rank).astype(np.int64)
            able = np.flatnonzero(self.able[nodes])
            found.append(
                Target(
                    name,
                    "rank",
                    columns_of(nodes, true),
                    able,
                    nodes,
                    self.taxonomy.names[nodes],
                    node_paths(self.taxonomy, nodes),
                )
            )
        return found

    def branches(self) -> Iterator[tuple[str, Array]]:
        """All specimens (n,) bool, then those of each taxon of the branch rank, then those with no name there; none if only
        one is left."""
        true = self.true[:, self.taxonomy.rank_index(self.branch_rank)]
        yield ALL, np.ones(len(true), bool)
        parts = [(str(self.taxonomy.names[node]), true == node) for node in np.unique(true[true >= 0])]
        nameless = self.judged & (true < 0)
        if nameless.any():
            parts.append((f"{self.branch_rank} unknown", nameless))
        if len(parts) > 1:
            yield from parts


def within(target: Target, rows: Array) -> Target:
    """The target with the specimens outside ``rows`` (n,) bool not asked."""
    return replace(target, query=np.where(rows, target.query, -1))
