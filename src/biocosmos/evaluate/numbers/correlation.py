"""Spearman's rank correlation with an interval."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.evaluate.numbers.bootstrap import Bootstrap, Interval, Z

Array = npt.NDArray[Any]
# Above so many pairs the closed form is as good as the bootstrap, and cheaper.
BOOTSTRAPPED = 2000
CHUNK = 2_000_000
FEWEST = 3


def rank_correlation(a: Array, b: Array, boot: Bootstrap) -> Interval | None:
    """Pearson's correlation of mean ranks of a and b (n,), in [-1, 1]; None where either is constant or n is under three.

    Interval: percentile bootstrap over the n pairs with ``boot``'s draws and seed (draws in which one side is constant are left
    out); above 2,000 pairs Bonett and Wright's, tanh(atanh(r) -+ z sqrt((1 + r^2 / 2) / (n - 3))) (Psychometrika 65, 2000,
    https://doi.org/10.1007/BF02294183). NaN ends with no draws, or fewer than four pairs.
    """
    from scipy.stats import rankdata  # takes a second to import

    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    n = len(a)
    if n < FEWEST or len(np.unique(a)) < 2 or len(np.unique(b)) < 2:
        return None
    value = float(_pearson(rankdata(a)[None], rankdata(b)[None])[0])
    if not boot.draws or n <= FEWEST:
        return Interval(value, float("nan"), float("nan"))
    if n > BOOTSTRAPPED:
        half = Z[boot.confidence] * np.sqrt((1 + value**2 / 2) / (n - 3))
        centre = np.arctanh(np.clip(value, -1 + 1e-12, 1 - 1e-12))
        return Interval(value, float(np.tanh(centre - half)), float(np.tanh(centre + half)))
    rng = np.random.default_rng(boot.seed)
    each, drawn = max(CHUNK // n, 1), []
    for start in range(0, boot.draws, each):
        rows = rng.integers(0, n, (min(each, boot.draws - start), n))
        drawn.append(_pearson(rankdata(a[rows], axis=1), rankdata(b[rows], axis=1)))
    draws = np.concatenate(drawn)
    draws = draws[np.isfinite(draws)]
    tail = (1 - boot.confidence) / 2
    low, high = np.quantile(draws, (tail, 1 - tail)) if len(draws) else (np.nan, np.nan)
    return Interval(value, float(low), float(high))


def _pearson(a: Array, b: Array) -> Array:
    """(m,) correlations of the rows of a and b (m, n); NaN where one is constant."""
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))
    return np.clip(found, -1, 1)
