"""Sets of taxa that hold the true one with a stated probability."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biocosmos.errors import BiocosmosError
from biocosmos.identify.confidence.promises import DEFAULT_ALPHA, allowed_errors, check_promise, refuse_other_head, rounded_up
from biocosmos.identify.predictions import Predictions

Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]

# Score of a truth that no set can hold.
_NEVER = -1.0


@dataclass(frozen=True)
class PredictionSets:
    """All taxa at least as probable as a threshold, which calibration specimens set so that the true taxon is among them with
    probability at least 1 - alpha. Make one with :meth:`fit`.

    Split conformal prediction with the score p(true taxon): Sadinle, Lei, Wasserman: Least Ambiguous Set-Valued Classifiers
    with Bounded Error Levels, JASA 2019, arXiv:1609.00451. The threshold is the floor(alpha (n + 1))-th smallest score of the
    n calibration specimens. The promise is an average over specimens and calibration parts and rests on exchangeability. The
    most probable taxon is always in the set, so that none is empty; that only adds to the coverage. Nothing is fitted but the
    threshold, so no calibration specimen is set apart.

    rank: whose taxa are in the sets; None for the head's classes, where a truth known to a coarser rank only is covered when
    all classes under it are in the set, so that the true one is for certain. At a rank, specimens without a name there are left
    out. A truth that the head has no class for is never covered.

    alpha; threshold: p; specimens: that set it; head, tree: digests of what it was fitted for.
    """

    alpha: float
    rank: str | None
    threshold: float
    specimens: int
    head: str | None = None
    tree: str = ""

    @classmethod
    def fit(cls, predictions: Predictions, alpha: float = DEFAULT_ALPHA, rank: str | None = None) -> PredictionSets:
        """Set the threshold on calibration specimens that the head was neither trained nor chosen on.

        Raises BiocosmosError: an unknown rank; alpha not between 0 and 1, or impossible with so few specimens or with so many
        of taxa that the head lacks (the smallest possible is named).
        """
        check_promise("mean", alpha)
        scores = true_scores(predictions, rank)
        scores = scores[~np.isnan(scores)]
        threshold = set_threshold(scores, alpha)
        if threshold == _NEVER or np.isnan(threshold):
            n, never = len(scores), int((scores == _NEVER).sum())
            where = "" if rank is None else f" with a name at rank '{rank}'"
            raise BiocosmosError(
                f"sets that miss at most {alpha:g} cannot be promised with {n:,} calibration specimens{where}, {never:,} of them "
                f"of taxa that the head lacks: the smallest possible is {rounded_up((never + 1) / (n + 1))}"
            )
        head = predictions.facts.get("digest")
        return cls(alpha, rank, threshold, len(scores), None if head is None else str(head), predictions.taxonomy.digest)

    def sets(self, predictions: Predictions) -> Sets:
        """The set of each of n specimens. Raises BiocosmosError for predictions of another head."""
        refuse_other_head(predictions, self.head, self.tree)
        items, p = set_items(predictions, self.rank)
        member = p >= self.threshold
        if len(items):
            member[np.arange(len(p)), p.argmax(axis=1)] = True
        return Sets(predictions, items, p, member)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; ``PredictionSets(**facts)`` reads it."""
        return dict(vars(self))


@dataclass(frozen=True)
class Sets:
    """Sets of n specimens over m taxa: items (m,) int32 nodes; p (n, m) float64; member (n, m) bool."""

    predictions: Predictions
    items: Int32
    p: Float64
    member: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.member)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(n,) taxa in each set."""
        return np.asarray(self.member.sum(axis=1), np.int64)

    def nodes(self, row: int) -> Int32:
        """The taxa of one set, the most probable first."""
        inside = np.flatnonzero(self.member[row])
        return self.items[inside[np.argsort(-self.p[row, inside], kind="stable")]]

    def merged(self, row: int) -> Int32:
        """The fewest nodes that stand for the set: where all classes under a node are in it, the node instead of them; ascending.

        Of nodes with the same classes the lowest is named.
        """
        spans, chosen = self._spans, np.concatenate([[0], np.cumsum(self.member[row])])
        whole = np.flatnonzero(
            (chosen[spans[:, 1]] - chosen[spans[:, 0]] == spans[:, 1] - spans[:, 0]) & (spans[:, 1] > spans[:, 0])
        )
        found: list[int] = []
        reached = 0
        for place in whole:  # ascending: a node comes before what is under it
            if self._places[place] == 0 or spans[place, 0] < reached:
                continue
            same = whole[(spans[whole] == spans[place]).all(axis=1)]
            found.append(int(self._places[same.max()]))
            reached = int(spans[place, 1])
        return np.array(found, np.int32)

    def names(self, *, merged: bool = False, separator: str = " | ") -> list[str]:
        """Each set as words: the most probable first, or the merged nodes."""
        names = self.predictions.taxonomy.names
        chosen = self.merged if merged else self.nodes
        return [separator.join(names[chosen(row)]) for row in range(len(self))]

    def covers(self, predictions: Predictions, rank: str | None) -> Float64:
        """(n,) 1 where the set holds the truth, 0 where not, NaN where there is none to hold."""
        columns = true_columns(predictions, rank, self.items)
        return np.array([np.nan if c is None else float(len(c) > 0 and self.member[i, c].all()) for i, c in enumerate(columns)])

    @cached_property
    def _places(self) -> Int32:
        return self.predictions.tree.nodes

    @cached_property
    def _spans(self) -> NDArray[np.int64]:
        """(nodes, 2): first and last + 1 of the items at or under each node."""
        end = self.predictions.taxonomy.end[self._places]
        return np.stack([np.searchsorted(self.items, self._places), np.searchsorted(self.items, end)], axis=1)


def set_threshold(scores: Float64, alpha: float) -> float:
    """The floor(alpha (n + 1))-th smallest of the scores (n,) of true taxa; NaN when n is too small."""
    allowed = allowed_errors(alpha, len(scores))
    if allowed < 1:
        return float("nan")
    return float(np.partition(scores, allowed - 1)[allowed - 1])


def true_scores(predictions: Predictions, rank: str | None) -> Float64:
    """The p that a set's threshold must not exceed if the set is to hold the truth: (n,); -1 if none can, NaN nothing to hold."""
    items, p = set_items(predictions, rank)
    columns = true_columns(predictions, rank, items)
    return np.array([np.nan if c is None else p[i, c].min() if len(c) else _NEVER for i, c in enumerate(columns)], np.float64)


def true_columns(predictions: Predictions, rank: str | None, items: Int32) -> list[NDArray[np.int64] | None]:
    """Per specimen, the columns of ``items`` that a set must hold to cover its truth; none for a truth the head lacks; None where
    nothing is known, or no name at the rank."""
    taxonomy, truth = predictions.taxonomy, predictions.truth
    unasked = truth == 0
    if rank is not None:
        at_rank = taxonomy.ancestor(np.maximum(truth, 0), rank)
        unasked |= (truth > 0) & (at_rank < 0)
        truth = np.where(truth > 0, at_rank, truth)
    of: dict[int, NDArray[np.int64]] = {-1: np.empty(0, np.int64)}
    for node in np.unique(truth[truth > 0]):
        first, last = np.searchsorted(items, [node, taxonomy.end[node]])
        own = first < last and items[first] == node
        of[int(node)] = np.array([first]) if own else np.arange(first, last)
    return [None if none else of[int(node)] for node, none in zip(truth, unasked)]


def set_items(predictions: Predictions, rank: str | None) -> tuple[Int32, Float64]:
    """The taxa that sets are made of (m,), ascending, and their p (n, m)."""
    if rank is None:
        return predictions.classes, predictions.class_probabilities()
    tree = predictions.tree
    items = tree.nodes[tree.ranks == predictions.taxonomy.rank_index(rank)]
    return items, np.exp(predictions.log_p[:, items].astype(np.float64))
