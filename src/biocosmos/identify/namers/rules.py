"""Neighbour rules: a class is as near as its best member, as its members on average, or as its centroid.

For a query q and the members x of class c, all unit vectors:

    nearest               max_x  q.x
    nearest-euclidean    -min_x |q - x|
    class-mean            mean_x q.x        (= q . mean(x): a class of one has the longest mean and is favoured)
    class-mean-euclidean -mean_x |q - x|
    centroid              q . m / |m|,  m = mean(x)

The first four are the protocols of the BioCosmos reports of November 2024 (best individual and class mean, by cosine and by
Euclidean distance), on vectors normalised once; "nearest" and "nearest-euclidean" then rank classes alike. The centroid
mends the favour that "class-mean" does to singletons.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from biocosmos.identify.blocks import BLOCK_ELEMENTS, FloatArray, NodeArray, RowArray

RULES = ("nearest", "class-mean", "nearest-euclidean", "class-mean-euclidean", "centroid")

# Gallery rows of a block: 8192 x 1024 queries stay at half the chunk budget.
_BLOCK_ROWS = 8192


class NeighbourRule:
    """One rule over the rows of a gallery.

    Parameters
    ----------
    rule: one of :data:`RULES`.
    vectors: (n, d) float32 unit rows, rows of one taxon contiguous (a Gallery keeps them so); not copied.
    taxa: (n,) int32 taxonomy nodes, ascending.
    """

    def __init__(self, rule: str, vectors: FloatArray, taxa: NodeArray) -> None:
        self.rule, self.vectors = rule, vectors
        self.candidates, self.starts = np.unique(np.asarray(taxa, np.int32), return_index=True)
        self.counts = np.diff(np.append(self.starts, len(taxa)))
        self._sums = np.empty((0, 0))
        if rule in ("class-mean", "centroid"):
            self._sums = _class_sums(vectors, self.starts)

    def scores(self, queries: FloatArray, excluded: tuple[RowArray, RowArray] | None = None) -> FloatArray:
        """Scores of ``queries`` (q, d) float32 unit vectors: (q, C) float32, higher is nearer.

        ``excluded``: (gallery rows, query rows), pairs that must not see each other (leave one out); a class whose every
        member is excluded scores -inf for that query.
        """
        pairs = excluded or (np.empty(0, np.int64), np.empty(0, np.int64))
        if self.rule == "nearest":
            return self._best(queries, pairs)
        if self.rule == "nearest-euclidean":
            best = self._best(queries, pairs)
            return np.where(np.isneginf(best), best, -np.sqrt(np.maximum(2 - 2 * best, 0))).astype(np.float32)
        if self.rule == "class-mean-euclidean":
            return self._mean_distance(queries, pairs)
        return self._mean(queries, pairs)

    def _blocks(
        self, queries: FloatArray, pairs: tuple[RowArray, RowArray]
    ) -> Iterator[tuple[FloatArray, slice, RowArray, tuple[RowArray, RowArray]]]:
        """Yield cosines (rows, q) of a block of rows, the slice of classes it touches, their first rows in it, and its pairs.

        Rows come first so that the reduction over a class runs along the fast axis of queries.
        """
        size = max(1, min(_BLOCK_ROWS, BLOCK_ELEMENTS // max(1, len(queries))))
        for a in range(0, len(self.vectors), size):
            b = min(a + size, len(self.vectors))
            classes = slice(int(np.searchsorted(self.starts, a, "right")) - 1, int(np.searchsorted(self.starts, b, "left")))
            here = (pairs[0] >= a) & (pairs[0] < b)
            yield (
                self.vectors[a:b] @ queries.T,
                classes,
                np.maximum(self.starts[classes], a) - a,
                (pairs[0][here] - a, pairs[1][here]),
            )

    def _best(self, queries: FloatArray, pairs: tuple[RowArray, RowArray]) -> FloatArray:
        best = np.full((len(self.candidates), len(queries)), -np.inf, np.float32)
        for cosines, classes, firsts, inside in self._blocks(queries, pairs):
            cosines[inside] = -np.inf
            np.maximum(best[classes], np.maximum.reduceat(cosines, firsts, axis=0), out=best[classes])
        return np.ascontiguousarray(best.T)

    def _mean_distance(self, queries: FloatArray, pairs: tuple[RowArray, RowArray]) -> FloatArray:
        total = np.zeros((len(self.candidates), len(queries)))
        for cosines, classes, firsts, inside in self._blocks(queries, pairs):
            distances = np.sqrt(np.maximum(2 - 2 * cosines, 0, out=cosines), out=cosines)
            distances[inside] = 0
            total[classes] += np.add.reduceat(distances, firsts, axis=0)
        counts = np.repeat(self.counts[:, None], len(queries), axis=1)
        np.subtract.at(counts, (self._class_of(pairs[0]), pairs[1]), 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(counts > 0, -total / counts, -np.inf).T.astype(np.float32)

    def _mean(self, queries: FloatArray, pairs: tuple[RowArray, RowArray]) -> FloatArray:
        scores = (queries @ _scaled(self.rule, self._sums, self.counts).astype(np.float32).T).astype(np.float32)
        if len(pairs[0]):
            # The few (class, query) cells with an excluded member: take its vectors out of the class sum.
            cells, cell = np.unique(np.stack([self._class_of(pairs[0]), pairs[1]]), axis=1, return_inverse=True)
            rest, left = self._sums[cells[0]].copy(), self.counts[cells[0]].copy()
            np.subtract.at(rest, cell.ravel(), self.vectors[pairs[0]].astype(np.float64))
            np.subtract.at(left, cell.ravel(), 1)
            mended = np.einsum("nd,nd->n", _scaled(self.rule, rest, left), queries[cells[1]])
            scores[cells[1], cells[0]] = np.where(left > 0, mended, -np.inf)
        return scores

    def _class_of(self, rows: RowArray) -> RowArray:
        return (np.searchsorted(self.starts, rows, "right") - 1).astype(np.int64)


def _class_sums(vectors: FloatArray, starts: RowArray) -> NDArray[np.float64]:
    """(C, d) float64 sums over the contiguous rows of each class."""
    ends = np.append(starts[1:], len(vectors))
    return np.stack([vectors[a:b].sum(axis=0, dtype=np.float64) for a, b in zip(starts, ends)])


def _scaled(rule: str, sums: NDArray[np.float64], counts: RowArray) -> NDArray[np.float64]:
    """Class sums as means, or as unit centroids (zero where members cancel out)."""
    size = counts.astype(np.float64) if rule == "class-mean" else np.linalg.norm(sums, axis=1)
    return sums / np.where(size > 0, size, 1)[:, None]
