"""Exact nearest barcodes by the cosine of their counts of k-mers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.errors import BiocosmosError
from biocosmos.search.exact import Found

QUERIES_AT_ONCE = 64


class SparseIndex:
    """The rows of ``counts``, ready to be searched. Rows without k-mers are never found."""

    def __init__(self, counts: KmerCounts) -> None:
        self.counts = counts
        self._matrix = _csr(counts).T.tocsr()

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def provenance(self) -> dict[str, Any]:
        """How the answers were found, which they do not depend on."""
        return {"kmers": self.counts.k, "scan": "every product"}

    def search(
        self,
        queries: KmerCounts,
        k: int = 10,
        *,
        start: int = 0,
        stop: int | None = None,
        mask: npt.NDArray[np.bool_] | None = None,
    ) -> Found:
        """The ``k`` nearest rows among ``start <= row < stop`` whose ``mask`` (n,) is True; equal scores in row order.

        Raises BiocosmosError for k-mers of another length, and for queries without any.
        """
        if k < 1:
            raise BiocosmosError(f"k must be at least 1, not {k}")
        if queries.k != self.counts.k:
            raise BiocosmosError(
                f"queries are counts of {queries.k}-mers and the gallery of {self.counts.k}-mers: use one encoder"
            )
        if len(bad := np.flatnonzero(queries.empty)):
            raise BiocosmosError(
                f"{len(bad)} of {len(queries)} queries have no k-mer of A, C, G, T (row {bad[0]}): leave them out"
            )
        stop = len(self) if stop is None else min(stop, len(self))
        allowed = ~self.counts.empty
        allowed[:start], allowed[stop:] = False, False
        if mask is not None:
            allowed &= mask
        rows = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        candidates = np.flatnonzero(allowed)
        for first in range(0, len(queries), QUERIES_AT_ONCE):
            part = queries.take(slice(first, first + QUERIES_AT_ONCE))
            products = (_csr(part) @ self._matrix).toarray()[:, candidates]
            cosines = (products / self.counts.norms[candidates] / part.norms[:, None]).astype(np.float32)
            order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
            at = slice(first, first + len(part))
            rows[at, : order.shape[1]] = candidates[order]
            scores[at, : order.shape[1]] = np.take_along_axis(cosines, order, 1)
        return Found(rows, scores, np.ones(len(queries), np.bool_))


def _csr(counts: KmerCounts) -> Any:
    codes, times, starts = counts.unique()
    return csr_array((times.astype(np.float64), codes.astype(np.int32), starts), shape=(len(counts), counts.dim))
