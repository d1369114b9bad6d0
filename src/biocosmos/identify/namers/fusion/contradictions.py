"""Whether image and barcode contradict each other: what each says by itself, where it can be relied upon, and where they part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from biocosmos.identify.confidence.promises import Outcomes, answered_threshold, answers_at
from biocosmos.identify.namers.fusion.pool import Float64, Nodes
from biocosmos.identify.paths import candidate_tree
from biocosmos.taxonomy import Taxonomy

WRONG, DELTA = 0.05, 0.1
"""What one modality says by itself is relied upon where at most so many of its answers are wrong, with probability 1 - DELTA."""
UNTESTED = 0.95
"""The probability from which on a modality is relied upon where too few specimens, or too wrong ones, set none."""
Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Reliable:
    """threshold: the probability of a taxon on the best path from which on one modality by itself is relied upon."""

    threshold: float

    @classmethod
    def fit(
        cls, tree: Nodes, scores: Float64, truth: Int32, fitted: npt.NDArray[np.bool_], unseen: npt.NDArray[np.bool_]
    ) -> Self:
        """On specimens set apart: scores (k, m), truth (k,) nodes; those that weights were not fitted on set the threshold, of
        known and of hidden taxa each by themselves."""
        nodes, p = best_path(tree, scores)
        outcomes = Outcomes.of(tree.taxonomy, nodes, p, truth)
        groups = [np.flatnonzero(~fitted & mine) for mine in (unseen, ~unseen)]
        testing = [outcomes.rows(group) for group in groups if len(group)]
        if not testing or not fitted.any():
            return cls(UNTESTED)
        found = answered_threshold(outcomes.rows(np.flatnonzero(fitted)), testing, WRONG, DELTA)
        return cls(found if np.isfinite(found) else UNTESTED)

    def says(self, tree: Nodes, scores: Float64) -> Int32:
        """(n,) the lowest taxon that can be relied upon, 0 for none."""
        return answers_at(*best_path(tree, scores), self.threshold).nodes


def best_path(tree: Nodes, scores: Float64) -> tuple[Int32, Float64]:
    """Nodes (n, L), -1 null, and their probabilities."""
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    return candidate_tree(tree.taxonomy, tree.nodes).best_path(p / p.sum(axis=1, keepdims=True))


def disagree(taxonomy: Taxonomy, one: Int32, other: Int32) -> npt.NDArray[np.bool_]:
    """(n,) whether two answers cannot both be right: neither is above the other. No answer contradicts none."""
    return np.asarray((one > 0) & (other > 0) & ~taxonomy.is_ancestor(one, other) & ~taxonomy.is_ancestor(other, one))
