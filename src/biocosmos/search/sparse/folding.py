"""Barcodes with the same k-mers, which are found once: the row that stands for them, and all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.barcodes.kmers import KmerCounts

HASHED_AT_ONCE = 1 << 14
_SEED = 20260703


@dataclass(frozen=True)
class Folding:
    """Which rows of n are alike.

    rows: (d,) int64, the first row of each distinct one, ascending; of: (n,) int64, the distinct one that a row is, -1 for rows
    without codes; members: all rows that have one, by distinct one and then by row; starts: (d + 1,) where theirs begin.
    """

    rows: npt.NDArray[np.int64]
    of: npt.NDArray[np.int64]
    members: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]

    @classmethod
    def by(cls, counts: KmerCounts) -> Folding:
        """Fold the rows whose counts are equal: found by a hash of 128 bits, then compared code by code."""
        some = np.flatnonzero(~counts.empty)
        hashes = _hashes(counts)[some]
        _, first, of = np.unique(hashes, axis=0, return_index=True, return_inverse=True) if len(some) else (0, some, some)
        kept = some[first]
        different = _different(counts, some, kept[of.reshape(-1)])
        if len(different):  # two of the same hash
            of = of.reshape(-1).copy()
            of[np.searchsorted(some, different)] = len(kept) + np.arange(len(different))
            kept = np.concatenate([kept, different])
        order = np.argsort(kept)
        place = np.empty(len(kept), np.int64)
        place[order] = np.arange(len(kept))
        number = np.full(len(counts), -1, np.int64)
        number[some] = place[of.reshape(-1)] if len(some) else of
        members = some[np.argsort(number[some], kind="stable")]
        starts = np.searchsorted(number[members], np.arange(len(kept) + 1))
        return cls(kept[order], number, members, starts.astype(np.int64))

    def __len__(self) -> int:
        return len(self.rows)

    def first_allowed(self, allowed: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.int64]:
        """(d,) the first row of each distinct one that is ``allowed`` (n,); -1 where none is."""
        if allowed is None:
            return self.rows
        first = np.full(len(self), -1, np.int64)
        rows = np.flatnonzero(allowed & (self.of >= 0))[::-1]
        first[self.of[rows]] = rows  # the last to be written is the first row
        return first


def _hashes(counts: KmerCounts) -> npt.NDArray[np.uint64]:
    """(n, 2) uint64: the sums, modulo 2**64, of a random number for every code of a row."""
    numbers: npt.NDArray[np.uint64] = np.random.default_rng(_SEED).integers(0, 1 << 64, (2, counts.dim), np.uint64)
    out = np.zeros((len(counts), 2), np.uint64)
    for i in range(0, len(counts), HASHED_AT_ONCE):
        part = counts.take(slice(i, min(i + HASHED_AT_ONCE, len(counts))))
        some = np.flatnonzero(~part.empty)
        for j in range(2) if len(some) else ():
            out[i + some, j] = np.add.reduceat(numbers[j][part.codes], part.starts[some])
    return out


def _different(counts: KmerCounts, rows: Any, others: Any) -> npt.NDArray[np.int64]:
    """Those ``rows`` whose codes are not those of the row beside them in ``others``."""
    lengths = np.diff(counts.starts)
    apart = lengths[rows] != lengths[others]
    same = np.flatnonzero((rows != others) & ~apart)
    for i in range(0, len(same), HASHED_AT_ONCE):
        part = same[i : i + HASHED_AT_ONCE]
        a, b = counts.take(rows[part]), counts.take(others[part])
        unlike = a.codes != b.codes
        apart[part] = np.add.reduceat(unlike.astype(np.int64), a.starts[:-1]) > 0 if len(unlike) else False
    found: npt.NDArray[np.int64] = rows[apart]
    return found
