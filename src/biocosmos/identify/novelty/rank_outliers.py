"""Outliers rank by rank: is the winning score of each rank as large as it is for known specimens of the taxon that won?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.identify.novelty.detector import Detector, Float64, Hidden
from biocosmos.identify.novelty.logits import log_sum_exp
from biocosmos.identify.predictions import Predictions

UNSURE = 2.5
"""Deviations below a taxon's mean from which a score is unsure (Bjerge et al. 2023, one k for all ranks)."""
PRIOR_SPECIMENS = 5.0
"""How many specimens the pooled variance of a rank counts as, beside a taxon's own."""


class RankOutliers(Detector):
    """max over ranks of (mu_v - z_v) / sigma_v, v the taxon that wins at the rank, z_v its raw score.

    Bjerge et al.: Hierarchical classification of insects with multitask learning and anomaly detection, 2023 (as in its author's
    code): mean mu and deviation sigma of the winning raw score per taxon and rank, unsure when z < mu - 2.5 sigma.

    Two things are otherwise here. The raw score of a taxon is log sum exp of the class scores at or under it, so that every head
    has one. And sigma is shrunk to the pooled variance of its rank, sigma^2 = ((n - 1) s^2 + 5 s_rank^2) / (n - 1 + 5), because a
    taxon with one specimen has none of its own (73 of 497 there); mu likewise, ((n mu + 5 mu_rank) / (n + 5)).

    Means and deviations come from the held-out specimens if there are any: on its training specimens a network is surer.
    """

    name = "rank-outliers"
    says = "deviations by which the winning score of a rank falls short of what is usual for its taxon, the worst rank"

    def _fit(self, train: Predictions, held_out: Predictions | None) -> None:
        known = train if held_out is None or not held_out.judged.any() else held_out
        won, raw = winning_scores(known.subset(known.judged))
        self.mean = np.full((len(train.taxonomy), len(train.ranks)), np.nan)
        self.deviation = self.mean.copy()
        for level in range(len(train.ranks)):
            at = won[:, level] >= 0
            if not at.any():
                continue
            nodes, z = won[at, level], raw[at, level]
            self.mean[:, level], self.deviation[:, level] = _shrunk(nodes, z, len(train.taxonomy))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Means and deviations by node and rank."""
        return {"mean": self.mean, "deviation": self.deviation}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self.mean, self.deviation = arrays["mean"], arrays["deviation"]

    def by_rank(self, predictions: Predictions) -> Float64:
        """(n, L) float64 deviations below the mean at each rank; NaN where the best path has no taxon at the rank."""
        if self._like is None:
            raise BiocosmosError(f"detector {self.name!r} has learnt nothing yet: call fit(train) first")
        won, raw = winning_scores(predictions)
        out = np.full(won.shape, np.nan)
        for level in range(won.shape[1]):
            at = won[:, level] >= 0
            nodes = won[at, level]
            out[at, level] = (self.mean[nodes, level] - raw[at, level]) / self.deviation[nodes, level]
        return out

    def deepest_sure(self, predictions: Predictions, unsure: float = UNSURE) -> npt.NDArray[np.int32]:
        """The deepest node of the best path down to which every rank is sure, 0 where none is: (n,) int32.

        The published rule: the finest rank if it and the ones above it are sure, else the next coarser. Paths here are consistent
        with the tree, so none is unsure for contradicting itself.
        """
        short, won = self.by_rank(predictions), predictions.best_path()[0]
        sure = np.logical_and.accumulate(np.isnan(short) | (short <= unsure), axis=1) & (won >= 0)
        answer = np.zeros(len(won), np.int32)
        for level in range(won.shape[1]):
            answer = np.where(sure[:, level], won[:, level], answer)
        return answer

    def _scores(self, predictions: Predictions, hidden: Hidden | None) -> Float64:
        short = self.by_rank(predictions)
        return np.where(np.isnan(short).all(axis=1), np.nan, np.where(np.isnan(short), -np.inf, short).max(axis=1))


def winning_scores(predictions: Predictions) -> tuple[npt.NDArray[np.int32], Float64]:
    """The best path (n, L) int32, -1 null, and the raw scores of its taxa (n, L) float64, NaN there.

    Raw score of a node = log sum exp of the class scores at or under it = log p(node) + log sum exp of all.
    """
    won = predictions.best_path()[0]
    log_p = predictions.tree.log_p(predictions.logits, won)
    raw = log_p + log_sum_exp(predictions.logits.astype(np.float64))[:, None]
    return won, np.where(won >= 0, raw, np.nan)


def _shrunk(nodes: npt.NDArray[np.int32], z: Float64, count: int) -> tuple[Float64, Float64]:
    """Mean and deviation of z for every node (count,), shrunk to those of all."""
    n = np.bincount(nodes, minlength=count)
    sums = np.bincount(nodes, z, count)
    middle = sums / np.maximum(n, 1)
    square = np.bincount(nodes, (z - middle[nodes]) ** 2, count)
    freedom = np.maximum(n - 1, 0)
    pooled = square.sum() / max(int(freedom.sum()), 1)
    if not pooled > 0:
        pooled = max(float(z.var()), 1e-12)
    mean = (sums + PRIOR_SPECIMENS * z.mean()) / (n + PRIOR_SPECIMENS)
    return mean, np.sqrt((square + PRIOR_SPECIMENS * pooled) / (freedom + PRIOR_SPECIMENS))
