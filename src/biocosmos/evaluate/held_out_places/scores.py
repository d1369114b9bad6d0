"""How well shares of taxa at places foretell the specimens that were held out, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

LEAST = 1e-12
"""The smallest share whose logarithm is taken."""
DRAWS, CONFIDENCE = 1000, 0.95


@dataclass(frozen=True, eq=False)
class Judged:
    """Of n held-out specimens of one seed.

    rows: (n,) int64 of the specimens; nll: (n,) float64 -log share of their own taxa in nats; right: (n,) bool, theirs is the
    largest; precision: mean average precision over the taxa that were asked about; left_out: held-out specimens of taxa that were
    not learnt.
    """

    rows: Int64
    nll: Float64
    right: npt.NDArray[np.bool_]
    precision: float
    left_out: int


def judged(rows: Int64, shares: Float64, own: Int64, left_out: int) -> Judged:
    """What shares (n, C) say of specimens of the columns ``own`` (n,)."""
    p = np.maximum(shares[np.arange(len(own)), own], LEAST)
    return Judged(rows, -np.log(p), shares.argmax(1) == own, mean_average_precision(shares, own), left_out)


def mean_average_precision(shares: Float64, own: Int64) -> float:
    """Mean over the taxa in ``own`` of the average precision of the specimens in the order of that taxon's share."""
    found = []
    for taxon in np.unique(own):
        right = (own == taxon)[np.argsort(-shares[:, taxon], kind="stable")]
        found.append(float((np.cumsum(right)[right] / (np.flatnonzero(right) + 1)).mean()))
    return float(np.mean(found)) if found else float("nan")


def held_out(units: Int64, seed: int, share: float) -> npt.NDArray[np.bool_]:
    """(n,) whether the unit (cell, row) of a specimen is held out by this seed; at least one unit is, and one is not."""
    shuffled = np.random.default_rng(seed).permutation(np.unique(units))
    return np.isin(units, shuffled[: min(max(1, int(len(shuffled) * share)), len(shuffled) - 1)])


def resampled(values: Float64, units: Int64, seed: int) -> tuple[float, float]:
    """Ends of the percentile interval of the mean of n values, whole units (cells) drawn anew with their specimens."""
    if not len(values):
        return float("nan"), float("nan")
    _, unit = np.unique(units, return_inverse=True)
    unit = unit.reshape(-1)
    sums, counts = np.bincount(unit, values), np.bincount(unit).astype(np.float64)
    rng = np.random.default_rng(seed)
    means = [(weights @ sums) / (weights @ counts) for weights in _weights(rng, len(sums))]
    low, high = np.quantile(np.concatenate(means), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _weights(rng: np.random.Generator, units: int) -> Iterator[Float64]:
    """(draws, units) how often each unit was drawn, in parts that stay small."""
    step = max(1, 2_000_000 // units)
    for start in range(0, DRAWS, step):
        yield rng.multinomial(units, np.full(units, 1 / units), size=min(step, DRAWS - start)).astype(np.float64)


def spread(values: Any) -> float:
    """Standard deviation over seeds; nan of one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


__all__ = ["CONFIDENCE", "DRAWS", "Judged", "held_out", "judged", "mean_average_precision", "resampled", "spread"]
