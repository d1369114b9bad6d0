"""Intervals for shares of right answers: seeded percentile bootstrap, computed from counts instead of resampled rows.

A share of right answers needs only how many queries each taxon has and how many of them are right. Resampling the rows
with replacement and recounting has a known law in these counts (a binomial per taxon, a multinomial over taxa), so the
draws below have exactly the distribution of the row-by-row bootstrap (Efron 1979, https://doi.org/10.1214/aos/1176344552)
at a cost that does not depend on the number of queries. Taxa with equal counts are drawn together, so 450,000 taxa cost
little more than 500.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError

Resample = Literal["specimens", "taxa"]
Array = npt.NDArray[Any]

DRAWS = 1000
CONFIDENCE = 0.95
_BLOCK = 2_000_000  # counts of a block of draws
# Two-sided normal quantile of 0.95, for Wilson's interval when no other confidence is asked for.
Z = {0.9: 1.6448536269514722, 0.95: 1.959963984540054, 0.99: 2.5758293035489004}


class Interval(NamedTuple):
    """A value in [0, 1] (a difference: [-1, 1]) with the ends of its interval; all NaN when there was nothing to count."""

    value: float
    low: float
    high: float


EMPTY = Interval(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class Bootstrap:
    """Percentile intervals by resampling.

    resample "specimens": draw specimens anew. Micro averages draw among all queries; macro averages draw within each taxon and
        keep the taxa (stratified): "other photographs of these taxa".
    resample "taxa": draw whole taxa with all their queries (cluster bootstrap): "other taxa of this kind". Wider, as a rule.
    draws: number of resamples; confidence: one of 0.9, 0.95, 0.99; seed: every interval starts its own generator from it, so a
        number does not depend on which other numbers were asked for.
    """

    draws: int = DRAWS
    confidence: float = CONFIDENCE
    seed: int = 0
    resample: Resample = "specimens"

    def __post_init__(self) -> None:
        if self.resample not in ("specimens", "taxa"):
            raise BiocosmosError(f"cannot resample {self.resample!r}: use 'specimens' or 'taxa'")
        if self.confidence not in Z:
            raise BiocosmosError(f"confidence {self.confidence} is not offered: use one of {', '.join(map(str, Z))}")
        if self.draws < 0:
            raise BiocosmosError(f"bootstrap must be 0 (no intervals) or more draws, not {self.draws}")

    def micro(self, hits: Array, counts: Array) -> Interval:
        """Share of right queries, every query counting the same.

        hits, counts: (taxa,) right queries and queries of each taxon.
        """
        hits, counts = _kept(hits, counts)
        total, right = int(counts.sum()), int(hits.sum())
        if not total:
            return EMPTY
        if self.resample == "specimens":
            draws = self._rng().binomial(total, right / total, self.draws) / total
        else:
            weights, hits, counts = self._taxa_weights(hits, counts)
            draws = (weights @ hits) / (weights @ counts)
        return self.interval(right / total, draws)

    def macro(self, hits: Array, counts: Array) -> Interval:
        """Mean over taxa of each taxon's share of right queries; arguments as in :meth:`micro`. Taxa without queries are left
        out."""
        hits, counts = _kept(hits, counts)
        taxa = len(counts)
        if not taxa:
            return EMPTY
        value = float((hits / counts).mean())
        if self.resample == "taxa":
            weights, hits, counts = self._taxa_weights(hits, counts)
            return self.interval(value, weights @ (hits / counts) / taxa)
        same, alike = np.unique(np.stack([hits, counts], axis=1), axis=0, return_counts=True)
        right, size = same[:, :1], same[:, 1:]
        # The sum of m equal binomials is one binomial of m times the size.
        sums = self._rng().binomial(alike[:, None] * size, right / size, (len(same), self.draws)) / size
        return self.interval(value, sums.sum(axis=0) / taxa)

    def paired_micro(self, gains: Array, losses: Array, counts: Array) -> Interval:
        """Difference of two shares measured on the same queries.

        gains: (taxa,) queries only the second got right; losses: (taxa,) queries only the first got right; counts: (taxa,)
        queries.
        """
        gains, losses, counts = _kept(gains, losses, counts)
        if not len(counts):
            return EMPTY
        if self.resample == "taxa":
            value = float((gains - losses).sum() / counts.sum())
            weights, gains, losses, counts = self._taxa_weights(gains, losses, counts)
            return self.interval(value, (weights @ (gains - losses)) / (weights @ counts))
        return self._paired(*(column.sum(keepdims=True) for column in (gains, losses, counts)))

    def paired_macro(self, gains: Array, losses: Array, counts: Array) -> Interval:
        """Mean over taxa of the difference of two shares measured on the same queries; arguments as in :meth:`paired_micro`."""
        gains, losses, counts = _kept(gains, losses, counts)
        if not len(counts):
            return EMPTY
        if self.resample == "taxa":
            value = float(((gains - losses) / counts).mean())
            taxa = len(counts)
            weights, gains, losses, counts = self._taxa_weights(gains, losses, counts)
            return self.interval(value, weights @ ((gains - losses) / counts) / taxa)
        return self._paired(gains, losses, counts)

    def mean(self, values: Array, units: Array | None = None) -> Interval:
        """Mean of (n,) numbers that are no right and wrong answers: whole units are drawn anew with all that is of them.

        units: (n,) what each is of, a cell say; None: each is a unit of its own. ``resample`` is not asked.
        """
        values = np.asarray(values, np.float64)
        if not len(values):
            return EMPTY
        unit = np.arange(len(values)) if units is None else np.unique(units, return_inverse=True)[1].reshape(-1)
        sums, sizes = np.bincount(unit, values), np.bincount(unit).astype(np.float64)
        drawn = (times.astype(np.float64) for times in self._redrawn(np.ones(len(sums), np.int64), np.zeros(len(sums), np.int64)))
        means = [(times @ sums) / (times @ sizes) for times in drawn]
        return self.interval(float(values.mean()), np.concatenate([np.empty(0), *means]))

    def recounted(self, counts: Array, numbers: Callable[[Array], Array], strata: Array | None = None) -> list[Interval]:
        """Intervals for numbers that are no plain share, an F1 say, but follow from how many specimens of each kind there are.

        counts: (kinds,) specimens that are alike in all that the numbers look at; numbers: counts (draws, kinds) int64 ->
        (draws, m) float64, NaN where undefined. Specimens are drawn anew among all, or within each of ``strata`` ((kinds,) codes)
        for macro averages. Returns m intervals.
        """
        counts = np.asarray(counts, np.int64)
        values = numbers(counts[None])[0]
        if not len(counts) or not self.draws:
            return [Interval(float(value), float("nan"), float("nan")) for value in values]
        found = [numbers(drawn) for drawn in self._redrawn(counts, np.zeros(len(counts), int) if strata is None else strata)]
        draws = np.concatenate(found)
        return [self.interval(value, column) for value, column in zip(values, draws.T)]

    def _redrawn(self, counts: Array, strata: Array) -> Iterator[Array]:
        """Blocks (draws, kinds) of counts, in constant memory."""
        rng, step = self._rng(), max(1, _BLOCK // len(counts))
        groups = [np.flatnonzero(strata == code) for code in np.unique(strata)]
        for start in range(0, self.draws, step):
            drawn = np.empty((min(step, self.draws - start), len(counts)), np.int64)
            for kinds in groups:
                size = int(counts[kinds].sum())
                drawn[:, kinds] = rng.multinomial(size, counts[kinds] / size, len(drawn))
            yield drawn

    def _paired(self, gains: Array, losses: Array, counts: Array) -> Interval:
        value = float(((gains - losses) / counts).mean())
        same, alike = np.unique(np.stack([gains, losses, counts], axis=1), axis=0, return_counts=True)
        gain, loss, size = same[:, :1], same[:, 1:2], same[:, 2:]
        rng, trials = self._rng(), alike[:, None] * size
        up = rng.binomial(trials, gain / size, (len(same), self.draws))
        rest = np.maximum(size - gain, 1)
        down = rng.binomial(trials - up, np.minimum(loss / rest, 1.0))
        return self.interval(value, ((up - down) / size).sum(axis=0) / len(counts))

    def _taxa_weights(self, *columns: Array) -> tuple[Array, ...]:
        same, alike = np.unique(np.stack(columns, axis=1), axis=0, return_counts=True)
        taxa = int(alike.sum())
        weights = self._rng().multinomial(taxa, alike / taxa, self.draws)
        return (weights, *same.T)

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def interval(self, value: float, draws: Array) -> Interval:
        """A value with the percentiles of its draws (n,), of which those that are no number are left out; no ends without any."""
        draws = draws[np.isfinite(draws)]
        if not len(draws):
            return Interval(float(value), float("nan"), float("nan"))
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(draws, (tail, 1 - tail))
        return Interval(float(value), float(low), float(high))


def wilson(hits: Array, counts: Array, confidence: float = CONFIDENCE) -> tuple[Array, Array]:
    """Wilson's interval for a share (1927), which keeps a width at 0 and 1 and at few queries, where the bootstrap has none.

    hits, counts: (n,) right answers and answers. Returns (low, high) (n,) float64, NaN where counts is 0.
    """
    z = Z[confidence]
    counts = np.asarray(counts, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.asarray(hits, dtype=np.float64) / counts
        centre = (share + z * z / (2 * counts)) / (1 + z * z / counts)
        half = z / (1 + z * z / counts) * np.sqrt(share * (1 - share) / counts + z * z / (4 * counts * counts))
        # At 0 and 1 the ends meet the share exactly, but for rounding.
        return np.clip(centre - half, 0, share), np.clip(centre + half, share, 1)


def paired_interval(gains: Array, losses: Array, counts: Array, confidence: float = CONFIDENCE) -> tuple[Array, Array]:
    """Bonett and Price's adjusted Wald interval (2012) for the difference of two shares on the same queries, good at few queries.

    gains, losses, counts: (n,) queries only the second got right, only the first got right, all. Returns (low, high) (n,) in
    [-1, 1].
    """
    z = Z[confidence]
    counts = np.asarray(counts, dtype=np.float64)
    up, down = (np.asarray(gains) + 1) / (counts + 2), (np.asarray(losses) + 1) / (counts + 2)
    half = z * np.sqrt((up + down - (up - down) ** 2) / (counts + 2))
    return np.clip(up - down - half, -1, 1), np.clip(up - down + half, -1, 1)


def _kept(*columns: Array) -> list[Array]:
    stacked = [np.asarray(column, dtype=np.int64).reshape(-1) for column in columns]
    keep = stacked[-1] > 0
    return [column[keep] for column in stacked]
