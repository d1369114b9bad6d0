"""How probable it is that a specimen is of a taxon that nobody knows here, by a namer that says so itself."""

from __future__ import annotations

import numpy as np

from biocosmos.errors import BiocosmosError
from biocosmos.identify.novelty.detector import Detector, Float64, Hidden
from biocosmos.identify.novelty.logits import log_sum_exp
from biocosmos.identify.predictions import Predictions


class OwnMass(Detector):
    """Log odds of the classes that have classes below them against those that have none: a namer like "fused" keeps the mass
    of members that nobody knows at the taxon above them. It learns nothing."""

    name = "own-mass"
    says = "log odds of being of a taxon that nobody knows here, for the method 'fused'"

    def _fit(self, train: Predictions, held_out: Predictions | None) -> None:
        if not train.facts.get("unknown_below"):
            raise BiocosmosError(f"the novelty detector {self.name!r} is for the method 'fused': choose another")

    def _scores(self, predictions: Predictions, hidden: Hidden | None) -> Float64:
        classes = predictions.classes
        inner = np.append(classes[1:], len(predictions.taxonomy)) < predictions.taxonomy.end[classes]
        if not inner.any() or inner.all():
            return np.full(len(predictions), np.nan)
        scores = np.maximum(predictions.logits.astype(np.float64), -1e30)  # of a hidden class
        return log_sum_exp(scores[:, inner]) - log_sum_exp(scores[:, ~inner])
