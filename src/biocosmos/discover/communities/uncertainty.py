"""How sure counts, concentrations and diversity are: drawn anew over specimens, and over the confusion of the classifier.

A draw gives every specimen a Poisson(1) weight (Hanley and MacGibbon 2006), so that how many there are is open as well as which.
Where the confusion of the classifier is known, a draw takes its specimens anew too, and the shares of the true taxa behind the
names, and behind what it had no name for, are those of the greatest likelihood under it, by expectation maximisation over names
(Saerens et al. 2002, with the rows of the confusion in place of posteriors). Names that people confirmed stay as they are.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biocosmos.discover.communities import diversity
from biocosmos.discover.communities.grouping import Grouped
from biocosmos.errors import BiocosmosError

Floats = npt.NDArray[np.float64]
LEVEL = 0.95
MOST_CELLS = 20_000_000
"""Numbers in memory at once, of the draws of some samples."""
NOTHING = 1e-6
"""Of the commonest taxon of a sample: less is none."""
MOST_STEPS, CLOSE = 1000, 1e-7
STEPS_OF_A_DRAW, CLOSE_OF_A_DRAW = 60, 1e-4
"""A draw starts where all specimens led."""
INDICES = ("D1", "D2", "shannon")
"""Of which intervals are told: richness of a draw is always less than that of what is drawn from."""
BESIDE = {"specimens": "", "concentration": "concentration_", "biovolume": "biovolume_"} | {
    "per_m2": "per_m2_",
    "biovolume_per_m2": "biovolume_per_m2_",
}


@dataclass(frozen=True)
class Confusion:
    """counts: (t, t + 1) float64, how many specimens of a true taxon (row) were given a name (column), as a community has its
    taxa; the last column: had no name.

    A taxon of which nothing is known, neither row nor column, is taken as it is named.
    """

    counts: Floats

    def __post_init__(self) -> None:
        shape = self.counts.shape
        if self.counts.ndim != 2 or shape[1] != shape[0] + 1 or not (self.counts >= 0).all():
            raise BiocosmosError(f"a confusion is a table of t taxa by t + 1 names, 0 or more, not of shape {shape}")

    @property
    def specimens(self) -> int:
        """How many it rests on."""
        return int(self.counts.sum())

    def rates(self, counts: Floats | None = None) -> Floats:
        """(t, t + 1) the share of the specimens of each taxon that is given each name; rows of 0 where there are none."""
        given = self.counts if counts is None else counts
        sums = given.sum(axis=1, keepdims=True)
        rates: Floats = np.divide(given, sums, out=np.zeros_like(given), where=sums > 0)
        unknown = np.flatnonzero((self.counts.sum(axis=1) == 0) & (self.counts.sum(axis=0)[:-1] == 0))
        rates[unknown, unknown] = 1.0
        return rates

    def drawn(self, rng: np.random.Generator) -> Floats:
        """Rates of specimens drawn anew, within each true taxon."""
        sums = self.counts.sum(axis=1).astype(np.int64)
        rates = self.rates()
        rows = np.flatnonzero(sums)
        counts = np.zeros_like(self.counts)
        counts[rows] = rng.multinomial(sums[rows], rates[rows] / rates[rows].sum(axis=1, keepdims=True))
        return self.rates(counts)


@dataclass(frozen=True)
class Doubt:
    """Low and high ends, (s, t), under the names of the columns they go beside, and of diversity, (s,) each; corrected:
    name of a table -> (s, t), what there is of each true taxon, where a confusion was known."""

    ends: dict[str, Floats]
    indices: dict[str, tuple[Floats, Floats]]
    draws: int
    corrected: dict[str, Floats] | None = None


def behind(
    names: npt.ArrayLike, rates: npt.ArrayLike, *, start: Floats | None = None, steps: int = MOST_STEPS, close: float = CLOSE
) -> Floats:
    """(s, t) specimens of each true taxon behind (s, k) names, by the greatest likelihood under (t, k) rates, k at least t.

    Names that no taxon is ever given stay as they are, but for those beyond the taxa. start: (s, t) shares to begin with, equal
    ones by default.
    """
    given, rates = np.asarray(names, np.float64), np.asarray(rates, np.float64)
    possible = rates.sum(axis=0) > 0
    known = np.where(possible, given, 0.0)
    total = known.sum(axis=1, keepdims=True)
    rows = rates.sum(axis=1) > 0
    even = np.where(rows, 1.0 / max(int(rows.sum()), 1), 0.0)[None, :].repeat(len(given), axis=0)
    taxa = len(rates)
    shares = even if start is None else 0.99 * start + 0.01 * even
    for _ in range(steps):
        new = _step(known, shares, rates)
        sums = new.sum(axis=1, keepdims=True)
        new = np.divide(new, sums, out=shares.copy(), where=sums > 0)
        change = float(np.abs(new - shares).max(initial=0.0))
        shares = new
        if change < close:
            break
    return np.asarray(shares * total + np.where(possible, 0.0, given)[:, :taxa])


def _step(values: Floats, shares: Floats, rates: Floats) -> Floats:
    """What of ``values`` (s, t), by name, is of each true taxon under its ``shares`` (s, t)."""
    said = shares @ rates
    return np.asarray(shares * (np.divide(values, said, out=np.zeros_like(said), where=said > 1e-300) @ rates.T))


def doubt_of(
    grouped: Grouped, *, confusion: Confusion | None = None, draws: int = 200, seed: int = 0, level: float = LEVEL
) -> Doubt:
    """Intervals of a community by ``draws`` draws; the same for the same seed.

    A draw misses taxa and is on average less diverse than what it is drawn from: the ends of diversity are moved by that
    difference.

    What is not known stays NaN. A taxon that was not found has 0 to 0, unless a confusion says what may be behind other names.
    """
    community = grouped.community
    shape = community.counts.shape
    tables = {name: prefix for name, prefix in BESIDE.items() if name in community.beside}
    ends = {f"{prefix}{end}": np.full(shape, np.nan) for prefix in tables.values() for end in ("low", "high")}
    indices = {name: (np.full(shape[0], np.nan), np.full(shape[0], np.nan)) for name in INDICES}
    corrected, start = (None, None) if confusion is None else _corrected(grouped, confusion, list(tables))
    tails = [(1 - level) / 2, (1 + level) / 2]
    main = main_of(tables)
    for block in _blocks(shape, draws, len(tables)):
        found = _draws_of(grouped, block, list(tables), confusion, draws, seed, None if start is None else start[block])
        for name, prefix in tables.items():
            low, high = np.quantile(found[name], tails, axis=0)
            ends[f"{prefix}low"][block], ends[f"{prefix}high"][block] = low, high
        for name in INDICES:
            values = index_of(name, found[main])
            known = np.isnan(values).mean(axis=0) < 0.5
            if known.any():
                at = community.beside[main] if corrected is None else corrected[main]
                found_as = index_of(name, at[block[known]])
                off = found_as - np.nanmean(values[:, known], axis=0)
                ends_of = np.nanquantile(values[:, known], tails, axis=0) + np.where(np.isnan(off), 0.0, off)
                least = 0.0 if name == "shannon" else 1.0
                indices[name][0][block[known]], indices[name][1][block[known]] = np.maximum(ends_of, least)
    return Doubt({name: _rid(values) for name, values in ends.items()}, indices, draws, corrected)


def _corrected(grouped: Grouped, confusion: Confusion, tables: list[str]) -> tuple[dict[str, Floats], Floats]:
    """(name of a table -> what there is of each true taxon, shares of these among what the classifier named)."""
    rates = confusion.rates()
    said = {name: _said(grouped, name) for name in tables}
    true = behind(said["specimens"], rates)
    shares, possible = _shares(true), rates.sum(axis=0) > 0
    found = {}
    for name in tables:
        confirmed = grouped.totals(np.where(grouped.machine, 0.0, _each(grouped, name)))
        known = np.where(possible, said[name], 0.0)
        kept = (said[name] - known)[:, : rates.shape[0]]
        found[name] = _rid((true if name == "specimens" else _step(known, shares, rates) + kept) + confirmed)
    return found, shares


def _said(grouped: Grouped, table: str) -> Floats:
    """(s, t + 1) by the names of the machine, the last column what it had none for."""
    named = grouped.totals(np.where(grouped.machine, _each(grouped, table), 0.0))
    group, *_ = grouped.unnamed
    return np.column_stack([named, np.bincount(group, _unnamed(grouped, table), len(named))])


def _unnamed(grouped: Grouped, table: str) -> Floats:
    """What each specimen adds that the machine had no name for."""
    group, weight, volume = grouped.unnamed
    return np.ones(len(group)) if table == "specimens" else volume if "biovolume" in table else weight


def _each(grouped: Grouped, table: str) -> Floats:
    """(n,) what each specimen adds to a table."""
    if table == "specimens":
        return np.ones(len(grouped.group))
    return grouped.volume if "biovolume" in table else grouped.weight


def _rid(values: Floats) -> Floats:
    """Without what is 0 but for the steps that EM was not given."""
    most = np.nanmax(values, axis=1, initial=0.0, keepdims=True)
    return np.asarray(np.where(values < NOTHING * most, 0.0, values))


def main_of(tables: Container[str]) -> str:
    """The table that diversity is of: what goes by the volume where that is known, else specimens."""
    return next((name for name in ("per_m2", "concentration") if name in tables), "specimens")


def index_of(name: str, counts: Floats) -> Floats:
    """One of :data:`INDICES`."""
    return diversity.shannon(counts) if name == "shannon" else diversity.hill(counts, float(name[1:]))


def _blocks(shape: tuple[int, ...], draws: int, tables: int) -> Iterator[npt.NDArray[np.int64]]:
    """Samples, as many at once as memory takes."""
    size = max(1, MOST_CELLS // max(1, draws * shape[1] * tables))
    for start in range(0, shape[0], size):
        yield np.arange(start, min(start + size, shape[0]))


def _draws_of(
    grouped: Grouped,
    block: npt.NDArray[np.int64],
    tables: list[str],
    confusion: Confusion | None,
    draws: int,
    seed: int,
    start: Floats | None,
) -> dict[str, Floats]:
    """name -> (draws, samples of the block, t)."""
    taxa, wide = grouped.community.counts.shape[1], grouped.community.counts.shape[1] + 1
    inside = [np.flatnonzero((group >= block[0]) & (group <= block[-1])) for group in (grouped.group, grouped.unnamed[0])]
    mine, unnamed = inside if confusion is not None else (inside[0], inside[1][:0])
    group = np.append(grouped.group[mine], grouped.unnamed[0][unnamed]) - block[0]
    at = group * wide + np.append(grouped.taxon[mine], np.full(len(unnamed), taxa))
    machine = np.append(grouped.machine[mine], np.ones(len(unnamed), bool))
    values = {name: np.append(_each(grouped, name)[mine], _unnamed(grouped, name)[unnamed]) for name in tables}
    size = len(block) * wide
    found = {name: np.zeros((draws, len(block), taxa)) for name in tables}
    empty = np.bincount(at, minlength=size).reshape(len(block), wide)[:, :taxa] == 0
    for draw in range(draws):
        weights = np.random.default_rng((seed, draw, int(block[0]))).poisson(1.0, len(at)).astype(np.float64)
        rates = None if confusion is None else confusion.drawn(np.random.default_rng((seed, draw)))
        said: dict[str, Floats] = {}
        for name in tables:
            parts = np.where(np.isnan(values[name]), np.nan, weights * values[name])
            found[name][draw] = _summed(at, parts, len(block), wide)[:, :taxa]
            if rates is not None:
                said[name] = _summed(at[machine], parts[machine], len(block), wide)
        if rates is not None:
            _correct(found, said, rates, draw, start)
    if confusion is None:
        for name in tables:
            if name != "specimens":
                found[name][:, empty & grouped.not_zero[block][:, None]] = np.nan
    return found


def _summed(at: npt.NDArray[np.int64], values: Floats, rows: int, columns: int) -> Floats:
    return np.asarray(np.bincount(at, values, rows * columns).astype(np.float64).reshape(rows, columns))


def _correct(found: dict[str, Floats], said: dict[str, Floats], rates: Floats, draw: int, start: Floats | None) -> None:
    """Put the true taxa in the place of the names of one draw; what goes by the volume is shared out as the specimens are."""
    names = said["specimens"]
    behind_them = behind(names, rates, start=start, steps=STEPS_OF_A_DRAW, close=CLOSE_OF_A_DRAW)
    shares, possible = _shares(behind_them), rates.sum(axis=0) > 0
    taxa = rates.shape[0]
    for name, values in said.items():
        known = np.where(possible, values, 0.0)
        shared = behind_them if name == "specimens" else _step(known, shares, rates) + (values - known)[:, :taxa]
        found[name][draw] += shared - values[:, :taxa]


def _shares(values: Floats) -> Floats:
    total = values.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(values, total, out=np.zeros_like(values), where=total > 0))


__all__ = ["BESIDE", "Confusion", "Doubt", "behind", "doubt_of", "index_of", "main_of"]
