"""What a cosine says about "the same animal", learnt from the sequence itself while it is tracked."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


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


@dataclass
class Likeness:
    """log p(cosine | same animal) - log p(cosine | two animals), for whatever encoder.

    Two boxes of one frame are two animals: their cosines are the second distribution. Boxes linked before are the first. Both are
    taken as normal with one variance, so that more alike never says less (linear discriminant): log-odds = slope (cosine -
    middle). Until ``few`` pairs of the same animal are known it says little, and never more than ``most`` either way, since
    animals of one species are alike beyond any normal distribution.
    """

    few: float = 30.0
    most: float = 4.0
    same: Running = field(default_factory=lambda: Running(0.9, 0.02, 1.0))
    other: Running = field(default_factory=lambda: Running(0.5, 0.05, 1.0))

    def log_odds(self, cosine: Float64) -> Float64:
        """Of cosines of any shape."""
        pooled = (self.same.variance * self.same.weight + self.other.variance * self.other.weight) / (
            self.same.weight + self.other.weight
        )
        pooled = max(0.5 * (self.same.variance + self.other.variance), pooled, 1e-6)
        slope = max(self.same.mean - self.other.mean, 0.0) / pooled
        trust = min(self.same.weight, self.other.weight)
        trust = trust / (trust + self.few)
        return np.clip(trust * slope * (cosine - (self.same.mean + self.other.mean) / 2), -self.most, self.most)

    def learn(self, cosine: Float64, tracks: NDArray[np.int64], boxes: NDArray[np.int64]) -> None:
        """From a frame: cosine (tracks, boxes), of which the pairs tracks[i], boxes[i] were linked; nan: not known."""
        same, others = cosine[tracks, boxes], cosine[tracks][:, boxes][~np.eye(len(tracks), dtype=bool)]
        self.same.add(same[np.isfinite(same)])
        self.other.add(others[np.isfinite(others)])


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
