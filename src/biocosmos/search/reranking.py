"""The nearest barcodes by k-mers, put in order by alignment.

k-mers find the neighbourhood fast, and judge distant relatives badly: a substitution costs as many k-mers as overlap it, and a
barcode that is longer or shorter than the query is less like it. So of the nearest distinct barcodes each is laid over the query
(:mod:`biocosmos.search.sparse.laying`), and the order is that of

    score = matches - 2 (mismatches + gaps)

the scoring of megablast (Zhang et al. 2000). A short overlap cannot win by being perfect, as it would by identity: it has few
matches to show. Ties stand by the cosine of the k-mers, then in row order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.barcodes.alignment import Alignments, Letters
from biocosmos.errors import BiocosmosError
from biocosmos.search.hits import Hits
from biocosmos.search.sparse.index import SparseIndex
from biocosmos.search.sparse.laying import PENALTY, lay

CANDIDATES = 50
"""Nearest distinct barcodes that are aligned."""


@dataclass(frozen=True, eq=False)
class Reranked:
    """Hits in the order of their alignments.

    hits: scores are still the cosines of k-mers; identity: (q, k) float64, share of the aligned columns that match, NaN where
    there is no hit; alignment_length, mismatches, gaps: (q, k) int32 columns; alignment_score: (q, k) int32, the order.
    """

    hits: Hits
    identity: npt.NDArray[np.float64]
    alignment_length: npt.NDArray[np.int32]
    mismatches: npt.NDArray[np.int32]
    gaps: npt.NDArray[np.int32]
    alignment_score: npt.NDArray[np.int32]

    def first(self, k: int) -> Reranked:
        """The ``k`` best of each query."""
        return self._taken(np.tile(np.arange(min(k, self.hits.rows.shape[1])), (len(self.hits), 1)), self.hits.rows)

    def unfolded(self, k: int, exclude: Sequence[str | None] | None = None) -> Reranked:
        """The ``k`` best rows, where each hit stands for all rows of its k-mers, in row order; exclude: one id for each query."""
        gallery = self.hits.gallery
        index = gallery.index()
        if not isinstance(index, SparseIndex):
            raise BiocosmosError("hits among vectors are not folded")
        place, rows = np.full((len(self.hits), k), -1, np.int64), np.full((len(self.hits), k), -1, np.int64)
        for query, found in enumerate(self.hits.rows):
            filled = 0
            for at, row in enumerate(found.tolist()):
                if row < 0 or filled == k:
                    break
                like = index.like(row)
                if exclude is not None:
                    like = like[gallery.ids[like] != exclude[query]]
                like = like[: k - filled]
                rows[query, filled : filled + len(like)], place[query, filled : filled + len(like)] = like, at
                filled += len(like)
        return self._taken(place, rows, whole=True)

    def _taken(self, place: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], *, whole: bool = False) -> Reranked:
        """Columns ``place`` (q, k) of everything, -1 for none; rows: already in their places where ``whole`` is so."""
        missing = {"identity": np.nan, "alignment_score": np.iinfo(np.int32).min}

        def taken(values: Any, empty: Any) -> Any:
            return np.where(place < 0, np.asarray(empty, values.dtype), np.take_along_axis(values, np.maximum(place, 0), 1))

        hits = replace(self.hits, rows=rows if whole else taken(rows, -1), scores=taken(self.hits.scores, np.float32(-np.inf)))
        parts = {each.name: taken(getattr(self, each.name), missing.get(each.name, 0)) for each in fields(self)[1:]}
        return Reranked(hits, **parts)

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """What :meth:`Hits.table` lacks, one number for each of its rows: identity (percent), alignment_length and gaps."""
        there = self.hits.rows >= 0
        return {
            "identity": (100 * self.identity[there]).astype(np.float32),
            "alignment_length": self.alignment_length[there],
            "gaps": self.gaps[there],
        }


def rerank(queries: Sequence[str], barcodes: Sequence[str | None] | Letters, hits: Hits, *, k: int | None = None) -> Reranked:
    """The ``k`` best of some hits (all of them) by alignment.

    queries: a barcode for each query; barcodes: of all rows of the gallery, None for those that have none, or their
    :class:`Letters`, made once; hits: of any search, which should be of distinct barcodes (``fold``).
    Raises BiocosmosError where the numbers of barcodes are not those of queries and rows.
    """
    if len(queries) != len(hits) or len(barcodes) != len(hits.gallery):
        raise BiocosmosError(
            f"{len(queries)} barcodes for {len(hits)} queries and {len(barcodes)} for {len(hits.gallery)} rows: pass one for each"
        )
    theirs = barcodes if isinstance(barcodes, Letters) else Letters([barcode or "" for barcode in barcodes])
    query, place = np.nonzero(hits.rows >= 0)
    found = lay(Letters(queries), theirs, np.stack([query, hits.rows[query, place]], axis=1))
    return _ordered(hits, query, place, found, hits.rows.shape[1] if k is None else k)


def alignment_scores(found: Alignments) -> npt.NDArray[np.int32]:
    """(pairs,) what hits are put in order by."""
    return (found.matches - PENALTY * (found.mismatches + found.gaps)).astype(np.int32)


def _ordered(hits: Hits, query: Any, place: Any, found: Alignments, k: int) -> Reranked:
    def spread(values: Any, missing: Any) -> Any:
        out = np.full(hits.rows.shape, missing, values.dtype)
        out[query, place] = values
        return out

    score = spread(alignment_scores(found), np.iinfo(np.int32).min)
    order = np.lexsort([hits.rows, -hits.scores, -score.astype(np.int64)], axis=1)[:, :k]
    rows, scores = np.take_along_axis(hits.rows, order, 1), np.take_along_axis(hits.scores, order, 1)
    identity, length, mismatches, gaps = (
        np.take_along_axis(spread(values, missing), order, 1)
        for values, missing in ((found.identity, np.nan), (found.length, 0), (found.mismatches, 0), (found.gaps, 0))
    )
    score = np.take_along_axis(score, order, 1)
    return Reranked(replace(hits, rows=rows, scores=scores), identity, length, mismatches, gaps, score)
