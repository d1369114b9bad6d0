"""Barcodes as counts of overlapping k-mers, in two bytes a base: what a search by cosine, a namer and a clustering stand on.

The counts of a barcode of 658 bases have at most 652 numbers other than zero among the 16,384 of k = 7. Its codes, in ascending
order and as often as they occur, are 1.3 kB; as a dense vector it would be 64 kB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError

K = (5, 6, 7, 8)
"""Lengths that are counted: under 5 species are confused, over 8 a code does not fit 16 bits."""
AT_ONCE = 512
"""Barcodes that are counted together: what is at hand then stays in the cache."""
_TABLE_SHARE = 4  # numbers of a table for one that is sorted, at the most
_OTHER = 4
_CODES = np.full(256, _OTHER, np.uint8)
for _letter, _code in (("A", 0), ("C", 1), ("G", 2), ("T", 3)):
    _CODES[ord(_letter)] = _CODES[ord(_letter.lower())] = _code

Barcodes: TypeAlias = Sequence[str | None] | Any


@dataclass(frozen=True, eq=False)
class KmerCounts:
    """n barcodes as overlapping k-mers: rows of counts in R^(4**k), compared by the cosine.

    k: length; codes: (total,) uint16, the k-mers of all rows as numbers to the base 4 (A 0, C 1, G 2, T 3, the first base
    the most significant), ascending within a row and repeated as often as they occur; starts: (n + 1,) int64, where each row
    begins. K-mers with a letter other than A, C, G, T are not counted; a barcode without any is a row without codes.
    """

    k: int
    codes: npt.NDArray[np.uint16]
    starts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))

    def __post_init__(self) -> None:
        check_k(self.k)
        if self.codes.dtype != np.uint16 or self.starts.dtype != np.int64 or self.starts[-1] != len(self.codes):
            raise ValueError("codes must be uint16 and starts int64 that end where the codes do")

    @classmethod
    def of(cls, barcodes: Barcodes, k: int) -> KmerCounts:
        """Count; None is a row without codes. Lower case counts as upper case. Raises BiocosmosError for another k."""
        check_k(k)
        array = barcodes if isinstance(barcodes, (pa.Array, pa.ChunkedArray)) else pa.array(barcodes, pa.large_string())
        parts = [_count(array.slice(i, AT_ONCE), k) for i in range(0, len(array), AT_ONCE)]
        return cls.concatenate(parts) if parts else cls(k, np.empty(0, np.uint16))

    @classmethod
    def concatenate(cls, parts: Sequence[KmerCounts]) -> KmerCounts:
        """Rows of one or more, in their order. Raises BiocosmosError where they count k-mers of different lengths."""
        lengths = {part.k for part in parts}
        if len(lengths) != 1:
            raise BiocosmosError(f"k-mers of different lengths cannot be put together: {sorted(lengths)}")
        counts = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.starts) for part in parts)])
        return cls(lengths.pop(), np.concatenate([part.codes for part in parts]), np.cumsum(counts))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def dim(self) -> int:
        """Numbers of a dense vector, 4**k."""
        return int(4**self.k)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.codes.nbytes + self.starts.nbytes

    @cached_property
    def norms(self) -> npt.NDArray[np.float64]:
        """(n,) float64 lengths of the rows of counts; 0 of a row without codes."""
        squares = np.empty(len(self), np.int64)
        for rows, part in self._parts():
            _, counts, starts = part.unique()
            ends = np.concatenate([[0], np.cumsum(counts.astype(np.int64) ** 2)])
            squares[rows] = ends[starts[1:]] - ends[starts[:-1]]
        return np.sqrt(squares)

    @property
    def empty(self) -> npt.NDArray[np.bool_]:
        """(n,) whether a row has no codes, and so no direction."""
        return np.asarray(np.diff(self.starts) == 0)

    def take(self, rows: Any) -> KmerCounts:
        """The rows of a slice, a mask (n,) of booleans, or numbers, in their order."""
        if isinstance(rows, slice):
            first, last, step = rows.indices(len(self))
            if step == 1:
                starts = self.starts[first : max(first, last) + 1]
                return KmerCounts(self.k, self.codes[starts[0] : starts[-1]], starts - starts[0])
        numbers = np.arange(len(self))[rows]
        lengths = np.diff(self.starts)[numbers]
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        at = np.arange(starts[-1]) + np.repeat(self.starts[numbers] - starts[:-1], lengths)
        return KmerCounts(self.k, self.codes[at], starts)

    def __getitem__(self, rows: Any) -> KmerCounts:
        """As :meth:`take`, so that rows of counts are picked as those of a matrix are."""
        return self.take(rows)

    def unique(self) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16], npt.NDArray[np.int64]]:
        """(codes, how often each occurs in its row, starts (n + 1,) int64): the same rows with every code once."""
        first = np.ones(len(self.codes), np.bool_)
        first[1:] = self.codes[1:] != self.codes[:-1]
        first[self.starts[:-1][np.diff(self.starts) > 0]] = True
        at = np.flatnonzero(first)
        counts = np.diff(np.append(at, len(self.codes)))
        return self.codes[at], counts.astype(np.uint16), np.searchsorted(at, self.starts).astype(np.int64)

    def dense(self, rows: Any = None) -> npt.NDArray[np.float32]:
        """(n, 4**k) float32 unit vectors, of some ``rows`` as of :meth:`take`; zeros for a row without codes."""
        part = self if rows is None else self.take(rows)
        codes, counts, starts = part.unique()
        row = np.repeat(np.arange(len(part)), np.diff(starts))
        out = np.zeros((len(part), self.dim), np.float32)
        out[row, codes] = counts / np.maximum(part.norms, 1e-30)[row]
        return out

    def to_arrow(self) -> pa.ListArray:
        """A list of uint16 a row; null for a row without codes."""
        offsets = pa.array(self.starts.astype(np.int32), mask=np.append(self.empty, False))
        return pa.ListArray.from_arrays(offsets, pa.array(self.codes))

    @classmethod
    def from_arrow(cls, column: pa.Array | pa.ChunkedArray, k: int) -> KmerCounts:
        """Read what :meth:`to_arrow` gave; null is a row without codes."""
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        lengths = [pc.list_value_length(chunk).fill_null(0).to_numpy(zero_copy_only=False) for chunk in chunks]
        codes = [chunk.flatten().to_numpy().astype(np.uint16, copy=False) for chunk in chunks]
        starts = np.cumsum(np.concatenate([np.zeros(1, np.int64), *lengths]), dtype=np.int64)
        return cls(k, np.concatenate([np.empty(0, np.uint16), *codes]), starts)

    def _parts(self) -> Iterator[tuple[slice, KmerCounts]]:
        for first in range(0, len(self), AT_ONCE):
            rows = slice(first, min(first + AT_ONCE, len(self)))
            yield rows, self.take(rows)


def check_k(k: int) -> None:
    """Raise BiocosmosError for a length that is not counted."""
    if k not in K:
        raise BiocosmosError(f"k-mers of {k} bases are not counted: choose one of {', '.join(map(str, K))}")


def _count(barcodes: pa.Array | pa.ChunkedArray, k: int) -> KmerCounts:
    """Of at most AT_ONCE barcodes: all codes as one roll of numbers, then every row sorted by itself."""
    if isinstance(barcodes, pa.ChunkedArray):
        barcodes = barcodes.combine_chunks()
    barcodes = barcodes.cast(pa.large_string()).fill_null("")
    buffer = barcodes.buffers()[2]
    ends = np.frombuffer(barcodes.buffers()[1], np.int64)[barcodes.offset : barcodes.offset + len(barcodes) + 1]
    first, last = (int(ends[0]), int(ends[-1])) if len(barcodes) else (0, 0)
    letters = np.empty(0, np.uint8) if buffer is None else _CODES[np.frombuffer(buffer, np.uint8)[first:last]]
    counted = len(letters) - k + 1
    if counted <= 0:
        return KmerCounts(k, np.empty(0, np.uint16), np.zeros(len(barcodes) + 1, np.int64))
    codes, good = np.zeros(counted, np.uint16), np.ones(counted, np.bool_)
    for i in range(k):
        codes <<= 2
        codes |= letters[i : i + counted]  # what another letter leaves behind is not counted
    others, ends = np.flatnonzero(letters == _OTHER), ends[1:] - first
    for i in range(k):
        within = others - i
        good[within[(within >= 0) & (within < counted)]] = False
        if i:  # not from one barcode into the next
            across = ends - i
            good[across[(across >= 0) & (across < counted)]] = False
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(good)[np.minimum(ends, counted) - 1]])
    starts[1:][ends == 0] = 0
    return KmerCounts(k, _sorted(codes[good], starts), starts)


def _sorted(codes: npt.NDArray[np.uint16], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.uint16]:
    """The codes, ascending within every row: as a table with the largest number behind a row's own, where rows are alike in
    length, else by row and code together."""
    lengths = np.diff(starts)
    width = int(lengths.max(initial=0))
    if width * len(lengths) > _TABLE_SHARE * len(codes) + width:
        keys = np.repeat(np.arange(len(lengths), dtype=np.uint64), lengths) << np.uint64(16) | codes
        return np.sort(keys).astype(np.uint16)
    table = np.full((len(lengths), width), np.iinfo(np.uint16).max, np.uint16)
    inside = np.arange(width) < lengths[:, None]
    table[inside] = codes
    table.sort(axis=1)
    return np.asarray(table[inside])
