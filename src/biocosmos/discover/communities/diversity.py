"""Diversity of samples: richness, Hill numbers, Shannon, Simpson, coverage, rarefaction, Chao1, and how samples differ.

``counts`` are (s, t) or (t,) float64, samples by taxa, at least 0; results are (s,), or a float64 of no dimension. A sample with
nothing in it, or with something that is not known (NaN), has NaN for all but its richness of 0. Natural logarithms.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError

Floats = npt.NDArray[np.float64]


def richness(counts: npt.ArrayLike) -> Floats:
    """Taxa of which there is any; NaN where one is not known."""
    values = np.asarray(counts, np.float64)
    return np.where(np.isnan(values).any(axis=-1), np.nan, (values > 0).sum(axis=-1).astype(np.float64))


def shannon(counts: npt.ArrayLike) -> Floats:
    """H = -Σ p ln p, in nats."""
    shares = _shares(counts)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(-(shares * logs).sum(axis=-1) + 0.0)


def simpson(counts: npt.ArrayLike) -> Floats:
    """1 - Σ p²: the chance that two are of different taxa."""
    return np.asarray(1 - (_shares(counts) ** 2).sum(axis=-1))


def hill(counts: npt.ArrayLike, order: float) -> Floats:
    """Dq = (Σ p^q)^(1/(1-q)), the number of equally common taxa that are as diverse; D0 richness, D1 e^H (Hill 1973)."""
    shares = _shares(counts)
    if not shares.shape[-1]:  # no taxon in any sample
        return np.full(shares.shape[:-1], np.nan)
    if order == 1:
        return np.asarray(np.exp(shannon(counts)))
    powers = np.power(shares, order, out=np.zeros_like(shares), where=shares > 0)
    sums = np.where(np.isnan(shares).any(axis=-1), np.nan, powers.sum(axis=-1))
    return np.asarray(sums ** (1 / (1 - order)))


def coverage(counts: npt.ArrayLike) -> Floats:
    """Share of the individuals of the community whose taxon was found: 1 - f1/n (n-1)f1 / ((n-1)f1 + 2 f2), f1 and f2 taxa of
    which one and two were found; without any f2 as Chao and Jost (2012) have it. ``counts`` are numbers of specimens."""
    n, ones, twos = _rare(counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        some = (n - 1) * ones / ((n - 1) * ones + 2 * twos)
        none = (n - 1) * (ones - 1) / ((n - 1) * (ones - 1) + 2)
        found = 1 - ones / n * np.where(twos > 0, some, none)
    found = np.where((ones == 0) & (n > 0), 1.0, np.where(n == 1, 0.0, found))
    return np.asarray(np.where(n > 0, found, np.nan))


def chao1(counts: npt.ArrayLike, *, corrected: bool = True) -> Floats:
    """Least number of taxa that there are: S + f1(f1-1) / (2(f2+1)), or S + f1²/(2 f2) where not ``corrected`` and f2 is above 0
    (Chao 1984). ``counts`` are numbers of specimens.

    Taxa that a classifier found once are mostly its errors, so that of predicted counts this is no estimate of what there is.
    """
    _, ones, twos = _rare(counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        classic = ones**2 / (2 * twos)
    bounded = ones * (ones - 1) / (2 * (twos + 1))
    return np.asarray(richness(counts) + (bounded if corrected else np.where(twos > 0, classic, bounded)))


def rarefied(counts: npt.ArrayLike, size: float) -> Floats:
    """Taxa to expect among ``size`` specimens drawn without replacement: Σ 1 - C(N-n, m)/C(N, m) (Hurlbert 1971).

    ``counts`` are whole numbers; NaN where a sample has fewer specimens than ``size``.
    """
    from scipy.special import gammaln

    if not size >= 0 or size != int(size):
        raise BiocosmosError(f"a sample cannot be rarefied to {size} specimens: it takes a whole number, 0 or more")
    values = np.asarray(counts, np.float64)
    if np.any(values != np.floor(values), where=~np.isnan(values)):
        raise BiocosmosError("only whole numbers of specimens are rarefied, no concentrations or shares")
    total = values.sum(axis=-1, keepdims=True)
    rest = total - values
    possible = rest - size >= 0
    with np.errstate(invalid="ignore"):
        logs = gammaln(rest + 1) - gammaln(np.where(possible, rest - size, 0) + 1)
        logs -= gammaln(total + 1) - gammaln(np.where(total >= size, total - size, 0) + 1)
    missed = np.where(possible, np.exp(np.minimum(logs, 0)), 0.0)
    found = np.where(values > 0, 1 - missed, 0.0).sum(axis=-1)
    return np.asarray(np.where(total[..., 0] >= size, found, np.nan))


def bray_curtis(values: npt.ArrayLike) -> Floats:
    """(s, s) Σ|a-b| / Σ(a+b) of each two rows of (s, t); NaN where both are empty or one is not known."""
    rows = np.asarray(values, np.float64)
    found = np.zeros((len(rows), len(rows)))
    sums = rows.sum(axis=1)
    for i, row in enumerate(rows):
        with np.errstate(divide="ignore", invalid="ignore"):
            found[i, i:] = np.abs(rows[i:] - row).sum(axis=1) / (sums[i:] + sums[i])
    upper = np.triu(found, 1)
    return np.asarray(upper + upper.T + np.diag(np.diag(found)))


def _shares(counts: npt.ArrayLike) -> Floats:
    values = np.asarray(counts, np.float64)
    if np.any(values < 0):
        raise BiocosmosError("a sample has a negative count: counts are 0 or more")
    total = values.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(values / np.where(total > 0, total, np.nan))


def _rare(counts: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    """(specimens, taxa found once, taxa found twice) of numbers of specimens."""
    values = np.asarray(counts, np.float64)
    if np.any(values != np.floor(values), where=~np.isnan(values)):
        raise BiocosmosError("coverage and Chao1 are of whole numbers of specimens, not of concentrations or shares")
    return values.sum(axis=-1), (values == 1).sum(axis=-1) * 1.0, (values == 2).sum(axis=-1) * 1.0


__all__ = ["bray_curtis", "chao1", "coverage", "hill", "rarefied", "richness", "shannon", "simpson"]
