"""What stands for a cluster: its medoid, and its members from the centre to the border."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_BLOCK = 1 << 16


def typicality(vectors: Array, labels: Array) -> Array:
    """(n,) float32 cosine of each row to the mean of its cluster, NaN for noise.

    vectors: (n, d) float32 unit rows; labels: (n,) int, below 0 for noise. As every row of a cluster has the same mean to be
    compared with, the order is that of the mean cosine to all members: x . sum(y) / (n |sum(y) / n|).
    """
    means = cluster_means(vectors, labels)
    out = np.full(len(labels), np.nan, np.float32)
    rows = np.flatnonzero(labels >= 0)
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        out[part] = np.einsum("nd,nd->n", vectors[part], means[labels[part]])
    return out


def cluster_means(vectors: Array, labels: Array) -> Array:
    """(c, d) float32 unit means of clusters 0..c-1; zero where there is no direction, or no member."""
    count = int(labels.max(initial=-1)) + 1
    sums = np.zeros((count, vectors.shape[1]))
    rows = np.flatnonzero(labels >= 0)
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        part = part[np.argsort(labels[part], kind="stable")]
        own, first = np.unique(labels[part], return_index=True)
        sums[own] += np.add.reduceat(vectors[part].astype(np.float64), first, axis=0)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.asarray(np.divide(sums, lengths, out=np.zeros_like(sums), where=lengths > 1e-9), np.float32)


def medoids(vectors: Array, labels: Array) -> Array:
    """(c,) int64: of each cluster 0..c-1 the row with the greatest mean cosine to its members, the lowest of equals; -1 where a
    cluster has none. vectors: (n, d) float32 unit rows; labels: (n,) int, below 0 for noise."""
    found = np.full(int(labels.max(initial=-1)) + 1, -1, np.int64)
    order = _by_cluster(typicality(vectors, labels), labels)
    own, first = np.unique(labels[order], return_index=True)
    found[own] = order[first]
    return found


def ordered_members(vectors: Array, labels: Array, cluster: int) -> Array:
    """(m,) int64 rows of ``cluster``, the most typical first and the border last; equal ones by row."""
    rows = np.flatnonzero(labels == cluster)
    typical = typicality(vectors[rows], np.zeros(len(rows), np.int64))
    return rows[np.lexsort((rows, -typical))]


def _by_cluster(typical: Array, labels: Array) -> Array:
    """Rows in a cluster, cluster by cluster, the most typical first."""
    rows = np.flatnonzero(labels >= 0)
    return rows[np.lexsort((rows, -typical[rows], labels[rows]))]
