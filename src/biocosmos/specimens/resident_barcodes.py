"""Barcodes of a collection that stay searchable: their counts of k-mers and the index over them are what lies in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.search.exact import Found
from biocosmos.search.sparse.index import SparseIndex

ROWS_AT_ONCE = 1 << 16
"""Whose product with one query is worked out together."""
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ResidentBarcodes:
    """As :class:`biocosmos.specimens.resident.ResidentGallery`, of an encoder whose column holds k-mers.

    Attributes:
        ids: (n,) of the specimens, in depth-first taxonomy order. facts: what made the counts. stored: what tells them from
            changed ones. counts: of the n barcodes. index: the search over them.
    """

    encoder: str
    ids: pa.StringArray
    facts: dict[str, Any]
    stored: str
    counts: KmerCounts
    index: SparseIndex

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def numbers(self) -> int:
        """Bytes in memory, as far as they count beside other galleries."""
        return self.counts.nbytes

    def vectors(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> KmerCounts:
        """Counts of rows."""
        return self.counts.take(np.asarray(rows, np.int64))

    @staticmethod
    def together(queries: Sequence[Any]) -> KmerCounts:
        """Queries of one row each as one."""
        return KmerCounts.concatenate(list(queries))

    def search(
        self,
        queries: KmerCounts,
        k: int,
        *,
        mask: Mask | None = None,
        exclude: npt.NDArray[np.int64] | None = None,
        fold: bool = False,
    ) -> Found:
        """The ``k`` nearest rows of each query where ``mask`` (n,) is True, exactly; exclude: (q,) a row that is not returned, -1
        for none; fold: of rows with the same k-mers one alone. Rows are -1 where there are fewer."""
        barred = np.full(len(queries), -1, np.int64) if exclude is None else exclude
        found = self.index.search(queries, k + bool((barred >= 0).any()), mask=mask, fold=fold)
        if fold and (barred >= 0).any():
            found = self.index.instead(found, barred[:, None], mask=mask)
        rows, scores = np.full((len(queries), k), -1, np.int64), np.full((len(queries), k), -np.inf, np.float32)
        for i, own in enumerate(barred):
            kept = np.flatnonzero((found.rows[i] != own) & (found.rows[i] >= 0))[:k]
            rows[i, : len(kept)], scores[i, : len(kept)] = found.rows[i, kept], found.scores[i, kept]
        return Found(rows, scores, found.certified)

    def likeness(self, query: KmerCounts, exact: int) -> npt.NDArray[np.float32]:
        """(n,) float32 cosines of all rows with a query of one row, all of them exact."""
        asked = np.bincount(query.codes, minlength=query.dim).astype(np.float64)
        scores, starts = np.zeros(len(self), np.float32), self.counts.starts
        for first in range(0, len(self), ROWS_AT_ONCE):
            last = min(first + ROWS_AT_ONCE, len(self))
            running = np.concatenate([[0.0], np.cumsum(asked[self.counts.codes[starts[first] : starts[last]]])])
            products = np.diff(running[starts[first : last + 1] - starts[first]])
            lengths = np.sqrt(np.rint(self.counts.norms[first:last] ** 2) * np.rint(query.norms[0] ** 2))
            scores[first:last] = np.divide(products, lengths, out=np.zeros(last - first), where=lengths > 0)
        return scores

    def close(self) -> None:
        """Nothing to let go of."""
