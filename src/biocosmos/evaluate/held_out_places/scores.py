"""How well shares of taxa at places foretell the specimens that were held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

LEAST = 1e-12
"""The smallest share whose logarithm is taken."""


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


def spread(values: Any) -> float:
    """Standard deviation over seeds; nan of one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


__all__ = ["Judged", "held_out", "judged", "mean_average_precision", "spread"]
