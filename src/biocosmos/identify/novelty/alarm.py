"""Novelty behind any namer: a detector, and what known specimens score that neither it nor the namer was fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biocosmos.identify.confidence.held_out import HeldOut
from biocosmos.identify.novelty.detector import Detector, Float64
from biocosmos.identify.novelty.distances import p_values
from biocosmos.identify.novelty.known_depth import KnownDepth, Usual
from biocosmos.identify.novelty.registry import make_detector
from biocosmos.identify.predictions import Predictions

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Alarm:
    """Says, per specimen, how novel it is and where it still is inside the known.

    detector: fitted; usual: the scores of known specimens; false_alarms: share of these that may be flagged; depth: of both, None
    where there are too few for that share, so that no specimen can be told to be outside.
    """

    detector: Detector
    usual: Usual
    false_alarms: float

    @cached_property
    def depth(self) -> KnownDepth | None:
        """Where a specimen is inside the known."""
        return KnownDepth(self.detector, self.usual, self.false_alarms) if self.smallest <= self.false_alarms else None

    @property
    def smallest(self) -> float:
        """The smallest p-value that so many usual scores can give."""
        return 1 / (len(self.usual.plain) + 1)

    def judge(self, predictions: Predictions) -> tuple[Float64, Float64, Int64]:
        """(n,) scores, higher more novel; (n,) conformal p-values of "it is known"; (n,) the deepest rank of its best path at
        which it is inside the known, -1 for none."""
        scores = self.detector.scores(predictions)
        if self.depth is None:
            everywhere = np.full(len(predictions), len(predictions.ranks) - 1, np.int64)
            return scores, p_values(scores, self.usual.plain), everywhere
        return scores, p_values(scores, self.usual.plain), self.depth.place(predictions, scores).level

    def describe(self) -> dict[str, Any]:
        """For provenance."""
        return {
            "score": self.detector.name,
            "false_alarm_rate": self.false_alarms,
            "calibration_specimens": len(self.usual.plain),
        }


def sound_alarm(held: HeldOut, fitting: Int64, detector: str, false_alarms: float) -> tuple[Alarm, Int64, list[str]]:
    """Fit a detector and calibrate it on held-out specimens that it was not fitted on.

    Each part has a detector of its own, fitted on what the part's namer knew and, where it needs held-out specimens (for scales),
    on the rows ``fitting`` of ``held.predictions``; the others say what is usual. So p-values are of specimens that nothing
    was fitted on. The detector of the first part judges the specimens asked about: in a cross-fitted gallery it has not seen
    one fold of it, which makes known specimens no less novel to it than held-out ones were.

    Returns the alarm, the deepest rank at which each held-out specimen is inside the known, and notes; a note where there are too
    few specimens for the false alarm rate, so that none is flagged.
    """
    chosen = np.zeros(len(held), np.bool_)
    chosen[fitting] = True
    detectors, usual, start = [], [], 0
    for part in held.parts:
        mine = chosen[start : start + len(part.asked)]
        start += len(part.asked)
        scales = part.asked.subset(mine)
        detectors.append(make_detector(detector).fit(part.known, scales if len(scales) else None))
        usual.append(Usual.of(detectors[-1], part.asked.subset(~mine if part.unseen is None else ~mine & ~part.unseen)))
    pooled = Usual.pooled(usual)
    alarms = [Alarm(fitted, pooled, false_alarms) for fitted in detectors]
    deepest = np.concatenate([alarm.judge(part.asked)[2] for alarm, part in zip(alarms, held.parts, strict=True)])
    if alarms[0].depth is not None:
        return alarms[0], deepest, []
    note = (
        f"no specimen is flagged as novel: a false alarm rate of {false_alarms:g} needs more than {len(pooled.plain)} held-out "
        f"specimens, with which {alarms[0].smallest:.3g} is the smallest possible"
    )
    return alarms[0], deepest, [note]
