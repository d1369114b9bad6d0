"""Exact nearest barcodes by the cosine of their counts of k-mers.

The product of two rows of counts is a whole number, so the cosine

    score = product / sqrt(|query|^2 |row|^2)        in float64, rounded to float32

is the same whatever way it was found; equal scores stand in row order. Rows with the same k-mers are kept once (:mod:`.folding`),
as bitmaps (:mod:`.blocks`) that a compiled kernel adds (:mod:`.kernel`), or as a matrix of scipy's (:mod:`.products`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.errors import BiocosmosError
from biocosmos.search.bounded import Found
from biocosmos.search.sparse.blocks import Blocks
from biocosmos.search.sparse.folding import Folding
from biocosmos.search.sparse.kernel import Kernel, known, load
from biocosmos.search.sparse.products import Products

Scores = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]


class SparseIndex:
    """The rows of ``counts``, ready to be searched. Rows without k-mers are never found.

    kernel: "auto" for the compiled one where it works, None for scipy's products; the answers are the same.
    """

    def __init__(self, counts: KmerCounts, *, kernel: Kernel | str | None = "auto") -> None:
        self.counts = counts
        self.folding = Folding.by(counts)
        compiled = load(known()[0]) if isinstance(kernel, str) else kernel
        self._blocks: Blocks | None = None
        others = self.folding.rows
        if compiled is not None:
            self._blocks = Blocks(counts, self.folding.rows, compiled)
            others = self._blocks.others
        self._others = others
        self._products: Products | None = None

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def nbytes(self) -> int:
        """Bytes of the index in memory, without the counts."""
        folding = sum(part.nbytes for part in (self.folding.rows, self.folding.of, self.folding.members, self.folding.starts))
        return folding + (self._blocks.nbytes if self._blocks else 0)

    @property
    def provenance(self) -> dict[str, Any]:
        """How the answers were found, which they do not depend on."""
        scan = self._blocks.kernel.name if self._blocks else "every product"
        return {"kmers": self.counts.k, "scan": scan, "distinct": len(self.folding)}

    def search(
        self,
        queries: KmerCounts,
        k: int = 10,
        *,
        start: int = 0,
        stop: int | None = None,
        mask: npt.NDArray[np.bool_] | None = None,
        fold: bool = False,
    ) -> Found:
        """The ``k`` nearest rows among ``start <= row < stop`` whose ``mask`` (n,) is True; equal scores in row order.

        fold: of rows with the same k-mers only the first allowed one is found, so that duplicates do not use up the hits.
        Raises BiocosmosError for k-mers of another length, and for queries without any.
        """
        self._check(queries, k)
        allowed = self._allowed(start, stop, mask)
        first = self.folding.first_allowed(allowed)
        near = max(1, min(k, int((first >= 0).sum())))
        scores, rows = self._distinct(queries, near, first)
        if not fold and len(self.folding.members) > len(self.folding):
            scores, rows = self._unfolded(scores, rows, k, allowed)
        out = Found(np.full((len(rows), k), -1, np.int64), np.full((len(rows), k), -np.inf, np.float32), np.ones(len(rows), bool))
        out.rows[:, : rows.shape[1]], out.scores[:, : rows.shape[1]] = rows, scores
        return out

    def instead(
        self, found: Found, barred: Numbers, *, start: int = 0, stop: int | None = None, mask: npt.NDArray[np.bool_] | None = None
    ) -> Found:
        """Folded hits in which a row that is ``barred`` (q, e) to its query is changed for the next allowed one that is like it,
        where there is one."""
        allowed, folding = self._allowed(start, stop, mask), self.folding
        rows = found.rows.copy()
        for query, place in zip(*np.nonzero((rows[:, :, None] == barred[:, None, :]).any(2) & (rows >= 0))):
            number = folding.of[rows[query, place]]
            like = folding.members[folding.starts[number] : folding.starts[number + 1]]
            like = like[~np.isin(like, barred[query])]
            like = like if allowed is None else like[allowed[like]]
            if len(like):
                rows[query, place] = like[0]
        scores, rows = _best(found.scores, rows, rows.shape[1])
        return Found(rows, scores, found.certified)

    def like(self, row: int) -> Numbers:
        """All rows with the k-mers of a row, itself among them, in their order."""
        number = self.folding.of[row]
        return self.folding.members[self.folding.starts[number] : self.folding.starts[number + 1]]

    def _allowed(self, start: int, stop: int | None, mask: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_] | None:
        stop = len(self) if stop is None else min(stop, len(self))
        if mask is None and start <= 0 and stop == len(self):
            return None
        allowed = np.zeros(len(self), np.bool_)
        allowed[start:stop] = True if mask is None else np.asarray(mask, np.bool_)[start:stop]
        return allowed

    def _distinct(self, queries: KmerCounts, k: int, first: Numbers) -> tuple[Scores, Numbers]:
        """(scores, rows) of the k best distinct rows, each under its first allowed row."""
        scores, rows = np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1, np.int64)
        again = np.ones(len(queries), np.bool_)
        of = self.folding.of
        if self._blocks is not None and len(self._blocks.rows):
            scores, rows, again = self._blocks.nearest(queries, k, first[of[self._blocks.rows]])
            if len(self._others) and not again.all():
                if self._products is None:
                    self._products = Products(self.counts.take(self._others))
                kept = np.flatnonzero(~again)
                more = self._products.nearest(queries.take(kept), k, first[of[self._others]])
                scores[kept], rows[kept] = _best(np.hstack([scores[kept], more[0]]), np.hstack([rows[kept], more[1]]), k)
        if again.any():
            asked = np.flatnonzero(again)
            scores[asked], rows[asked] = self._all_products().nearest(queries.take(asked), k, first)
        return scores, rows

    def _all_products(self) -> Products:
        """Of all distinct rows, as a matrix: made when it is needed, and kept only where nothing else is there."""
        if self._blocks is not None:
            return Products(self.counts.take(self.folding.rows))
        if self._products is None:
            self._products = Products(self.counts.take(self.folding.rows))
        return self._products

    def _unfolded(self, scores: Scores, rows: Numbers, k: int, allowed: npt.NDArray[np.bool_] | None) -> tuple[Scores, Numbers]:
        """The k best rows, given the k best distinct ones: every allowed row that is like one of them."""
        folding = self.folding
        query, place = np.nonzero(rows >= 0)
        number = folding.of[rows[query, place]]
        times = np.diff(folding.starts)[number]
        if allowed is None:
            times = np.minimum(times, k)  # members stand in row order
        within = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        member = folding.members[np.repeat(folding.starts[number], times) + within]
        of, score = np.repeat(query, times), np.repeat(scores[query, place], times)
        if allowed is not None:
            of, score, member = of[allowed[member]], score[allowed[member]], member[allowed[member]]
        order = np.lexsort([member, -score, of])
        of, score, member = of[order], score[order], member[order]
        position = np.arange(len(of)) - np.searchsorted(of, of)
        kept = position < k
        out = np.full((len(rows), k), -np.inf, np.float32), np.full((len(rows), k), -1, np.int64)
        out[0][of[kept], position[kept]], out[1][of[kept], position[kept]] = score[kept], member[kept]
        return out

    def _check(self, queries: KmerCounts, k: int) -> None:
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


def _best(scores: Scores, rows: Numbers, k: int) -> tuple[Scores, Numbers]:
    """The k best of each line: score descending, then row; -1 last."""
    order = np.lexsort([np.where(rows < 0, np.iinfo(np.int64).max, rows), -scores], axis=1)[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
