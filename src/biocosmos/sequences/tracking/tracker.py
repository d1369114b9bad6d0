"""One door to every tracker: a frame goes in, the numbers of its animals come out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from biocosmos.errors import BiocosmosError
from biocosmos.sequences.tracking.constant_velocity import ByteTrack, Sort
from biocosmos.sequences.tracking.odds import Odds
from biocosmos.sequences.tracking.previous import PreviousFrame, insecttracking, mcc24
from biocosmos.sequences.tracking.settings import TrackerSettings
from biocosmos.sequences.tracking.sighting import Int64, Sighting, sighting


class Method(Protocol):
    """How boxes are linked."""

    def link(self, now: Sighting) -> Int64:
        """(m,) int64 numbers of the animals, from 0; -1 for a box that is left out."""


LONG_BUFFER = 10_000
"""Frames that an app for insects keeps an animal in ByteTrack."""


def method_of(settings: TrackerSettings) -> Method:
    """The tracker that the settings name."""
    makers: dict[str, Callable[[], Method]] = {
        "odds": lambda: Odds(settings),
        "sort": Sort,
        "bytetrack": ByteTrack,
        "bytetrack-long": lambda: ByteTrack(LONG_BUFFER),
        "ami": PreviousFrame,
        "insecttracking": insecttracking,
        "mcc24": mcc24,
    }
    return makers[settings.tracker]()


class Tracker:
    """Animals of one sequence, frame by frame, in the order of time; memory does not grow with the sequence.

    settings; width, height: of the picture, pixels, 0 where unknown: then what the boxes have covered so far.
    """

    def __init__(self, settings: TrackerSettings | None = None, *, width: float = 0, height: float = 0) -> None:
        self.settings = TrackerSettings() if settings is None else settings
        self._method = method_of(self.settings)
        self._size = np.array([width, height], np.float64)
        self._told = width > 0 and height > 0
        self._seconds: float | None = None

    def step(
        self,
        seconds: float,
        boxes: NDArray[Any],
        vectors: NDArray[Any] | None = None,
        confidence: NDArray[Any] | None = None,
        labels: Sequence[str | None] | NDArray[Any] | None = None,
    ) -> Int64:
        """The animals in the next frame.

        seconds: when; boxes (m, 4) x, y, width, height, pixels; vectors (m, d) of their crops, of any length; confidence (m,);
        labels (m,). Returns (m,) int64: the number of the animal in each box, from 0, -1 for a box that is left out. No number
        stands twice, and numbers do not depend on the order of the boxes.

        Raises BiocosmosError: time goes back or stands still; a box without a size; shapes that do not fit.
        """
        seconds = float(seconds)
        if not np.isfinite(seconds):
            raise BiocosmosError(f"a frame at {seconds} s: tracking needs a time for every frame")
        if self._seconds is not None and seconds <= self._seconds:
            raise BiocosmosError(f"a frame at {seconds:g} s comes after one at {self._seconds:g} s: sort frames by time")
        box = np.asarray(boxes, np.float64).reshape(-1, 4)
        if len(box) and not self._told:
            reach = (box[:, :2] + box[:, 2:]).max(axis=0)
            self._size = np.maximum(self._size, np.where(np.isfinite(reach), reach, 0))
        gap = 0.0 if self._seconds is None else seconds - self._seconds
        diagonal = max(float(np.hypot(*self._size)), 1.0)
        now, order = sighting(seconds, gap, box, vectors, confidence, labels, diagonal)
        self._seconds = seconds
        numbers = np.empty(len(box), np.int64)
        numbers[order] = self._method.link(now)
        return numbers
