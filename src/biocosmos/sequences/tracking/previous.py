"""The trackers of insect monitoring as published: boxes linked by a cost to the boxes that animals had last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biocosmos.sequences.tracking import costs
from biocosmos.sequences.tracking.assignment import below
from biocosmos.sequences.tracking.sighting import Int64, Sighting

Float64 = NDArray[np.float64]
_Cost = Callable[[Float64, Float64, float, "Float64 | None"], Float64]


@dataclass
class _Seen:
    number: int
    box: Float64
    vector: Float64 | None
    seconds: float
    frame: int


class PreviousFrame:
    """AMI data companion: every box takes the cheapest box of the frame before, if that costs at most 1.0 (:func:`costs.ami`).

    Not one-to-one, as published: two boxes may take the same one. Then the cheaper goes on with its animal and the other is a new
    one: a track has one box a frame.
    """

    most = 1.0

    def __init__(self) -> None:
        self._before: list[_Seen] = []
        self._next = 0

    def link(self, now: Sighting) -> Int64:
        """(m,) int64 numbers of the animals."""
        numbers = np.full(len(now), -1, np.int64)
        if self._before and len(now):
            cost = costs.ami(_boxes(self._before), now.box, now.diagonal, _cosine(self._before, now))
            best = cost.argmin(axis=0)
            for row in np.argsort(cost[best, np.arange(len(now))], kind="stable"):
                number = self._before[best[row]].number
                if cost[best[row], row] <= self.most and number not in numbers:
                    numbers[row] = number
        for row in np.flatnonzero(numbers < 0):
            numbers[row] = self._next
            self._next += 1
        self._before = _seen(now, numbers, 0)
        return numbers


class LastSeen:
    """insectTracking and the MCC24 trap: the assignment of the least sum, of whose pairs those up to a threshold are linked.

    An animal is forgotten once it was not seen for 30 s and for more than 5 frames: the published limits are for 3 s between
    frames, and neither alone would leave these trackers anything to link at 60 s.
    """

    seconds, frames = 30.0, 5

    def __init__(self, cost: _Cost, most: float) -> None:
        self._cost, self._most = cost, most
        self._known: list[_Seen] = []
        self._next = self._frame = 0

    def link(self, now: Sighting) -> Int64:
        """(m,) int64 numbers of the animals."""
        self._frame += 1
        self._known = [each for each in self._known if not self._forgotten(each, now.seconds)]
        numbers = np.full(len(now), -1, np.int64)
        if self._known and len(now):
            cost = self._cost(_boxes(self._known), now.box, now.diagonal, _cosine(self._known, now))
            tracks, rows = below(cost, self._most)
            numbers[rows] = [self._known[track].number for track in tracks]
        for row in np.flatnonzero(numbers < 0):
            numbers[row] = self._next
            self._next += 1
        seen = set(numbers.tolist())
        self._known = [each for each in self._known if each.number not in seen] + _seen(now, numbers, self._frame)
        return numbers

    def _forgotten(self, each: _Seen, seconds: float) -> bool:
        return seconds - each.seconds > self.seconds and self._frame - each.frame > self.frames


def insecttracking() -> LastSeen:
    """Bjerge and others' tracker of the light trap: :func:`costs.insecttracking`, threshold 0.6."""
    return LastSeen(lambda first, second, diagonal, cosine: costs.insecttracking(first, second, diagonal), 0.6)


def mcc24() -> LastSeen:
    """The MCC24 trap's: :func:`costs.mcc24`, threshold 0.7."""
    return LastSeen(costs.mcc24, 0.7)


def _boxes(seen: list[_Seen]) -> Float64:
    return np.stack([each.box for each in seen])


def _cosine(seen: list[_Seen], now: Sighting) -> Float64 | None:
    if now.vectors is None:
        return None
    zero = np.zeros(now.vectors.shape[1])
    return np.stack([zero if each.vector is None else each.vector for each in seen]) @ now.vectors.T


def _seen(now: Sighting, numbers: Int64, frame: int) -> list[_Seen]:
    vectors: list[Float64 | None] = [None] * len(now) if now.vectors is None else list(now.vectors)
    return [_Seen(int(number), now.box[row], vectors[row], now.seconds, frame) for row, number in enumerate(numbers)]
