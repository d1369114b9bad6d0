"""Intervals for scores of partitions, by halves drawn without replacement: a specimen that is drawn twice agrees with itself.

AMI, homogeneity and their kin count how surely one partition tells the other. A bootstrap sample repeats specimens, every repeat
is a pair that is together in both partitions by construction, and the score of the sample lies above that of the specimens: the
percentile interval need not even hold the value. Half of the rows, drawn without replacement, repeat none, and the spread of a
score over such halves is that of the score over samples of the size of the whole (the delete-half jackknife: Shao & Wu 1989,
https://doi.org/10.1214/aos/1176347263; with m of n rows the variance is multiplied by m / (n - m), which is 1 at a half). What
shifts with the sample's size alone falls out: the spread is taken around the halves' mean, the interval around the whole's value.

It says what other specimens from the same place would give with these clusters. Another run of the method, other taxa or another
encoder are no part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.bootstrap import CONFIDENCE, Interval, Z

Array = npt.NDArray[Any]
DRAWS = 50
"""Halves: the standard error is then itself known to a tenth."""
FEWEST = 8
"""Of fewer specimens a half is too small to say anything: no interval."""


class Drawn(NamedTuple):
    """A score with its interval and, for differences of two on the same specimens, its value on each half: (draws,) float64."""

    interval: Interval
    halves: Array


@dataclass(frozen=True)
class Halves:
    """The same random halves of n rows for every score, so that differences are paired.

    rows: n; draws: how many halves, 0 for no intervals; confidence: 0.9, 0.95 or 0.99.
    """

    rows: int
    draws: int = DRAWS
    confidence: float = CONFIDENCE
    seed: int = 0

    def __post_init__(self) -> None:
        if self.confidence not in Z:
            raise BiocosmosError(f"confidence {self.confidence} is not offered: use one of {', '.join(map(str, Z))}")
        if self.draws < 0 or self.draws == 1:
            raise BiocosmosError(f"intervals need 0 (none) or at least 2 halves, not {self.draws}")

    @cached_property
    def _masks(self) -> Array:
        rng = np.random.default_rng(self.seed)
        masks = np.zeros((self.draws, self.rows), bool)
        for mask in masks:
            mask[rng.permutation(self.rows)[: self.rows // 2]] = True
        return masks

    def of(self, score: Callable[[Array, Array], float], truth: Array, found: Array, *, most: float = 1.0) -> Drawn:
        """``score(truth, found)`` of all rows (n,), with value -+ z times the spread over halves, at most ``most`` and at least
        -``most``. NaN ends under :data:`FEWEST` rows."""
        value = float(score(truth, found))
        if self.rows < FEWEST or not self.draws:
            return Drawn(Interval(value, float("nan"), float("nan")), np.empty(0))
        halves = np.array([score(truth[mask], found[mask]) for mask in self._masks], float)
        return Drawn(self._around(value, halves, most), halves)

    def difference(self, first: Drawn, second: Drawn, *, most: float = 1.0) -> Interval:
        """How much the second is above the first, on the same specimens."""
        value = second.interval.value - first.interval.value
        return self._around(value, second.halves - first.halves, 2 * most)

    def _around(self, value: float, halves: Array, most: float) -> Interval:
        halves = halves[np.isfinite(halves)]
        if len(halves) < 2 or not np.isfinite(value):
            return Interval(value, float("nan"), float("nan"))
        taken = self.rows // 2
        half = Z[self.confidence] * float(halves.std(ddof=1)) * np.sqrt(taken / (self.rows - taken))
        return Interval(value, float(max(value - half, -most)), float(min(value + half, most)))


def mean_interval(values: Array, confidence: float = CONFIDENCE) -> Interval:
    """The mean of (n,) values with its normal interval; NaN without values, NaN ends of one."""
    if not len(values):
        return Interval(float("nan"), float("nan"), float("nan"))
    value = float(values.mean())
    if len(values) < 2:
        return Interval(value, float("nan"), float("nan"))
    half = Z[confidence] * float(values.std(ddof=1)) / float(np.sqrt(len(values)))
    return Interval(value, value - half, value + half)
