"""Rank correlations with an interval: Spearman's and Kendall's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.evaluate.numbers.bootstrap import Bootstrap, Interval, Z

Array = npt.NDArray[Any]
# Above so many pairs the closed form is as good as the bootstrap, and cheaper.
BOOTSTRAPPED = 2000
CHUNK = 2_000_000
FEWEST = 3


def rank_correlation(a: Array, b: Array, boot: Bootstrap, groups: Array | None = None) -> Interval | None:
    """Pearson's correlation of mean ranks of a and b (n,), in [-1, 1]; None where either is constant or n is under three.

    Interval: percentile bootstrap over the n pairs with ``boot``'s draws and seed (draws in which one side is constant are left
    out), or over whole ``groups`` of them, (n,) codes, where pairs of one group are no independent witnesses. Above 2,000 pairs
    Bonett and Wright's, tanh(atanh(r) -+ z sqrt((1 + r^2 / 2) / (n - 3))) (Psychometrika 65, 2000,
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
    if n > BOOTSTRAPPED and groups is None:
        half = Z[boot.confidence] * np.sqrt((1 + value**2 / 2) / (n - 3))
        centre = np.arctanh(np.clip(value, -1 + 1e-12, 1 - 1e-12))
        return Interval(value, float(np.tanh(centre - half)), float(np.tanh(centre + half)))
    rng = np.random.default_rng(boot.seed)
    if groups is not None:
        found = [_pearson(rankdata(a[rows])[None], rankdata(b[rows])[None]) for rows in _whole_groups(groups, boot, rng)]
        return boot.interval(value, np.concatenate(found))
    each, drawn = max(CHUNK // n, 1), []
    for start in range(0, boot.draws, each):
        rows = rng.integers(0, n, (min(each, boot.draws - start), n))
        drawn.append(_pearson(rankdata(a[rows], axis=1), rankdata(b[rows], axis=1)))
    return boot.interval(value, np.concatenate(drawn))


def kendall(a: Array, b: Array, boot: Bootstrap, groups: Array | None = None) -> Interval | None:
    """Kendall's tau-b of a and b (n,): pairs in the same order less pairs in opposite order, over the pairs that are tied in
    neither but for the root of both counts (1945, https://doi.org/10.1093/biomet/33.3.239); None as in :func:`rank_correlation`.

    Interval: percentile bootstrap over the n pairs, or over whole ``groups`` of them. All n x n signs are held: raises
    ValueError above 2,000.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    n = len(a)
    if n > BOOTSTRAPPED:
        raise ValueError(f"Kendall's tau of {n} pairs: at most {BOOTSTRAPPED} here")
    if n < FEWEST or len(np.unique(a)) < 2 or len(np.unique(b)) < 2:
        return None
    first, second = np.sign(a[:, None] - a), np.sign(b[:, None] - b)
    value = _tau(first, second)
    if not boot.draws or n <= FEWEST:
        return Interval(value, float("nan"), float("nan"))
    rng = np.random.default_rng(boot.seed)
    draws = (rng.integers(0, n, n) for _ in range(boot.draws)) if groups is None else _whole_groups(groups, boot, rng)
    drawn = [_tau(first[rows[:, None], rows], second[rows[:, None], rows]) for rows in draws]
    return boot.interval(value, np.array(drawn))


def _whole_groups(groups: Array, boot: Bootstrap, rng: np.random.Generator) -> Iterator[Array]:
    """Row numbers of as many groups as there are, drawn with replacement, all rows of one together."""
    members = [np.flatnonzero(groups == code) for code in np.unique(groups)]
    for _ in range(boot.draws):
        yield np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])


def _tau(first: Array, second: Array) -> float:
    """tau-b of the signs of all pairs, (n, n) each; NaN where one side is constant."""
    untied = np.count_nonzero(first) * np.count_nonzero(second)
    return float((first * second).sum() / np.sqrt(untied)) if untied else float("nan")


def _pearson(a: Array, b: Array) -> Array:
    """(m,) correlations of the rows of a and b (m, n); NaN where one is constant."""
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))
    return np.clip(found, -1, 1)
