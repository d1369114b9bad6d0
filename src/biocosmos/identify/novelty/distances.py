"""Novelty: how far a query is from everything known, and whether that is farther than known specimens are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Share of known specimens that may be flagged as novel by mistake.
DEFAULT_FALSE_ALARM_RATE = 0.05


def neighbour_count(taxa: NDArray[np.int32]) -> int:
    """k of the kNN distance: the square root of the median class size, at least 1.

    facts/hierarchy_novelty.md: "kNN distance on unit vectors (k about sqrt of class size)"; the median, because class sizes
    are long-tailed.
    """
    sizes = np.unique(taxa, return_counts=True)[1]
    return max(1, round(float(np.sqrt(np.median(sizes)))))


def kth_distance(cosines: NDArray[np.float32], k: int) -> NDArray[np.float64]:
    """Euclidean distance of unit vectors to the k-th nearest, in [0, 2]; to the farthest where there are fewer than k.

    Sun, Ming, Zhu, Li: Out-of-Distribution Detection with Deep Nearest Neighbors, ICML 2022, arXiv:2204.06507.
    cosines: (q, >= k) best first, -inf where there is no row. Returns (q,) float64, NaN without any row.
    """
    found = cosines[:, :k]
    count = np.isfinite(found).sum(axis=1)
    kth = found[np.arange(len(found)), np.maximum(count - 1, 0)].astype(np.float64)
    return np.where(count > 0, np.sqrt(np.maximum(2 - 2 * kth, 0)), np.nan)


def p_values(scores: NDArray[np.float64], calibration: NDArray[np.float64]) -> NDArray[np.float64]:
    """Conformal p-value of "this is a known specimen": (1 + #{calibration >= score}) / (n + 1), (q,) float64 in (0, 1].

    Were the query exchangeable with the calibration specimens, P(p <= a) <= a for every a. NaN without calibration scores.
    """
    if not len(calibration):
        return np.full(len(scores), np.nan)
    ordered = np.sort(calibration)
    at_least = len(ordered) - np.searchsorted(ordered, scores, side="left")
    return np.where(np.isnan(scores), np.nan, (1 + at_least) / (len(ordered) + 1))
