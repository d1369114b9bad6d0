"""How far apart two barcodes are: the share of sites that differ over their overlap, and Kimura's distance of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Measure = Literal["p", "k2p"]
MEASURES: tuple[Measure, ...] = ("p", "k2p")
LEAST_OVERLAP = 300
"""Compared sites under which two barcodes are not compared: BOLD asks as many of a sequence that joins a BIN (its handbook)."""
_ANCHOR = 8
_TRANSITIONS = {"AG", "GA", "CT", "TC"}


class Distance(NamedTuple):
    """Of two aligned barcodes; sites with a gap or a letter other than A, C, G, T on either side are not compared.

    sites: compared; transitions: A-G and C-T; transversions: the other differences.
    """

    sites: int
    transitions: int
    transversions: int

    @property
    def p(self) -> float:
        """Share of the compared sites that differ; NaN without any."""
        return (self.transitions + self.transversions) / self.sites if self.sites else math.nan

    @property
    def k2p(self) -> float:
        """Kimura's two-parameter distance: -ln((1 - 2P - Q) sqrt(1 - 2Q)) / 2, P the share of transitions and Q that of
        transversions (Kimura 1980, https://doi.org/10.1007/BF01731581); NaN without a site and where it is saturated."""
        if not self.sites:
            return math.nan
        one = 1 - (2 * self.transitions + self.transversions) / self.sites
        two = 1 - 2 * self.transversions / self.sites
        return -0.5 * math.log(one * math.sqrt(two)) + 0.0 if one > 0 and two > 0 else math.nan

    def by(self, measure: Measure) -> float:
        """The one or the other."""
        return self.p if measure == "p" else self.k2p


NO_OVERLAP = Distance(0, 0, 0)


def distance(first: str, second: str, least: int = LEAST_OVERLAP) -> Distance:
    """Align the overlap of two barcodes and count; :data:`NO_OVERLAP` where under ``least`` sites can be compared."""
    if first == second:
        sites = sum(map(first.count, "ACGT"))
        return Distance(sites, 0, 0) if sites >= least else NO_OVERLAP
    found = counted(*aligned(first, second))
    return found if found.sites >= least else NO_OVERLAP


def aligned(first: str, second: str) -> tuple[str, str]:
    """The two over their overlap, with "-" for gaps, equally long; what hangs over at either end is left out.

    The overlap is where most of the shared words of 8 bases lie on one diagonal; within it the alignment has the fewest
    differences (edlib, global), and gaps at its ends are cut off. Empty where no word is shared.
    """
    import edlib

    shift = _shift(first, second)
    if shift is None:
        return "", ""
    a, b = first[max(0, -shift) :], second[max(0, shift) :]
    size = min(len(a), len(b))
    nice = edlib.getNiceAlignment(edlib.align(a[:size], b[:size], mode="NW", task="path"), a[:size], b[:size])
    x, y = nice["query_aligned"], nice["target_aligned"]
    start = max(len(x) - len(x.lstrip("-")), len(y) - len(y.lstrip("-")))
    stop = min(len(x.rstrip("-")), len(y.rstrip("-")))
    return x[start:stop], y[start:stop]


def counted(first: str, second: str) -> Distance:
    """Transitions and transversions of two aligned strings of one length."""
    a, b = (np.frombuffer(side.encode(), np.uint8) for side in (first, second))
    both = np.isin(a, _BASES) & np.isin(b, _BASES)
    differ = np.flatnonzero(both & (a != b))
    transitions = sum(first[i] + second[i] in _TRANSITIONS for i in differ)
    return Distance(int(both.sum()), transitions, len(differ) - transitions)


_BASES = np.frombuffer(b"ACGT", np.uint8)


def _shift(first: str, second: str) -> int | None:
    """Where ``first`` begins in ``second`` (negative: before it), by the diagonal with the most shared words."""
    here, there = _words(first), _words(second)
    order = np.argsort(there, kind="stable")
    ranked = there[order]
    left, right = np.searchsorted(ranked, here, "left"), np.searchsorted(ranked, here, "right")
    found = right - left
    found[here < 0] = 0
    if not found.any():
        return None
    rows = np.repeat(np.arange(len(here)), found)
    offset = np.arange(len(rows)) - np.repeat(np.cumsum(found) - found, found)
    shifts = order[np.repeat(left, found) + offset] - rows
    values, votes = np.unique(shifts, return_counts=True)
    return int(values[votes.argmax()])


@lru_cache(maxsize=4096)
def _words(barcode: str) -> Array:
    """(n,) int64 of every word of 8 bases as a number, -1 where it has another letter."""
    codes = np.searchsorted(_BASES, letters := np.frombuffer(barcode.encode(), np.uint8)).clip(max=3).astype(np.int64)
    if len(codes) < _ANCHOR:
        return np.full(0, -1, np.int64)
    count = len(codes) - _ANCHOR + 1
    out, good = np.zeros(count, np.int64), np.ones(count, bool)
    for i in range(_ANCHOR):
        out = out * 4 + codes[i : i + count]
        good &= _BASES[codes[i : i + count]] == letters[i : i + count]
    return np.where(good, out, -1)


def between(barcodes: Sequence[str], pairs: Iterable[tuple[int, int]], least: int = LEAST_OVERLAP) -> list[Distance]:
    """The distance of each pair of places in ``barcodes``."""
    return [distance(barcodes[i], barcodes[j], least) for i, j in pairs]


def matrix(barcodes: Sequence[str], measure: Measure, least: int = LEAST_OVERLAP) -> Array:
    """(n, n) float64 of all pairs, symmetric, 0 on the diagonal, NaN for pairs that cannot be compared."""
    out = np.zeros((len(barcodes), len(barcodes)))
    rows, columns = np.triu_indices(len(barcodes), 1)
    found = between(barcodes, zip(rows.tolist(), columns.tolist()), least)
    out[rows, columns] = out[columns, rows] = [each.by(measure) for each in found]
    return out
