"""A novelty detector: how undecided the namer is between all its classes."""

from typing import ClassVar

import numpy as np

from biocosmos.identify.novelty.detector import Detector


class Entropy(Detector):
    """-sum p log p over the classes, in nats: 0 where the namer is sure of one, log C where it takes all C for equally likely."""

    name: ClassVar[str] = "entropy"
    says: ClassVar[str] = "entropy of the class probabilities"

    def _scores(self, predictions, hidden):
        p = predictions.class_probabilities()  # (n, classes) float64; 0 for the classes hidden from a specimen
        return -np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=1)
