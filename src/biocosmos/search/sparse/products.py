"""All products of counts, the plain way: by scipy, for machines without the compiled kernel and for barcodes it does not take."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.barcodes.kmers import KmerCounts

AT_ONCE = 1 << 24
"""Scores that are in memory together."""


class Products:
    """Rows of counts, kept as a sparse matrix. rows: (m,) int64, their numbers."""

    def __init__(self, counts: KmerCounts) -> None:
        matrix, self.squares = _matrix(counts)
        self._matrix = matrix.T.tocsr()

    def nearest(
        self, queries: KmerCounts, k: int, keys: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """((q, k) float32 cosines, (q, k) int64 keys) of the k best rows; keys: (m,) order of equal scores, -1 for rows that may
        not be found. -inf and -1 stand where there are fewer."""
        scores = np.full((len(queries), k), -np.inf, np.float32)
        found = np.full((len(queries), k), -1, np.int64)
        rows = np.flatnonzero(keys >= 0)
        rows = rows[np.argsort(keys[rows], kind="stable")]
        if not len(rows):
            return scores, found
        step = max(1, AT_ONCE // self._matrix.shape[1])
        for i in range(0, len(queries), step):
            part, squares = _matrix(queries.take(slice(i, min(i + step, len(queries)))))
            dots = (part @ self._matrix).toarray()[:, rows]
            cosines = (dots / np.sqrt(squares[:, None] * self.squares[rows])).astype(np.float32)
            order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
            at = slice(i, i + len(squares))
            scores[at, : order.shape[1]] = np.take_along_axis(cosines, order, 1)
            found[at, : order.shape[1]] = keys[rows][order]
        return scores, found


def _matrix(counts: KmerCounts) -> tuple[Any, npt.NDArray[np.float64]]:
    """(CSR of float64 counts, (n,) squared lengths): whole numbers, so that products and sums are exact."""
    from scipy.sparse import csr_array

    codes, times, starts = counts.unique()
    numbers = times.astype(np.float64)
    ends = np.concatenate([[0.0], np.cumsum(numbers**2)])
    matrix = csr_array((numbers, codes.astype(np.int32), starts), shape=(len(counts), counts.dim))
    return matrix, ends[starts[1:]] - ends[starts[:-1]]
