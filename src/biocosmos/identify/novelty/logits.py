"""Detectors that read class scores alone: nothing to learn, nothing to store."""

from __future__ import annotations

import numpy as np

from biocosmos.errors import BiocosmosError
from biocosmos.identify.novelty.detector import Detector, Float64, Hidden
from biocosmos.identify.predictions import Predictions

CONSTANT = 1e-5
"""A deviation of energies over the training specimens below which a head's scores are normalised and say nothing."""


def log_sum_exp(scores: Float64) -> Float64:
    """log sum exp over the columns: scores (n, C). Returns (n,)."""
    most = scores.max(axis=1)
    return np.asarray(most + np.log(np.exp(scores - most[:, None]).sum(axis=1)))


class MaxSoftmax(Detector):
    """1 - max_c p(c), in [0, 1 - 1/C].

    Hendrycks, Gimpel: A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural Networks, ICLR 2017,
    arXiv:1610.02136.
    """

    name = "msp"
    says = "one minus the largest class probability"

    def _scores(self, predictions: Predictions, hidden: Hidden | None) -> Float64:
        return np.asarray(1 - predictions.class_probabilities().max(axis=1))


class MaxLogit(Detector):
    """-max_c z_c: the largest class score before softmax.

    Hendrycks et al.: Scaling Out-of-Distribution Detection for Real-World Settings, ICML 2022, arXiv:1911.11132, section 3.
    """

    name = "max-logit"
    says = "minus the largest class score, before softmax"

    def _scores(self, predictions: Predictions, hidden: Hidden | None) -> Float64:
        return np.asarray(-predictions.logits.max(axis=1).astype(np.float64))


class Energy(Detector):
    """-T log sum_c exp(z_c / T).

    Liu et al.: Energy-based Out-of-distribution Detection, NeurIPS 2020, arXiv:2010.03759, equation 3. Raises BiocosmosError in
    ``fit`` for a head whose scores are normalised: their energy is 0 for every specimen.
    """

    name = "energy"
    says = "minus the logarithm of the summed exponentials of all class scores"

    def __init__(self, temperature: float = 1.0) -> None:
        if not temperature > 0:
            raise BiocosmosError(f"energy needs a temperature above 0, not {temperature}")
        self.temperature = temperature

    def _fit(self, train: Predictions, held_out: Predictions | None) -> None:
        if len(train) > 1 and self._scores(train, None).std() < CONSTANT:
            raise BiocosmosError("the class scores of this head are normalised, so their energy says nothing: use 'msp' or 'knn'")

    def _scores(self, predictions: Predictions, hidden: Hidden | None) -> Float64:
        return -self.temperature * log_sum_exp(predictions.logits.astype(np.float64) / self.temperature)
