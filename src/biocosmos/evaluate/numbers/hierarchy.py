"""Numbers over answers at every rank of a tree: agreement per taxon, overlap of paths, severity of mistakes, consistency.

Throughout, a null rank of the truth judges nothing: what was answered there is neither right nor wrong and counts nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from biocosmos.taxonomy import Taxonomy

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Agreement:
    """Precision, recall and F1 of single taxa; any leading dimensions (resamples), the taxa last.

    right: specimens of the taxon that were named it; named: specimens named it; true: specimens of it. A taxon never named has
    precision 0 and F1 0, one without specimens recall 0, as scikit-learn counts with zero_division=0.
    """

    right: Array
    named: Array
    true: Array

    @property
    def precision(self) -> Array:
        """Of the specimens named the taxon, the share that is."""
        return _ratio(self.right, self.named)

    @property
    def recall(self) -> Array:
        """Of the specimens of the taxon, the share named it."""
        return _ratio(self.right, self.true)

    @property
    def f1(self) -> Array:
        """Harmonic mean of the two: 2 right / (named + true)."""
        return _ratio(2 * self.right, self.named + self.true)

    def macro(self, scores: Array, taxa: Array) -> Array:
        """Mean of ``scores`` over ``taxa`` (codes), every taxon counting the same."""
        mean: Array = scores[..., taxa].mean(axis=-1)
        return mean

    def weighted(self, scores: Array) -> Array:
        """Mean of ``scores`` over the taxa, each counting as often as it has specimens."""
        return _ratio((scores * self.true).sum(axis=-1), self.true.sum(axis=-1))


def _ratio(part: Array, whole: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.asarray(whole) > 0, part / np.maximum(whole, 1), 0.0)


def agreement(true: Array, named: Array, taxa: int) -> Agreement:
    """Count codes (n,) of true and named taxa in [0, taxa), -1 for none: a specimen with no true taxon is left out."""
    judged = true >= 0
    true, named = true[judged], named[judged]
    return Agreement(
        np.bincount(true[true == named], minlength=taxa),
        np.bincount(named[named >= 0], minlength=taxa),
        np.bincount(true, minlength=taxa),
    )


def place_of_truth(scores: Array, true: Array) -> Array:
    """How many columns stand before the true one, best first: (n,) int64, 0 when it is the best; ties in column order.

    scores: (n, m) float, higher is better, no NaN; true: (n,) column of the true taxon, -1 where it has none: these get m.
    """
    rows, columns = scores.shape
    if not columns:
        return np.zeros(rows, np.int64)
    own = scores[np.arange(rows), true][:, None]
    before = (scores > own).sum(axis=1) + ((scores == own) & (np.arange(columns) < true[:, None])).sum(axis=1)
    places: Array = np.where(true >= 0, before, columns).astype(np.int64)
    return places


def path_overlap(said: Array, true: Array) -> Array:
    """(n, 3) int64: taxa on both paths, taxa answered, true taxa, each counted at the ranks where the truth has a name.

    said, true: (n, ranks) nodes, -1 null. Their sums give hierarchical precision (both / answered), recall (both / true) and F1
    (2 both / (answered + true)) of Kiritchenko et al. 2006 (https://doi.org/10.1007/11766247_34), pooled over specimens.
    """
    known = true >= 0
    columns = ((said == true) & known, (said >= 0) & known, known)
    return np.stack([column.sum(axis=1) for column in columns], axis=1)


def severity(taxonomy: Taxonomy, said: Array, truth: Array) -> Array:
    """How many ranks one must climb from the true taxon to the lowest one that holds both it and the answer: (n,) int64.

    The height of the lowest common ancestor (Bertinetto et al. 2020, https://arxiv.org/abs/1912.09393), in ranks: 0 right, 1 the
    right taxon one rank up, and so on; the true taxon's rank + 1 where they share nothing. Ranks that are null on the way count
    as steps, so that a mistake between two statuses is equally severe for every taxon of a rank. said, truth: (n,) nodes; an
    answer below the known truth is no mistake; -1 where the truth is unknown (<= 0).
    """
    said, truth = np.asarray(said), np.asarray(truth)
    rank = taxonomy.rank.astype(np.int64)  # the root's is -1
    known = np.maximum(truth, 0)
    common = np.maximum(taxonomy.lowest_common(np.maximum(said, 0), known), 0)
    climbed: Array = np.where(truth > 0, rank[known] - rank[common], -1)
    return climbed


def consistent(taxonomy: Taxonomy, said: Array) -> npt.NDArray[np.bool_]:
    """Whether the answers of the ranks can stand together on one path: (n,) bool.

    said: (n, ranks) nodes, -1 for no answer. They can when the ancestors of every answer are the answers at their ranks; ranks
    where the ancestor or the answer is null judge nothing.
    """
    agreed = np.ones(len(said), bool)
    for fine in range(1, said.shape[1]):
        above = taxonomy.lineage(said[:, fine])[:, :fine]
        agreed &= ((above == said[:, :fine]) | (above < 0) | (said[:, :fine] < 0)).all(axis=1)
    return agreed


def deepest(said: Array) -> Array:
    """(n,) int64: the answer at the finest rank that has one, 0 where there is none; said (n, ranks), -1 for no answer."""
    at = np.where(said >= 0, np.arange(said.shape[1]), -1).max(axis=1, initial=-1)
    return np.where(at >= 0, said[np.arange(len(said)), at], 0).astype(np.int64)
