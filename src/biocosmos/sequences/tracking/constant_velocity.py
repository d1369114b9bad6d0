"""The trackers of video as published, with their settings: SORT and ByteTrack. Their clock is the frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biocosmos.images.boxes import overlap
from biocosmos.sequences.tracking.assignment import below
from biocosmos.sequences.tracking.kalman import AreaFilter, HeightFilter
from biocosmos.sequences.tracking.sighting import Int64, Sighting

Float64 = NDArray[np.float64]


@dataclass
class _Foretold:
    number: int
    belief: AreaFilter
    missed: int = 0


class Sort:
    """SORT: IoU with the box that constant velocity foretells, at least 0.3; an animal not seen for one frame is forgotten.

    Bewley and others, ICIP 2016, arXiv:1602.00763: max_age 1, iou_threshold 0.3. Every box is told as an animal at
    once (min_hits 1 in place of 3): at 60 s between frames few animals are seen three times.
    """

    least, most_missed = 0.3, 1

    def __init__(self) -> None:
        self._known: list[_Foretold] = []
        self._next = 0

    def link(self, now: Sighting) -> Int64:
        """(m,) int64 numbers of the animals."""
        numbers = np.full(len(now), -1, np.int64)
        expected = [each.belief.predict() for each in self._known]
        for each in self._known:
            each.missed += 1
        if expected and len(now):
            tracks, rows = below(1 - overlap(np.stack(expected), now.box), 1 - self.least)
            for track, row in zip(tracks, rows):
                each = self._known[track]
                each.belief.update(now.box[row])
                numbers[row], each.missed = each.number, 0
        for row in np.flatnonzero(numbers < 0):
            numbers[row] = self._next
            self._known.append(_Foretold(self._next, AreaFilter(now.box[row])))
            self._next += 1
        self._known = [each for each in self._known if each.missed <= self.most_missed]
        return numbers


@dataclass
class _Animal:
    number: int
    belief: HeightFilter
    box: Float64
    missed: int = 0
    confirmed: bool = False


class ByteTrack:
    """ByteTrack: sure boxes first, by IoU times confidence, then unsure ones with the animals that are left, by IoU.

    Zhang and others, ECCV 2022, arXiv:2110.06864: track_thresh 0.5, match_thresh 0.8, then 0.5, for animals seen once 0.7; a new
    one needs a confidence of track_thresh + 0.1; buffer 30 frames (an app for insects has 10,000). Unsure boxes that fit none are
    left out: -1.
    """

    sure, unsure, first, second, once = 0.5, 0.1, 0.8, 0.5, 0.7

    def __init__(self, buffer: int = 30) -> None:
        self._buffer = buffer
        self._known: list[_Animal] = []
        self._next = 0
        self._begun = False

    def link(self, now: Sighting) -> Int64:
        """(m,) int64 numbers of the animals, -1 for a box that is left out."""
        numbers = np.full(len(now), -1, np.int64)
        for each in self._known:
            each.box = each.belief.predict(each.missed > 0)
        high = np.flatnonzero(now.confidence > self.sure)
        low = np.flatnonzero((now.confidence > self.unsure) & (now.confidence < self.sure))
        confirmed = [each for each in self._known if each.confirmed]
        left, high = self._match(confirmed, high, now, numbers, self.first, fused=True)
        left, _ = self._match([each for each in left if not each.missed], low, now, numbers, self.second, fused=False)
        young, high = self._match([each for each in self._known if not each.confirmed], high, now, numbers, self.once, fused=True)
        seen = set(numbers.tolist())
        for each in self._known:
            each.missed = 0 if each.number in seen else each.missed + 1
        gone = {each.number for each in young}
        self._known = [each for each in self._known if each.number not in gone and each.missed <= self._buffer]
        for row in high:
            if now.confidence[row] < self.sure + 0.1:
                continue
            numbers[row] = self._next
            belief = HeightFilter(now.box[row])
            self._known.append(_Animal(self._next, belief, belief.box, confirmed=not self._begun))
            self._next += 1
        self._begun = True
        return numbers

    def _match(
        self, animals: list[_Animal], rows: Int64, now: Sighting, numbers: Int64, most: float, *, fused: bool
    ) -> tuple[list[_Animal], Int64]:
        """Link some animals with some boxes; returns the animals and the boxes that are left."""
        if not animals or not len(rows):
            return animals, rows
        likeness = overlap(np.stack([each.box for each in animals]), now.box[rows])
        if fused:
            likeness = likeness * now.confidence[rows]
        tracks, columns = below(1 - likeness, most)
        for track, column in zip(tracks, columns):
            each, row = animals[track], rows[column]
            each.belief.update(now.box[row])
            each.confirmed = True
            numbers[row] = each.number
        taken = set(tracks.tolist())
        return [each for place, each in enumerate(animals) if place not in taken], np.delete(rows, columns)
