"""How far apart two barcodes are: the share of sites that differ over their overlap, and Kimura's distance of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from biocosmos.barcodes.alignment import Letters
from biocosmos.search.sparse.laying import lay

Array = npt.NDArray[Any]
Measure = Literal["p", "k2p"]
MEASURES: tuple[Measure, ...] = ("p", "k2p")
LEAST_OVERLAP = 300
"""Compared sites under which two barcodes are not compared: BOLD asks as many of a sequence that joins a BIN (its handbook)."""
SAME, TRANSITION, TRANSVERSION, NEITHER = range(4)
_KINDS = np.full((5, 5), NEITHER, np.uint8)
"""Of two letters A, C, G, T and any other."""
_KINDS[:4, :4] = TRANSVERSION
_KINDS[range(4), range(4)] = SAME
_KINDS[[0, 2, 1, 3], [2, 0, 3, 1]] = TRANSITION


@dataclass(frozen=True, eq=False)
class Distances:
    """Of n pairs of aligned barcodes, int64 (n,) each; sites with a gap or N on either side are not compared.

    sites: compared, 0 where they are too few; transitions: A-G and C-T; transversions: the other differences.
    """

    sites: Array
    transitions: Array
    transversions: Array

    @property
    def p(self) -> Array:
        """(n,) float64 share of the compared sites that differ; NaN without any."""
        return _shares(self.transitions + self.transversions, self.sites)

    @property
    def k2p(self) -> Array:
        """(n,) float64, Kimura's two-parameter distance: -ln((1 - 2P - Q) sqrt(1 - 2Q)) / 2, P the share of transitions and Q
        that of transversions (Kimura 1980, https://doi.org/10.1007/BF01731581); NaN without a site and where it is saturated."""
        p, q = _shares(self.transitions, self.sites), _shares(self.transversions, self.sites)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = -0.5 * (np.log(1 - 2 * p - q) + 0.5 * np.log(1 - 2 * q)) + 0.0
        return np.where(np.isfinite(found), found, np.nan)

    def by(self, measure: Measure) -> Array:
        """The one or the other."""
        return self.p if measure == "p" else self.k2p


def _shares(counts: Array, sites: Array) -> Array:
    return np.where(sites > 0, counts / np.maximum(sites, 1), np.nan)


def between(barcodes: Sequence[str] | Letters, pairs: Iterable[tuple[int, int]] | Array, least: int = LEAST_OVERLAP) -> Distances:
    """The distance of each pair (n, 2) of places in ``barcodes``, over their overlap; none where it has under ``least`` sites.

    Pairs are laid over each other by :mod:`biocosmos.search.sparse.laying`; those of a place should stand together.
    """
    letters = barcodes if isinstance(barcodes, Letters) else Letters(barcodes)
    places = np.asarray(list(pairs) if not isinstance(pairs, np.ndarray) else pairs, np.int64).reshape(-1, 2)
    found = lay(letters, letters, places)
    sites = (found.matches + found.mismatches).astype(np.int64)
    sites[sites < least] = 0
    transitions = np.zeros(len(places), np.int64)
    for i in np.flatnonzero((sites > 0) & (found.mismatches > 0)):
        one = found[int(i)]
        first = _part(letters, int(places[i, 0]), one.query_span)
        second = _part(letters, int(places[i, 1]), one.target_span)
        if one.gaps:
            first, second = _gapped(first, second)
        transitions[i] = np.count_nonzero(_KINDS[first, second] == TRANSITION)
    transversions = np.where(sites > 0, found.mismatches - transitions, 0)
    return Distances(sites, transitions, np.maximum(transversions, 0))


def _part(letters: Letters, row: int, span: tuple[int, int]) -> Array:
    start = letters.starts[row]
    return letters.letters[start + span[0] : start + span[1]]


def _gapped(first: Array, second: Array) -> tuple[Array, Array]:
    """The two aligned from end to end by edlib, 4 for a gap."""
    import edlib

    a, b = (_NAMES[side].tobytes().decode("ascii") for side in (first, second))
    nice = edlib.getNiceAlignment(edlib.align(a, b, mode="NW", task="path"), a, b)
    return tuple(_NUMBERS[np.frombuffer(nice[f"{side}_aligned"].encode(), np.uint8)] for side in ("query", "target"))  # type: ignore[return-value]


_NAMES = np.frombuffer(b"ACGTN", np.uint8)
_NUMBERS = np.full(256, 4, np.uint8)
_NUMBERS[_NAMES[:4]] = range(4)


def matrix(barcodes: Sequence[str], measure: Measure, least: int = LEAST_OVERLAP) -> Array:
    """(n, n) float64 of all pairs, symmetric, 0 on the diagonal, NaN for pairs that cannot be compared."""
    out = np.zeros((len(barcodes), len(barcodes)))
    rows, columns = np.triu_indices(len(barcodes), 1)
    out[rows, columns] = out[columns, rows] = between(barcodes, np.stack([rows, columns], axis=1), least).by(measure)
    return out
