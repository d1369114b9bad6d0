"""The nearest barcodes of a table of barcodes to some of its rows, by the cosine of k-mer counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.search.sparse.index import SparseIndex

Array = npt.NDArray[Any]
K = 6
NEIGHBOURS = 50
"""Asked for, so that some are of another species; where none is, those of other species alone are searched."""


class NearBarcodes:
    """``NearBarcodes(barcodes)(rows, mask)``: (q, k) int64 rows nearest to ``rows``, best first, -1 for none.

    mask: (n,) bool, rows that may be found; None for all. A barcode without a k-mer finds nothing and is not found.
    """

    def __init__(self, barcodes: Sequence[str | None], k: int = K, neighbours: int = NEIGHBOURS) -> None:
        self.index, self.neighbours = SparseIndex(KmerCounts.of(barcodes, k)), neighbours

    def __call__(self, rows: Array, mask: Array | None = None) -> Array:
        counts = self.index.counts
        out = np.full((len(rows), self.neighbours), -1, np.int64)
        says = np.flatnonzero(~counts.empty[rows])
        if len(says):
            out[says] = self.index.search(counts.take(np.asarray(rows)[says]), self.neighbours, mask=mask).rows
        return out
