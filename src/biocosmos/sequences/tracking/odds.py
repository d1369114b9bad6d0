"""Our tracker: a box goes on with an animal where "the same" is likelier than "a new one", all animals of a frame at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from biocosmos.sequences.tracking.assignment import one_to_one
from biocosmos.sequences.tracking.likeness import LabelLikeness, Likeness, Running
from biocosmos.sequences.tracking.motion import Motion, places
from biocosmos.sequences.tracking.settings import TrackerSettings
from biocosmos.sequences.tracking.sighting import Int64, Sighting

Float64 = NDArray[np.float64]


@dataclass
class Known:
    """The animals that are remembered, t of them: all arrays have t rows.

    number (t,) int64; centre (t, 2) pixels; velocity (t, 2) pixels a second; length (t,) pixels; resting (t,) probability;
    seconds (t,) when last seen; look (t, d) unit vectors, the mean of its boxes, or 0; label (t,) object; boxes (t,) int64
    how many it had; there (t,) probability that it has not left.
    """

    number: Int64
    centre: Float64
    velocity: Float64
    length: Float64
    resting: Float64
    seconds: Float64
    look: Float64
    label: NDArray[np.object_]
    boxes: Int64
    there: Float64

    @classmethod
    def none(cls) -> Known:
        """No animal."""
        empty, pair, whole = np.empty(0), np.empty((0, 2)), np.empty(0, np.int64)
        return cls(whole, pair, pair, empty, empty, empty, np.empty((0, 0)), empty.astype(object), whole, empty)

    def __len__(self) -> int:
        return len(self.number)

    def rows(self, chosen: NDArray[np.bool_] | Int64) -> Known:
        """Some of them."""
        return Known(**{name: part[chosen] for name, part in vars(self).items()})

    def joined(self, other: Known) -> Known:
        """These and others."""
        if not len(self):
            return other
        return Known(**{name: np.concatenate([part, getattr(other, name)]) for name, part in vars(self).items()})


@dataclass
class Odds:
    """Log-odds of the same animal against a new one, from place, time, size, look and label.

    For an animal that was last seen g seconds ago and a box of the frame, with m boxes in it and T the mean stay:

        log-odds = log[ p(seen again | g) / (1 - p(seen again | g)) ]       it may have left or be overlooked
                 + log[ p(place | same, g) / p(place | new) ]               rest, walk, flight: motion.py
                 + log[ p(size | same) / p(size | new) ]
                 + log-odds of the look (likeness.py) + of the label
                 - log[ expected new animals in this frame ]

    with exp(-g / T) of the animals still there, less for every frame in which one was not seen, and as many new ones
    expected as have left, for a picture in balance. Positive log-odds are worth linking; the set of pairs with the largest
    sum, one box an animal, is taken (assignment.py). This is the score of multiple hypothesis tracking (Reid 1979; Blackman
    2004), with one hypothesis kept.

    What is unknown of a sequence is learnt while it runs, in constant memory: sizes of animals, what a cosine of this encoder
    says, shares of labels.

    motion: how animals move; detected: share of animals that a detector sees; false_boxes: expected in a frame; back: share
    of those that left that come back, away: mean time until then over the memory; size_same: deviation of the log length of
    boxes of one animal, size_cut that of the share ``cut`` of boxes that are drawn around half an animal, or two; sure:
    log-odds without the look from which on a link teaches what looks say; maybe: a box of this share of the confidence that
    begins an animal is told as one once it is seen again; soon: so are all new ones where frames are less than so many
    seconds apart.
    """

    settings: TrackerSettings = field(default_factory=TrackerSettings)
    motion: Motion = field(default_factory=Motion)
    detected: float = 0.9
    false_boxes: float = 0.003
    back: float = 0.2
    away: float = 0.2
    maybe: float = 0.75
    soon: float = 10.0
    sure: float = 3.0
    size_same: float = 0.06
    cut: float = 0.05
    size_cut: float = 0.4
    known: Known = field(default_factory=Known.none)
    likeness: Likeness = field(default_factory=Likeness)
    labels: LabelLikeness = field(default_factory=LabelLikeness)
    sizes: Running = field(default_factory=lambda: Running(float("nan"), 0.25, 0.0))
    _next: int = 0
    _begun: bool = False

    def link(self, now: Sighting) -> Int64:
        """(m,) int64 numbers of the animals, -1 for a box that is left out."""
        numbers = np.full(len(now), -1, np.int64)
        self._forget(now.seconds)
        self.known.there *= np.exp(-now.gap / self.settings.stay)
        seen = np.flatnonzero(now.confidence >= self.settings.keep)
        boxes = now.rows(seen)
        tracks = np.empty(0, np.int64)
        rows = np.empty(0, np.int64)
        if len(boxes):
            self._learn_sizes(boxes)
            self.labels.learn(boxes.labels)
        if len(boxes) and len(self.known):
            odds, at_rest, cosine = self.log_odds(boxes)
            look = 0.0 if cosine is None else self.likeness.log_odds(cosine)
            tracks, rows = one_to_one(-(odds + look), 0.0)
            self._tell(tracks)
            numbers[seen[rows]] = self.known.number[tracks]
            if cosine is not None:
                self.likeness.learn(cosine, tracks, rows, odds[tracks, rows] > self.sure)
            self._go_on(tracks, boxes.rows(rows), at_rest[tracks, rows])
        missed = np.ones(len(self.known), bool)
        missed[tracks] = False
        there = self.known.there[missed]
        self.known.there[missed] = there * (1 - self.detected) / (1 - there * self.detected)
        self.known.there[tracks] = 1.0
        new = np.setdiff1d(np.flatnonzero(boxes.confidence >= self.maybe * self.settings.start), rows)
        numbers[seen[new]] = self._begin(boxes.rows(new))
        return numbers

    def _tell(self, tracks: Int64) -> None:
        """Give numbers to animals that are seen again and had none."""
        untold = tracks[self.known.number[tracks] < 0]
        self.known.number[untold] = np.arange(self._next, self._next + len(untold))
        self._next += len(untold)

    def log_odds(self, now: Sighting) -> tuple[Float64, Float64, Float64 | None]:
        """Of the known animals and the boxes: log-odds but for the look, probability of rest, and cosine, nan where one has no
        vector, None without any: (t, m) float64 each."""
        known, settings = self.known, self.settings
        gap = now.seconds - known.seconds
        shift = now.centre[None] - known.centre[:, None]
        length = np.sqrt(known.length[:, None] * now.length[None])
        area = max(now.diagonal**2 / 2, 1.0)
        where = places(self.motion, shift, gap, known.resting, length, area, known.velocity)
        away = self.away * settings.memory
        back = self.back * -np.expm1(-now.gap / away) * np.exp(-gap / away)
        again = np.maximum(known.there, np.maximum(back, 1e-6)) * self.detected
        odds = (np.log(again) - np.log1p(-again))[:, None] + np.log(np.maximum(where.total, 1e-300)) - np.log(length**2 / area)
        expected = len(now) * -np.expm1(-max(now.gap, 0.0) / settings.stay) + self.false_boxes
        odds = odds - np.log(expected) + self._of_sizes(now) + self.labels.log_odds(known.label, now.labels)
        if now.vectors is None or not known.look.shape[1]:
            return odds, where.at_rest, None
        cosine = np.where(_there(known.look)[:, None] & _there(now.vectors)[None], known.look @ now.vectors.T, np.nan)
        return odds, where.at_rest, cosine

    def _of_sizes(self, now: Sighting) -> Float64:
        log_known, log_now = np.log(self.known.length), np.log(now.length)
        new_variance = max(self.sizes.variance, 2 * self.size_same**2)
        ratio = log_now[None] - log_known[:, None]
        same = np.logaddexp(
            np.log(1 - self.cut) + _log_normal(ratio, self.size_same**2), np.log(self.cut) + _log_normal(ratio, self.size_cut**2)
        )
        return np.asarray(same - _log_normal(log_now - self.sizes.mean, new_variance)[None])

    def _learn_sizes(self, now: Sighting) -> None:
        if not self.sizes.weight:
            self.sizes.mean, self.sizes.weight = float(np.log(now.length).mean()), 1.0
        self.sizes.add(np.log(now.length))

    def _forget(self, seconds: float) -> None:
        kept = seconds - self.known.seconds <= self.settings.memory
        if not kept.all():
            self.known = self.known.rows(kept)
        if len(self.known) > self.settings.most:
            latest = np.lexsort((self.known.number, -self.known.seconds))[: self.settings.most]
            self.known = self.known.rows(np.sort(latest))

    def _go_on(self, tracks: Int64, now: Sighting, at_rest: Float64) -> None:
        known = self.known
        gap = np.maximum(now.seconds - known.seconds[tracks], 1e-6)
        moved = now.centre - known.centre[tracks]
        # boxes of a resting animal are averaged
        share = np.where(at_rest > 0.5, 1 / np.minimum(known.boxes[tracks] + 1, 5), 1.0)[:, None]
        known.velocity[tracks] = np.where(at_rest[:, None] > 0.5, 0.0, moved / gap[:, None])
        known.centre[tracks] += share * moved
        known.length[tracks] = np.exp(0.7 * np.log(known.length[tracks]) + 0.3 * np.log(now.length))
        known.resting[tracks] = np.clip(at_rest + (1 - at_rest) * self.motion.stopped(gap), 0.02, 0.98)
        known.seconds[tracks] = now.seconds
        known.boxes[tracks] += 1
        told = np.array([label is not None for label in now.labels], bool)
        known.label[tracks[told]] = now.labels[told]
        if now.vectors is not None and known.look.shape[1]:
            share = np.where(_there(known.look[tracks]), 0.3, 1.0)[:, None] * _there(now.vectors)[:, None]
            look = (1 - share) * known.look[tracks] + share * now.vectors
            known.look[tracks] = look / np.maximum(np.linalg.norm(look, axis=1, keepdims=True), 1e-12)

    def _begin(self, now: Sighting) -> Int64:
        count = len(now)
        told = (now.confidence >= self.settings.start) & (not self._begun or now.gap >= self.soon)
        self._begun = True
        numbers = np.full(count, -1, np.int64)
        numbers[told] = np.arange(self._next, self._next + told.sum())
        self._next += int(told.sum())
        if count:
            width = self.known.look.shape[1] if now.vectors is None else now.vectors.shape[1]
            look = np.zeros((count, width)) if now.vectors is None else now.vectors.copy()
            if not self.known.look.shape[1] and width:
                self.known.look = np.zeros((len(self.known), width))
            new = Known(
                number=numbers.copy(),
                centre=now.centre.copy(),
                velocity=np.zeros((count, 2)),
                length=now.length.copy(),
                resting=np.full(count, self.motion.rest / (self.motion.rest + self.motion.walk)),
                seconds=np.full(count, now.seconds),
                look=look,
                label=now.labels.copy(),
                boxes=np.ones(count, np.int64),
                there=np.where(told, 1.0, 0.5),
            )
            self.known = self.known.joined(new)
        return numbers


def _there(looks: Float64) -> NDArray[np.bool_]:
    """(n,) which vectors are more than zero."""
    return np.asarray((looks != 0).any(axis=1))


def _log_normal(difference: Float64, variance: float) -> Float64:
    return np.asarray(-(difference**2) / (2 * variance) - 0.5 * np.log(2 * np.pi * variance))
