"""Several detectors in one score: each in units of its own spread over known specimens, then the mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

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

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Those of the members, by their names, and their scales; a member that was left out is not named."""
        own = {"scale": np.array(self.scale), "members": np.array([member.name for member in self.members])}
        return own | {f"{m.name}/{key}": array for m in self.members for key, array in m.arrays().items()}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        every: list[type[Detector]] = [*(type(make()) for make in self._makers), MaxSoftmax]
        kinds = {kind.name: kind for kind in every}
        self.scale = [(float(mean), float(deviation)) for mean, deviation in arrays["scale"]]
        self.members = []
        for name in arrays["members"].tolist():
            mine = {key.removeprefix(f"{name}/"): array for key, array in arrays.items() if key.startswith(f"{name}/")}
            assert self._like is not None
            self.members.append(kinds[name]().restored(mine, self._like))

    def _scores(self, predictions: Predictions, hidden: Hidden | None) -> Float64:
        parts = [
            (member._scores(predictions, hidden) - mean) / deviation
            for member, (mean, deviation) in zip(self.members, self.scale)
        ]
        return np.asarray(np.mean(parts, axis=0))
