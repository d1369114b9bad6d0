"""Several detectors in one score: each in units of its own spread over known specimens, then the mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from biocosmos.errors import BiocosmosError
from biocosmos.identify.novelty.detector import Detector, Float64, Hidden, known_only
from biocosmos.identify.novelty.features import ClassAngle, WhitenedNeighbours
from biocosmos.identify.novelty.logits import Energy, MaxSoftmax
from biocosmos.identify.predictions import Predictions

MEMBERS: tuple[Callable[[], Detector], ...] = (Energy, WhitenedNeighbours, ClassAngle)
"""What the class scores say, what the nearest specimens say and what the class means say. Chosen on validation specimens of
PlanktonSet, over classes left out of the training (docs/novelty.md), among twenty detectors and sums of them; no weights are
learnt, since weights learnt by hiding known classes did worse than equal ones there."""
LEAST_DEVIATION = 1e-12


class Combined(Detector):
    """Mean over detectors of (s - mean) / deviation, both over held-out known specimens (training specimens without them).

    members: fitted here; makers of detectors, or None for energy, whitened-knn and class-angle. A member that refuses a head
    (energy, where class scores are normalised) gives way to "msp".
    """

    name = "combined"
    says = "mean of energy, whitened-knn and class-angle, each in units of its spread over known specimens"

    def __init__(self, members: Sequence[Callable[[], Detector]] | None = None) -> None:
        self._makers = tuple(members or MEMBERS)

    def _fit(self, train: Predictions, held_out: Predictions | None) -> None:
        known = None if held_out is None else known_only(held_out)
        yardstick = known if known is not None and len(known) > 1 else known_only(train)
        self.members: list[Detector] = []
        self.scale: list[tuple[float, float]] = []
        for make in self._makers:
            member = make()
            try:
                member.fit(train, held_out)
            except BiocosmosError:
                if not isinstance(member, Energy):
                    raise
                member = MaxSoftmax().fit(train, held_out)
            scores = member._scores(yardstick, None)
            scores = scores[np.isfinite(scores)]
            if len(scores):
                self.members.append(member)
                self.scale.append((float(scores.mean()), max(float(scores.std()), LEAST_DEVIATION)))
        if not self.members:
            raise BiocosmosError("no member of the combined detector can score known specimens: their features are not finite")

    def _scores(self, predictions: Predictions, hidden: Hidden | None) -> Float64:
        parts = [
            (member._scores(predictions, hidden) - mean) / deviation
            for member, (mean, deviation) in zip(self.members, self.scale)
        ]
        return np.asarray(np.mean(parts, axis=0))
