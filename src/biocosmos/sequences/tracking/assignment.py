"""One-to-one assignment of tracks and boxes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


def one_to_one(cost: Float64, most: float) -> tuple[Int64, Int64]:
    """The pairs of the least sum, among all sets of pairs in which no row and no column stands twice, of cost minus ``most``.

    cost: (tracks, boxes) float64, inf for pairs that cannot be; most: a pair that costs as much is as good as none.
    Returns rows and columns, (pairs,) int64 each, rows ascending. Every pair costs less than ``most``.

    Clipping at ``most`` before the assignment of Kuhn and Munkres is exact: a pair at the clip stands for "both alone", so that
    a dear pair never drives a cheap one away, which a threshold after the assignment does.
    """
    if not cost.size:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    gain = np.minimum(np.where(np.isnan(cost), np.inf, cost) - most, 0.0)
    rows, columns = linear_sum_assignment(gain)
    kept = gain[rows, columns] < 0
    return rows[kept].astype(np.int64), columns[kept].astype(np.int64)


def below(cost: Float64, most: float) -> tuple[Int64, Int64]:
    """The assignment of the least sum first, and of its pairs those that cost at most ``most``: as published trackers do it.

    cost (tracks, boxes) float64, finite. Returns rows and columns as :func:`one_to_one`.
    """
    if not cost.size:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    rows, columns = linear_sum_assignment(cost)
    kept = cost[rows, columns] <= most
    return rows[kept].astype(np.int64), columns[kept].astype(np.int64)
