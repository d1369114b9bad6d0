"""The nearest barcodes of a table of barcodes to some of its rows, by the cosine of k-mer counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.barcodes.kmers import KmerCounts

Array = npt.NDArray[Any]
K = 6
NEIGHBOURS = 50
"""Asked for, so that some are of another species; where none is, those of other species alone are searched."""
_BLOCK = 512


class NearBarcodes:
    """``NearBarcodes(barcodes)(rows, mask)``: (q, k) int64 rows nearest to ``rows``, best first, -1 for none, never the row itself.

    mask: (n,) bool, rows that may be found; None for all.
    """

    def __init__(self, barcodes: Sequence[str | None], k: int = K, neighbours: int = NEIGHBOURS) -> None:
        self.counts, self.neighbours = KmerCounts.of(barcodes, k), neighbours

    def __call__(self, rows: Array, mask: Array | None = None) -> Array:
        allowed = ~self.counts.empty if mask is None else mask & ~self.counts.empty
        places = np.flatnonzero(allowed)
        out = np.full((len(rows), self.neighbours), -1, np.int64)
        known = _matrix(self.counts.take(places))
        for start in range(0, len(rows), _BLOCK):
            mine = np.asarray(rows[start : start + _BLOCK], np.int64)
            scores = (_matrix(self.counts.take(mine)) @ known.T).toarray()
            scores[mine[:, None] == places[None, :]] = -1
            k = min(self.neighbours, len(places))
            found = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            good = np.take_along_axis(scores, found, axis=1) > 0
            out[start : start + len(mine), :k] = np.where(good, places[found], -1)
        return out


def _matrix(counts: KmerCounts) -> Any:
    from scipy.sparse import csr_matrix

    codes, times, starts = counts.unique()
    norms = np.repeat(np.maximum(counts.norms, 1e-30), np.diff(starts))
    return csr_matrix(((times / norms).astype(np.float32), codes.astype(np.int32), starts), (len(counts), counts.dim))
