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

    def scores(self, queries: FloatArray) -> FloatArray:
        """Scores of ``queries`` (q, d) float32 unit vectors: (q, C) float32, higher is nearer."""
        if self.rule == "nearest":
            return self._best(queries)
        if self.rule == "nearest-euclidean":
            return -np.sqrt(np.maximum(2 - 2 * self._best(queries), 0))
        if self.rule == "class-mean-euclidean":
            return self._mean_distance(queries)
        return (queries @ _scaled(self.rule, self._sums, self.counts).astype(np.float32).T).astype(np.float32)

    def _blocks(self, queries: FloatArray) -> Iterator[tuple[FloatArray, slice, RowArray]]:
        """Yield cosines (rows, q) of a block of rows, the slice of classes it touches, and their first rows in it.

        Rows come first so that the reduction over a class runs along the fast axis of queries.
        """
        size = max(1, min(_BLOCK_ROWS, BLOCK_ELEMENTS // max(1, len(queries))))
        for a in range(0, len(self.vectors), size):
            b = min(a + size, len(self.vectors))
            classes = slice(int(np.searchsorted(self.starts, a, "right")) - 1, int(np.searchsorted(self.starts, b, "left")))
            yield self.vectors[a:b] @ queries.T, classes, np.maximum(self.starts[classes], a) - a

    def _best(self, queries: FloatArray) -> FloatArray:
        best = np.full((len(self.candidates), len(queries)), -np.inf, np.float32)
        for cosines, classes, firsts in self._blocks(queries):
            np.maximum(best[classes], np.maximum.reduceat(cosines, firsts, axis=0), out=best[classes])
        return np.ascontiguousarray(best.T)

    def _mean_distance(self, queries: FloatArray) -> FloatArray:
        total = np.zeros((len(self.candidates), len(queries)))
        for cosines, classes, firsts in self._blocks(queries):
            distances = np.sqrt(np.maximum(2 - 2 * cosines, 0, out=cosines), out=cosines)
            total[classes] += np.add.reduceat(distances, firsts, axis=0)
        return (-total / self.counts[:, None]).T.astype(np.float32)


def _class_sums(vectors: FloatArray, starts: RowArray) -> NDArray[np.float64]:
    """(C, d) float64 sums over the contiguous rows of each class."""
    ends = np.append(starts[1:], len(vectors))
    return np.stack([vectors[a:b].sum(axis=0, dtype=np.float64) for a, b in zip(starts, ends)])


def _scaled(rule: str, sums: NDArray[np.float64], counts: RowArray) -> NDArray[np.float64]:
    """Class sums as means, or as unit centroids (zero where members cancel out)."""
    size = counts.astype(np.float64) if rule == "class-mean" else np.linalg.norm(sums, axis=1)
    return sums / np.where(size > 0, size, 1)[:, None]
