"""The clusterings: scikit-learn's, our k-means, and communities of the neighbour graph by igraph and leidenalg."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover.clusters.large import CENTRES, FINER, cut, large_hdbscan, two_level_ward, weighted_ward
from biocosmos.discover.clusters.settings import ClusterSettings
from biocosmos.discover.extras import load
from biocosmos.errors import BiocosmosError
from biocosmos.search.graph import Neighbours, neighbour_graph
from biocosmos.search.kmeans import kmeans

Array = npt.NDArray[Any]
MOST = {"average": 40_000, "affinity": 12_000, "optics": 60_000, "spectral": 60_000}
"""Rows above which the method as scikit-learn has it would need too much memory (pairs of rows: 6.4 and 3.5 GB) or hours."""
WHOLE = {"ward": 40_000, "hdbscan": 60_000}
"""Rows above which these two go over k-means' centres, or the neighbour graph: :mod:`biocosmos.discover.clusters.large`."""
ONE_BY_ONE = 100_000
"""Rows up to which Ward's tree is made of the rows themselves, without their distances, where k-means' centres are too few for
the clusters asked for: 47,260 rows of 50 numbers (BIOSCAN-5M's test and test_unseen) take minutes."""
_INSTEAD = {
    "average": "--method ward or hdbscan",
    "affinity": "--method hdbscan",
    "optics": "--method hdbscan",
    "spectral": "--method leiden",
}


def labels_of(x: Array, settings: ClusterSettings, graph: Neighbours | None) -> Array:
    """(n,) int64 labels of the rows of x (n, p) float32, below 0 for noise; graph: their neighbours, made if None."""
    s = settings
    if len(x) > MOST.get(s.method, len(x)):
        raise BiocosmosError(
            f"{s.method} of {len(x):,} specimens would need too much memory or time (it may have {MOST[s.method]:,}): "
            f"use {_INSTEAD[s.method]}, or choose fewer with --where or --split"
        )
    if s.clusters is not None and s.clusters > len(x):
        raise BiocosmosError(f"cannot make {s.clusters:,} clusters of {len(x):,} specimens: ask for at most as many as there are")
    if not (x != x[0]).any():
        return np.zeros(len(x), np.int64)  # one point, whatever the method
    return np.asarray(_METHODS[s.method](x, s, graph), np.int64)


def _kmeans(x: Array, s: ClusterSettings, graph: Neighbours | None) -> Array:
    assert s.clusters is not None
    return kmeans(x, s.clusters, metric="euclidean", init="k-means++", iterations=100, seed=s.seed).labels


def _tree(x: Array, s: ClusterSettings, graph: Neighbours | None) -> Array:
    if s.method == "ward" and len(x) > WHOLE["ward"]:
        if (s.clusters or 0) * FINER > CENTRES and len(x) <= ONE_BY_ONE:
            return cut(weighted_ward(x, np.ones(len(x))), len(x), clusters=s.clusters)
        return two_level_ward(x, clusters=s.clusters, threshold=s.threshold, seed=s.seed)
    from sklearn.cluster import AgglomerativeClustering

    if s.clusters is not None:
        model = AgglomerativeClustering(s.clusters, linkage=s.method)
    else:
        model = AgglomerativeClustering(None, linkage=s.method, distance_threshold=s.threshold)
    return np.asarray(model.fit_predict(x))


def _spectral(x: Array, s: ClusterSettings, graph: Neighbours | None) -> Array:
    from sklearn.cluster import SpectralClustering

    model = SpectralClustering(
        s.clusters,
        affinity="nearest_neighbors",
        n_neighbors=min(s.neighbours or 10, len(x)),
        assign_labels="cluster_qr",
        random_state=s.seed,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Graph is not fully connected")
        return np.asarray(model.fit_predict(x))


def _affinity(x: Array, s: ClusterSettings, graph: Neighbours | None) -> Array:
    from sklearn.cluster import AffinityPropagation
    from sklearn.exceptions import ConvergenceWarning

    model = AffinityPropagation(damping=s.damping, convergence_iter=15, random_state=s.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            return np.asarray(model.fit_predict(x))
        except ConvergenceWarning as warning:
            raise BiocosmosError(
                "affinity propagation came to no end in 200 rounds: raise --damping, or use hdbscan"
            ) from warning


def _hdbscan(x: Array, s: ClusterSettings, graph: Neighbours | None) -> Array:
    from sklearn.cluster import HDBSCAN

    least = min(s.min_cluster_size, len(x))
    if len(x) > WHOLE["hdbscan"]:
        samples = s.min_samples or s.min_cluster_size
        return large_hdbscan(x, min_cluster_size=least, min_samples=samples, largest=s.largest)
    if len(x) < 2:
        return np.full(len(x), -1)
    model = HDBSCAN(
        max(least, 2),
        min_samples=min(s.min_samples or s.min_cluster_size, len(x)),
        max_cluster_size=None if s.largest >= 1 else max(int(s.largest * len(x)), least),
        cluster_selection_method="eom",
        copy=True,
    )
    return np.asarray(model.fit_predict(x))


def _optics(x: Array, s: ClusterSettings, graph: Neighbours | None) -> Array:
    from sklearn.cluster import OPTICS

    if len(x) < 2:
        return np.full(len(x), -1)
    samples = min(s.min_samples or s.min_cluster_size, len(x))
    model = OPTICS(min_samples=max(samples, 2), min_cluster_size=min(s.min_cluster_size, len(x)), cluster_method="xi", xi=0.05)
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore")  # copies have a reachability of 0
        return np.asarray(model.fit_predict(x))


def _communities(x: Array, s: ClusterSettings, graph: Neighbours | None) -> Array:
    """Modularity of the neighbour graph whose edges weigh 1 / (1 + distance). The study's graph has every pair of specimens,
    which would need 224 GB for 24,600 of them; here each has its nearest ones."""
    igraph = load("igraph", s.method.capitalize())
    partitions = load("leidenalg", "Leiden") if s.method == "leiden" else None
    pairs, weights = edges(x, s.neighbours or 15, graph)
    network = igraph.Graph(n=len(x), edges=pairs, edge_attrs={"weight": weights})
    if partitions is None:
        import random

        igraph.set_random_number_generator(random.Random(s.seed))
        try:
            return np.asarray(network.community_multilevel(weights="weight", resolution=s.resolution).membership)
        finally:
            igraph.set_random_number_generator(random)
    found = partitions.find_partition(
        network,
        partitions.RBConfigurationVertexPartition,
        weights="weight",
        seed=s.seed,
        resolution_parameter=s.resolution,
    )
    return np.asarray(found.membership)


def edges(x: Array, k: int, graph: Neighbours | None = None) -> tuple[Array, Array]:
    """((m, 2) int64 pairs i < j, each once, and (m,) weights 1 / (1 + Euclidean distance)) of the ``k`` nearest of each row.

    graph: cosine neighbours of unit rows x; without one Euclidean neighbours of any rows are found.
    """
    k = min(k, len(x) - 1)
    if graph is not None:
        rows, distances = graph.rows[:, :k], np.sqrt(np.maximum(2 - 2 * graph.scores[:, :k], 0))
    elif np.allclose(np.linalg.norm(x, axis=1), 1, atol=1e-4):
        found = neighbour_graph(x, k)
        rows, distances = found.rows, np.sqrt(np.maximum(2 - 2 * found.scores, 0))
    else:
        from sklearn.neighbors import NearestNeighbors

        distances, rows = NearestNeighbors(n_neighbors=k).fit(x).kneighbors()
    one, other = np.repeat(np.arange(len(x)), rows.shape[1]), rows.ravel().astype(np.int64)
    pairs = np.sort(np.stack([one, other], axis=1), axis=1)
    there = other >= 0
    pairs, lengths = pairs[there], distances.ravel()[there]
    _, first = np.unique(pairs[:, 0] * len(x) + pairs[:, 1], return_index=True)
    return pairs[first], 1 / (1 + lengths[first].astype(np.float64))


_METHODS: dict[str, Callable[[Array, ClusterSettings, Neighbours | None], Array]] = {
    "kmeans": _kmeans,
    "ward": _tree,
    "average": _tree,
    "spectral": _spectral,
    "affinity": _affinity,
    "hdbscan": _hdbscan,
    "optics": _optics,
    "louvain": _communities,
    "leiden": _communities,
}
