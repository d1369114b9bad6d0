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
    a, b = a[:size], b[:size]
    unlike = int((np.frombuffer(a.encode(), np.uint8) != np.frombuffer(b.encode(), np.uint8)).sum())
    if not unlike or edlib.align(a, b, mode="NW", k=unlike - 1)["editDistance"] < 0:
        return a, b  # no alignment with gaps has fewer differences
    nice = edlib.getNiceAlignment(edlib.align(a, b, mode="NW", task="path"), a, b)
    x, y = nice["query_aligned"], nice["target_aligned"]
    start = max(len(x) - len(x.lstrip("-")), len(y) - len(y.lstrip("-")))
    stop = min(len(x.rstrip("-")), len(y.rstrip("-")))
    return x[start:stop], y[start:stop]


def counted(first: str, second: str) -> Distance:
    """Transitions and transversions of two aligned strings of one length."""
    a, b = (_CODES[np.frombuffer(side.encode(), np.uint8)] for side in (first, second))
    kinds = np.bincount(_KINDS[a, b], minlength=4)
    return Distance(int(kinds[:3].sum()), int(kinds[1]), int(kinds[2]))


_CODES = np.full(256, 4, np.uint8)
_CODES[np.frombuffer(b"ACGT", np.uint8)] = range(4)
_KINDS = np.full((5, 5), 3, np.uint8)
"""Of two letters: 0 the same, 1 a transition, 2 a transversion, 3 not compared."""
_KINDS[:4, :4] = 2
_KINDS[range(4), range(4)] = 0
_KINDS[[0, 2, 1, 3], [2, 0, 3, 1]] = 1


def _shift(first: str, second: str) -> int | None:
    """Where ``first`` begins in ``second`` (negative: before it), by the diagonal with the most shared words."""
    (here, rows), (there, order) = _words(first), _words(second)
    left, right = np.searchsorted(there, here, "left"), np.searchsorted(there, here, "right")
    found = right - left
    total = int(found.sum())
    if not total:
        return None
    offset = np.arange(total) - np.repeat(np.cumsum(found) - found, found)
    shifts = order[np.repeat(left, found) + offset] - np.repeat(rows, found)
    return int(np.bincount(shifts + len(first)).argmax()) - len(first)


@lru_cache(maxsize=20_000)
def _words(barcode: str) -> tuple[Array, Array]:
    """(the words of 8 bases without another letter as numbers, ascending; where each begins)."""
    codes = _CODES[np.frombuffer(barcode.encode(), np.uint8)]
    count = max(len(codes) - _ANCHOR + 1, 0)
    out, good = np.zeros(count, np.int32), np.ones(count, bool)
    for i in range(_ANCHOR):
        here = codes[i : i + count]
        out = out * 4 + here
        good &= here < 4
    places = np.flatnonzero(good).astype(np.int32)
    order = np.argsort(out[places], kind="stable")
    return out[places][order], places[order]


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
