"""Are the specimens asked about like those of the calibration part? A promise rests on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biocosmos.errors import BiocosmosError
from biocosmos.identify.confidence.energy import distances, drawn_rows

# Drawn from each side: the matrix of distances is (2 x 1000)^2.
SPECIMENS = 1000
PERMUTATIONS = 499
# A false warning in one of a hundred batches that are alike.
LEVEL = 0.01
# Fewer on a side tell nothing.
FEWEST = 20


@dataclass(frozen=True)
class ShiftTest:
    """p: of "both sides are drawn alike"; distance: energy distance over twice the mean distance between the sides, 0 alike to 1;
    calibration, queries: specimens compared; level: below which p warns."""

    p: float
    distance: float
    calibration: int
    queries: int
    level: float = LEVEL

    @property
    def shifted(self) -> bool:
        """Whether exchangeability is refuted."""
        return self.p <= self.level

    def warning(self) -> str | None:
        """One sentence when the test fails, or when there was too little to test; else None."""
        if np.isnan(self.p):
            return (
                f"whether the specimens are like the calibration part was not tested: it takes {FEWEST} on each side, not "
                f"{self.calibration} and {self.queries}"
            )
        if not self.shifted:
            return None
        return (
            f"the specimens asked about differ from the calibration part (energy distance {self.distance:.3f}, "
            f"p = {self.p:.3g}): the promised error rate may not hold; calibrate on labelled specimens from the same source"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**vars(self), "shifted": self.shifted}


def shift_test(
    calibration: NDArray[Any],
    queries: NDArray[Any],
    *,
    seed: int = 0,
    level: float = LEVEL,
    permutations: int = PERMUTATIONS,
    specimens: int = SPECIMENS,
) -> ShiftTest:
    """Two-sample test by energy distance: 2 E|X - Y| - E|X - X'| - E|Y - Y'|, zero only for equal distributions.

    Szekely & Rizzo: Energy statistics, J. Statistical Planning and Inference 2013. The p-value is by permutation of who is on
    which side, (1 + #{permuted >= observed}) / (permutations + 1): exact at any sample size, dimension and distribution. It
    sees changes of image quality, instrument and community alike, and with many specimens also ones too small to matter;
    ``distance`` says how large. It cannot see a change that leaves the features as they are.

    calibration: (n, d), queries: (m, d) float features; at most ``specimens`` of each are drawn by the seed. Raises
    BiocosmosError for features of different widths, as of another encoder.
    """
    if calibration.ndim != 2 or queries.ndim != 2 or calibration.shape[1] != queries.shape[1]:
        raise BiocosmosError(
            f"features of shapes {calibration.shape} and {queries.shape} cannot be compared: take both from the same head"
        )
    rng = np.random.default_rng(seed)
    sides = [np.asarray(side[drawn_rows(len(side), specimens, rng)], np.float32) for side in (calibration, queries)]
    n, m = map(len, sides)
    if min(n, m) < FEWEST:
        return ShiftTest(float("nan"), float("nan"), n, m, level)
    apart = distances(np.concatenate(sides))
    weights = np.repeat(np.array([1 / n, -1 / m], np.float32), [n, m])
    permuted = np.stack([weights, *(rng.permutation(weights) for _ in range(permutations))], axis=1)
    energy = -(permuted * (apart @ permuted)).sum(axis=0, dtype=np.float64)
    between = float(apart[:n, n:].mean(dtype=np.float64))
    # values that are equal but for rounding, as where all features are the same, count as reached
    reached = int((energy[1:] >= energy[0] - 1e-6 * between).sum())
    share = energy[0] / (2 * between) if between > 0 else 0.0
    return ShiftTest((1 + reached) / (permutations + 1), float(max(share, 0.0)), n, m, level)
