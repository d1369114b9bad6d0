"""What a cosine says about "the same animal", learnt from the sequence itself while it is tracked."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
STEPS = np.array([0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 7, 10, 15.0])
"""Spreads below the median of cosines of one animal, between which cosines of two are counted."""
NORMAL = np.diff(np.concatenate([[0], ndtr(STEPS), [1]]))
QUARTILE = 0.6745
"""Of the normal distribution, in standard deviations."""
FEWEST = 5


@dataclass
class Running:
    """Mean and variance of a stream of numbers, of which old ones fade: after ``memory`` numbers each weighs 1/e as much."""

    mean: float
    variance: float
    weight: float
    memory: float = 2000.0

    def add(self, values: Float64) -> None:
        """More numbers (k,)."""
        if not len(values):
            return
        kept = self.weight * np.exp(-len(values) / self.memory)
        total = kept + len(values)
        mean = (kept * self.mean + float(values.sum())) / total
        before = kept * (self.variance + (self.mean - mean) ** 2)
        self.variance = float((before + ((values - mean) ** 2).sum()) / total)
        self.mean, self.weight = mean, total


class Ring:
    """The last ``most`` numbers of a stream."""

    def __init__(self, most: int = 1500) -> None:
        self._kept, self._next, self._full = np.empty(most), 0, False

    def add(self, values: Float64) -> None:
        """More numbers (k,)."""
        values = values[-len(self._kept) :]
        places = (self._next + np.arange(len(values))) % len(self._kept)
        self._kept[places] = values
        self._full |= self._next + len(values) >= len(self._kept)
        self._next = (self._next + len(values)) % len(self._kept)

    @property
    def values(self) -> Float64:
        """What is kept, (k,), in no order."""
        return self._kept if self._full else self._kept[: self._next]


@dataclass
class Likeness:
    """log p(cosine | same animal) - log p(cosine | two animals), for whatever encoder.

    Cosines of surely linked boxes are taken as normal, by their median and the median distance of those below it, since a
    few of the links are wrong. Boxes of one frame are two animals: their cosines are counted between steps of that spread,
    as two animals are of one species or of two. The log of the ratio is made to rise (isotonic regression), so that more
    alike never says less. Until ``few`` pairs of either kind are known it says little. A share ``stray`` of cosines of one
    animal is taken to be as those of two, which bounds what unlike looks can say.
    """

    few: float = 15.0
    stray: float = 0.03
    same: Ring = field(default_factory=Ring)
    other: Ring = field(default_factory=Ring)

    def log_odds(self, cosine: Float64) -> Float64:
        """Of cosines of any shape; 0 for nan."""
        same, other = self.same.values, self.other.values
        trust = min(len(same), len(other))
        if trust < FEWEST:
            return np.zeros(cosine.shape)
        middle = float(np.median(same))
        spread = max(float(np.median(middle - same[same <= middle])) / QUARTILE, 1e-4)
        below = (middle - other) / spread
        counts = np.bincount(np.searchsorted(STEPS, below, side="right"), minlength=len(STEPS) + 1) + 0.5
        odds: Float64 = np.log((1 - self.stray) * NORMAL / (counts / counts.sum()) + self.stray)
        odds = -rising(-odds, np.asarray(counts, np.float64))
        places = np.concatenate([STEPS[:1], (STEPS[1:] + STEPS[:-1]) / 2, STEPS[-1:]])
        asked = (middle - np.nan_to_num(cosine)) / spread
        return np.asarray(trust / (trust + self.few) * np.interp(asked, places, odds) * np.isfinite(cosine))

    def learn(self, cosine: Float64, tracks: Int64, boxes: Int64, sure: NDArray[np.bool_]) -> None:
        """From a frame: cosine (tracks, boxes), nan: not known, of which the pairs tracks[i], boxes[i] were linked, sure (i,)
        whatever they look like."""
        same, others = cosine[tracks, boxes][sure], cosine[tracks][:, boxes][~np.eye(len(tracks), dtype=bool)]
        self.same.add(same[np.isfinite(same)])
        self.other.add(others[np.isfinite(others)])


def rising(values: Float64, weights: Float64) -> Float64:
    """The rising sequence nearest to ``values`` in weighted squares (pool adjacent violators; Ayer and others, 1955)."""
    blocks: list[list[float]] = []
    for value, weight in zip(values.tolist(), weights.tolist()):
        blocks.append([value, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            last = blocks.pop()
            total = blocks[-1][1] + last[1]
            blocks[-1] = [(blocks[-1][0] * blocks[-1][1] + last[0] * last[1]) / total, total, blocks[-1][2] + last[2]]
    return np.concatenate([np.full(int(count), value) for value, _, count in blocks])


@dataclass
class LabelLikeness:
    """log-odds of "the same animal" from the labels that a detector gave: an animal keeps its label with probability ``kept``.

    Agreeing on a rare label says more than on a common one: log(kept / share) for equal ones, log((1 - kept) / (1 - share)) for
    two. Shares of labels among all boxes seen so far, with one more of each.
    """

    kept: float = 0.9
    counts: dict[str, int] = field(default_factory=dict)

    def learn(self, labels: NDArray[np.object_]) -> None:
        """Labels of a frame, None for those without."""
        for label in labels:
            if label is not None:
                self.counts[label] = self.counts.get(label, 0) + 1

    def log_odds(self, tracks: NDArray[np.object_], boxes: NDArray[np.object_]) -> Float64:
        """(tracks, boxes); 0 where one has none."""
        total = sum(self.counts.values()) + len(self.counts) + 1
        out = np.zeros((len(tracks), len(boxes)))
        for column, label in enumerate(boxes):
            if label is None:
                continue
            share = (self.counts.get(label, 0) + 1) / total
            said = np.array([other is not None for other in tracks], bool)
            equal = tracks == label
            out[said & equal, column] = np.log(self.kept / share)
            out[said & ~equal, column] = np.log((1 - self.kept) / max(1 - share, 1 / total))
        return out
