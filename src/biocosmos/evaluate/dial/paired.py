"""How much one way of computing loses against another on the same specimens, by an exact test of the loss.

Of n specimens b are right by the first way alone and c by the second alone; the loss is (b - c) / n. The hypothesis that the true
loss is at least some margin is rejected by the score statistic of Tango (1998, Statistics in Medicine 17, 891-908), whose law is
summed exactly over all (b, c) and not taken from the normal curve: a paired bootstrap and the usual intervals promise too much
where b and c are near zero, which is where a harmless way lies. The unknown that is left, how often the second alone is right,
runs over a confidence region of its own (Berger and Boos 1994, Journal of the American Statistical Association 89, 1012-1016).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

ALPHA = 0.05
"""One-sided: a loss is said to be below a margin with 95 % confidence."""
REGION = 0.001
"""What the confidence region of the unknown share leaves out; it is added to the probability."""
GRID = 48
"""Points at which that region is looked at."""
_STEPS = 24
_TINY = 1e-12


def loss_probability(losses: int, gains: int, count: int, margin: float) -> float:
    """The probability of so good a result or a better one if the true loss were ``margin``: small means that it is less.

    Args:
        losses, gains: specimens that the first way alone got right, that the second alone got right.
        count: specimens in all.
        margin: in [-1, 1]; below 0 it is a gain that is asked for.

    Returns:
        p in [0, 1], never too small: the test that rejects at p <= a is wrong at most a share a of the time.
    """
    if not count or margin <= -1:
        return 1.0
    if margin >= 1:
        return 0.0 if losses < count else 1.0
    from scipy.special import betaincinv, gammaln

    seen = float(score(np.array([losses]), np.array([gains]), count, margin)[0])
    lowest, highest = max(0.0, -margin), (1 - margin) / 2
    low = 0.0 if gains == 0 else float(betaincinv(gains, count - gains + 1, REGION / 2))
    high = 1.0 if gains == count else float(betaincinv(gains + 1, count - gains, 1 - REGION / 2))
    shares = np.unique(np.clip(np.linspace(low, high, GRID), lowest, highest))
    most = float(shares[-1])
    others = np.arange(min(count, int(count * most + 9 * math.sqrt(count * most * (1 - most)) + 24)) + 1)
    allowed = _most_losses(others, count, margin, seen)
    log_ways = gammaln(count + 1) - gammaln(others + 1) - gammaln(count - others + 1)
    worst = 0.0
    for share in shares.tolist():
        weights = np.exp(log_ways + others * _log(share) + (count - others) * _log(1 - share))
        lost = min((share + margin) / max(1 - share, _TINY), 1.0)
        worst = max(worst, float((weights * _at_most(allowed, count - others, lost)).sum()))
    return min(1.0, worst + REGION)


def largest_loss(losses: int, gains: int, count: int, alpha: float = ALPHA) -> float:
    """The loss that the true one is below with confidence 1 - alpha: where :func:`loss_probability` becomes ``alpha``.

    In [-1, 1]; 1 without specimens. The smallest loss that is likely as well is ``-largest_loss(gains, losses, count)``.
    """
    if not count:
        return 1.0
    low, high = (losses - gains) / count, 1.0
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (low, middle) if loss_probability(losses, gains, count, middle) <= alpha else (middle, high)
    return high


def score(losses: npt.NDArray[Any], gains: npt.NDArray[Any], count: int, margin: float) -> Floats:
    """(n,) Tango's z of a result against a true loss of ``margin``; the more negative, the less is lost.

    losses, gains: (n,) whole numbers. The variance is that of the shares that fit best among those that differ by ``margin``.
    """
    lost, gained = np.asarray(losses, np.float64), np.asarray(gains, np.float64)
    b = (2 * count - lost + gained) * margin - lost - gained
    root = np.sqrt(np.maximum(b * b + 8 * count * gained * margin * (1 - margin), 0))
    share = np.clip((root - b) / (4 * count), max(0.0, -margin), max(0.0, (1 - margin) / 2))
    variance = np.maximum(count * (2 * share + margin - margin * margin), _TINY)
    return (lost - gained - count * margin) / np.sqrt(variance)


def _most_losses(gains: npt.NDArray[Any], count: int, margin: float, seen: float) -> npt.NDArray[np.int64]:
    """For each number of gains, up to how many losses are as good a result as the one seen; -1 where none is."""
    low, high = np.full(len(gains), -1, np.int64), (count - gains).astype(np.int64)
    for _ in range(_STEPS):
        middle = (low + high + 1) // 2
        good = score(np.maximum(middle, 0), gains, count, margin) <= seen + 1e-9
        good |= middle < 0
        low, high = np.where(good, middle, low), np.where(good, high, middle - 1)
        if bool((low >= high).all()):
            break
    return low


def _at_most(most: npt.NDArray[np.int64], trials: npt.NDArray[Any], share: float) -> Floats:
    """Binomial probability of at most so many."""
    from scipy.special import bdtr

    found = bdtr(np.maximum(most, 0), trials, share)
    return np.asarray(np.where(most < 0, 0.0, np.where(most >= trials, 1.0, found)), np.float64)


def _log(value: float) -> float:
    return math.log(max(value, 1e-300))
