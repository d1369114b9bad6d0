"""Does anything stand out? k-means of the vectors against k-means of the same cloud with its structure shuffled away.

In principal axes, the values of every axis are shuffled among the rows: spread and shape along each axis stay, what the axes say
together is lost. That is the reference (b) of Tibshirani, Walther and Hastie, Estimating the number of clusters in a data set via
the gap statistic, JRSS B 2001, but for shuffled values in place of uniform ones. Neighbour information is the statistic, and a
share of at most 1 in 20, the vectors among 19 references, the verdict: by chance that happens to shuffled vectors one time in 20.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover.choice.information import NEIGHBOURS, neighbour_information
from biocosmos.search.kmeans import kmeans

Array = npt.NDArray[Any]
REFERENCES = 19
LEVEL = 0.05
ROWS = 1000
"""Rows that are looked at, a seeded sample of more."""
ROWS_A_CLUSTER = 10


def share_of_references(axes: Array, clusters: int, *, seed: int = 0) -> float:
    """Share of the vectors and their shuffled references that are clustered at least as well as the vectors, 1/20 .. 1.

    axes: (n, p) float32 coordinates in principal axes; clusters: into how many k-means parts them, fewer where there are under 10
    rows for each.
    """
    rng = np.random.default_rng(seed)
    if len(axes) > ROWS:
        axes = axes[np.sort(rng.choice(len(axes), ROWS, replace=False))]
    count = max(2, min(clusters, len(axes) // ROWS_A_CLUSTER))
    real = _information(axes, count, seed)
    as_good = sum(_information(rng.permuted(axes, axis=0), count, seed) >= real for _ in range(REFERENCES))
    return (1 + as_good) / (1 + REFERENCES)


def _information(axes: Array, count: int, seed: int) -> float:
    from sklearn.neighbors import NearestNeighbors

    labels = kmeans(axes, count, metric="euclidean", init="k-means++", seed=seed).labels
    near = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(axes) - 1)).fit(axes).kneighbors(return_distance=False)
    return neighbour_information(labels, near, seed=seed)
