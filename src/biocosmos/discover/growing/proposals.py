"""Clusters to begin with: what lies together among the specimens that have no name yet."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover.clusters import cluster
from biocosmos.discover.clusters.representatives import cluster_means
from biocosmos.search.kmeans import kmeans

Array = npt.NDArray[Any]
PARTS = ("kmeans", "hdbscan")


def propose(vectors: Array, rows: Array, size: int, *, method: str = "kmeans", seed: int = 0) -> list[Array]:
    """Clusters of ``rows`` (m,) of ``vectors`` (n, d) float32 unit, each its rows from the centre to the border.

    The densest come first: their pages are the purest, and no label is needed to know it. method: "kmeans" into m / size parts,
    "hdbscan" with size as its least (what it calls noise is in none). Fewer rows than ``size`` are one cluster; no row is none.
    """
    if not len(rows):
        return []
    x = np.ascontiguousarray(vectors[rows])
    if len(rows) <= size:
        labels = np.zeros(len(rows), np.int32)
    elif method == "kmeans":
        labels = kmeans(x, max(len(rows) // size, 1), iterations=20, seed=seed).labels
    else:
        labels = cluster(x, method="hdbscan", reducer="none", min_cluster_size=size, min_samples=1, largest=1.0, seed=seed).labels
    means = cluster_means(x, labels)
    kept = np.flatnonzero(labels >= 0)
    near = np.full(len(rows), -np.inf, np.float32)
    near[kept] = np.einsum("nd,nd->n", x[kept], means[labels[kept]])
    order = kept[np.lexsort((kept, -near[kept], labels[kept]))]
    found = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(order) else []
    density = [float(near[part].mean()) for part in found]
    return [rows[found[i]] for i in np.argsort([-each for each in density], kind="stable")]
