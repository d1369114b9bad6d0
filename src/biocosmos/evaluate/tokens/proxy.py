"""Does likeness of what two reductions keep go with likeness of their accuracy?

For all pairs of settings the distance of their patterns is correlated with |accuracy - accuracy|, by ranks. Above 0: those that
keep the same are as good. The pairs of one setting are no independent witnesses, so that an interval draws *settings* with
replacement and takes the pairs among those drawn (a setting with itself is no pair); pairs drawn as if independent would look
surer than they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.bootstrap import Bootstrap, Interval

Array = npt.NDArray[Any]
FEWEST_PAIRS = 3
TINY = 1e-9
FEWEST_DISTINCT = 3
"""Different settings that a draw needs to have a correlation."""


@dataclass(frozen=True)
class Proxy:
    """Rank correlations over ``pairs`` pairs of ``settings`` settings; None where one side is constant or pairs are too few."""

    settings: int
    pairs: int
    spearman: Interval | None
    kendall: Interval | None


def proxy(distance: Array, accuracy: Array, boot: Bootstrap) -> Proxy:
    """distance: (m, m), NaN for pairs that cannot be compared, its lower half and diagonal unused; accuracy: (m,)."""
    distance, accuracy = np.asarray(distance, np.float64), np.asarray(accuracy, np.float64)
    if distance.shape != (len(accuracy), len(accuracy)):
        raise BiocosmosError(f"distances of {len(accuracy)} settings must be a square, not {distance.shape}")
    whole = np.triu(distance, 1) + np.triu(distance, 1).T
    np.fill_diagonal(whole, np.nan)
    rows, columns = np.triu_indices(len(accuracy), 1)
    told, real = _pairs(whole, accuracy, rows, columns)
    used = int(np.isfinite(np.where(np.isnan(whole), np.nan, accuracy[:, None] + accuracy)).any(1).sum())
    values = _correlations(told, real)
    if values is None:
        return Proxy(used, len(told), None, None)
    there = np.isfinite(whole[rows, columns]) & np.isfinite(accuracy[rows] + accuracy[columns])
    times = np.random.default_rng(boot.seed).multinomial(len(accuracy), np.full(len(accuracy), 1 / len(accuracy)), boot.draws)
    times = times[(times > 0).sum(1) >= FEWEST_DISTINCT].astype(np.float64)
    weights = times[:, rows[there]] * times[:, columns[there]]  # how often each pair is among those of the settings drawn
    spearman, kendall = (boot.interval(value, drawn) for value, drawn in zip(values, _weighted(told, real, weights)))
    return Proxy(used, len(told), spearman, kendall)


def _pairs(distance: Array, accuracy: Array, rows: Array, columns: Array) -> tuple[Array, Array]:
    """Distances and |accuracy differences| of pairs, those that have both."""
    told, real = distance[rows, columns], np.abs(accuracy[rows] - accuracy[columns])
    there = np.isfinite(told) & np.isfinite(real)
    return told[there], real[there]


def _correlations(told: Array, real: Array) -> tuple[float, float] | None:
    """(Spearman's rho, Kendall's tau-b)."""
    from scipy.stats import kendalltau, rankdata

    if len(told) < FEWEST_PAIRS or np.ptp(told) == 0 or np.ptp(real) == 0:
        return None
    one, two = rankdata(told), rankdata(real)
    return float(np.corrcoef(one, two)[0, 1]), float(kendalltau(told, real).statistic)


def _weighted(told: Array, real: Array, weights: Array) -> tuple[Array, Array]:
    """(draws,) Spearman's rho and Kendall's tau-b of pairs that come weights (draws, pairs) times each; NaN where undefined.

    The same as of samples written out, by matrix products: the rank of a value is the number of smaller ones and half the equal
    ones, and tau-b a sum over all couples of pairs.
    """
    below = [np.sign(side[None, :] - side[:, None]) for side in (told, real)]  # [p, q] 1 where p is smaller than q
    one, two = (weights @ ((sign + 1) / 2) for sign in below)
    total = weights.sum(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        one, two = (ranks - (weights * ranks).sum(1, keepdims=True) / total for ranks in (one, two))
        spread = np.sqrt((weights * one**2).sum(1) * (weights * two**2).sum(1))
        rho = np.where(spread > TINY, (weights * one * two).sum(1) / spread, np.nan)
        agreeing, first, second = (
            ((weights @ couples) * weights).sum(1) for couples in (below[0] * below[1], np.abs(below[0]), np.abs(below[1]))
        )
        tau = np.where(first * second > 0, agreeing / np.sqrt(first * second), np.nan)
    return rho, tau
