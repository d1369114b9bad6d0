"""The nearest barcodes by k-mers, put in order by alignment.

k-mers find the neighbourhood fast, and judge distant relatives badly: a substitution costs as many k-mers as overlap it, and a
barcode that is longer or shorter than the query is less like it. So of the nearest distinct barcodes each is laid over the query
(:mod:`biocosmos.barcodes.alignment`), and the order is that of

    score = matches - 2 (mismatches + gaps)

the scoring of megablast (Zhang et al. 2000). A short overlap cannot win by being perfect, as it would by identity: it has few
matches to show. Ties stand by the cosine of the k-mers, then in row order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.barcodes.alignment import Alignments, Letters, align_many
from biocosmos.errors import BiocosmosError
from biocosmos.search.hits import Hits

CANDIDATES = 50
"""Nearest distinct barcodes that are aligned."""
PENALTY = 2
"""Matches that a mismatch or a gap costs."""


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
    found = align_many(queries, theirs, np.stack([query, hits.rows[query, place]], axis=1))
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
