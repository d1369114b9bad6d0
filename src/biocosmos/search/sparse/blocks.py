"""Distinct barcodes as bitmaps: block by block, one for every k-mer that any row of the block has."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.search.kernel.compiler import CACHE_LINE, split
from biocosmos.search.sparse.kernel import BLOCK, BLOCK_BYTES, MOST_CODES, MOST_LEVELS, SPACE_BYTES, Kernel

LENGTHS_APART = 0.9
"""Rows are put with rows of about their length: a short one would lower the threshold for all of a block."""
QUERIES_AT_ONCE = 512
LEAST_QUERIES = 8  # of a thread
NOTHING = np.iinfo(np.int64).max

Array = np.ndarray[Any, np.dtype[Any]]


class Blocks:
    """The rows of ``counts`` that ``rows`` names (distinct ones, none without codes), as bitmaps.

    rows: (m,) int64, what stands where; others: those that are too long or too repetitive for bitmaps.
    """

    def __init__(self, counts: KmerCounts, rows: npt.NDArray[np.int64], kernel: Kernel) -> None:
        self.kernel = kernel
        squares, largest = np.zeros(len(counts), np.int32), np.zeros(len(counts), np.int32)
        kernel.shape(*_pointers(counts.codes, counts.starts, squares, largest), 0, len(counts))
        odd = (largest[rows] > MOST_LEVELS) | (np.diff(counts.starts)[rows] > MOST_CODES)
        self.others, rows = rows[odd], rows[~odd]
        lengths = np.sqrt(squares[rows].astype(np.float64))
        like = np.floor(np.log(np.maximum(lengths, 1)) / np.log(1 / LENGTHS_APART))
        self.rows = rows[np.argsort(-like, kind="stable")]
        frequency = np.bincount(counts.codes, minlength=counts.dim)
        self.rank = np.empty(counts.dim, np.uint16)
        self.rank[np.argsort(frequency, kind="stable")] = np.arange(counts.dim, dtype=np.uint16)
        self._fill(counts)
        m, padded = len(self.rows), self.count * BLOCK
        self.squares = np.ones(padded, np.int32)
        self.squares[:m] = squares[self.rows]
        width = kernel.width
        by_register = np.sqrt(self.squares.astype(np.float64)).reshape(-1, width)
        inside = (np.arange(padded) < m).reshape(-1, width)
        self.least = np.where(inside, by_register, np.inf).min(1, initial=np.inf)
        self.most = np.where(inside, by_register, 0).max(1, initial=0)
        self.least[np.isinf(self.least)], self.most[self.most == 0] = 1, 1

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        parts = (self.bits, self.tables, self.bases, self.squares, self.least, self.most, self.rows, self.rank)
        return sum(part.nbytes for part in parts)

    def _fill(self, counts: KmerCounts) -> None:
        """First how many bitmaps each block needs, then the bits."""
        m, dim = len(self.rows), counts.dim
        self.count = -(-m // BLOCK)
        self.tables = np.zeros((self.count, dim + 1), np.int32)
        levels = np.empty(dim, np.int32)
        for block in range(self.count):
            levels[:] = 0
            ends = (block * BLOCK, min((block + 1) * BLOCK, m))
            self.kernel.levels(*_pointers(counts.codes, counts.starts, self.rows, self.rank, levels), *ends)
            self.tables[block, 0] = 1  # bitmap 0 of a block is empty
            np.cumsum(levels, out=self.tables[block, 1:])
            self.tables[block, 1:] += 1
        self.bases = np.concatenate([[0], np.cumsum(self.tables[:, -1].astype(np.int64))]) * BLOCK_BYTES
        space = np.zeros(int(self.bases[-1]) + CACHE_LINE, np.uint8)
        at = -space.ctypes.data % CACHE_LINE
        self.bits = space[at : at + int(self.bases[-1])]

        def fill(_: int, first: int, last: int) -> None:
            for block in range(first, last):
                ends = (block * BLOCK, min((block + 1) * BLOCK, m))
                bits = self.bits[self.bases[block] :]
                arrays = (counts.codes, counts.starts, self.rows, self.rank, self.tables[block], bits)
                self.kernel.fill(*_pointers(*arrays), *ends)

        split(fill, self.count, least=16)

    def nearest(
        self, queries: KmerCounts, k: int, keys: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """((q, k) float32 cosines, (q, k) int64 keys, (q,) whether the query has to be asked another way).

        keys: (m,) int64, order of equal scores of :attr:`rows`, -1 for rows that may not be found; -inf and -1 where there are
        fewer than k.
        """
        scores = np.full((len(queries), k), -np.inf, np.float32)
        found = np.full((len(queries), k), NOTHING, np.int64)
        flags = (np.diff(queries.starts) > MOST_CODES).astype(np.uint8)
        squares = np.zeros(len(queries), np.int32)
        kernel, largest = self.kernel, np.zeros(len(queries), np.int32)
        kernel.shape(*_pointers(queries.codes, queries.starts, squares, largest), 0, len(queries))
        padded = np.full(self.count * BLOCK, -1, np.int64)
        padded[: len(self.rows)] = keys
        allowed = np.packbits(padded >= 0, bitorder="little")
        codes = self._rarest_first(queries)
        doubles = squares.astype(np.float64)
        arrays: list[Array] = [self.bits, self.bases, self.tables, self.squares, self.least, self.most, allowed, padded]
        arrays += [codes, queries.starts, doubles, scores, found, flags]
        dim = self.tables.shape[1] - 1

        def ask(_: int, first: int, last: int) -> None:
            space = np.empty(SPACE_BYTES + CACHE_LINE, np.uint8)
            at = space.ctypes.data + (-space.ctypes.data % CACHE_LINE)
            for begin in range(first, last, QUERIES_AT_ONCE):
                end = min(begin + QUERIES_AT_ONCE, last)
                kernel.find(*_pointers(*arrays), at, 0, self.count, begin, end, k, dim)

        split(ask, len(queries), least=LEAST_QUERIES)
        found[found == NOTHING] = -1
        return scores, found, flags.astype(np.bool_)

    def _rarest_first(self, queries: KmerCounts) -> npt.NDArray[np.uint16]:
        """Every query's codes as ranks, ascending; of queries that are too long, whatever."""
        out = self.rank[queries.codes]
        lengths = np.diff(queries.starts)
        wide = np.arange(MOST_CODES)
        for i in range(0, len(queries), QUERIES_AT_ONCE):
            part = lengths[i : i + QUERIES_AT_ONCE]
            if not (fits := part <= MOST_CODES).all():
                part = np.where(fits, part, 0)
            inside = wide[: part.max(initial=0)] < part[:, None]
            at = (queries.starts[i : i + len(part), None] + wide[: inside.shape[1]])[inside]
            table = np.full(inside.shape, np.iinfo(np.uint16).max, np.uint16)
            table[inside] = out[at]
            table.sort(axis=1)
            out[at] = table[inside]
        return out


def _pointers(*arrays: Array) -> list[int]:
    return [array.ctypes.data for array in arrays]
