"""HDBSCAN and Ward where pairs of all specimens do not fit: by the neighbour graph, and over the centres of a k-means.

Memory is constant per row: k neighbours, or the label of a centre. How near the answers are to those of the exact methods,
measured on 30,336 specimens: docs/benchmarks.md, "Clustering a million rows".
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.search.graph import neighbour_graph
from biocosmos.search.kmeans import kmeans

Array = npt.NDArray[Any]
CENTRES = 4096
"""Of the first step of two-level Ward; fewer where there are under four rows for each."""
FINER = 8
"""Centres for each cluster that is asked for, at least: with fewer the clusters would be k-means' own."""
ROUNDING = 1e-12
NEIGHBOURS = 30
"""Of each row in the graph whose tree stands for HDBSCAN's."""


def euclidean_graph(x: Array, k: int) -> tuple[Array, Array]:
    """((n, k) int32 nearest other rows by Euclidean distance, -1 where there are fewer, (n, k) float32 distances, inf there).

    x: (n, p) float32. By the cosine search: with u = (x, -1/2, 0) and v = (y, |y|^2, w), where w makes all v equally long, the
    cosine of u and v falls with |x - y| (Bachrach et al. 2014, https://doi.org/10.1145/2645710.2645741). Distances are computed
    anew.
    """
    z = (x - x.mean(axis=0, dtype=np.float64).astype(np.float32)).astype(np.float32)
    scale = max(float(np.sqrt((z.astype(np.float64) ** 2).sum(axis=1).max())), 1e-30)
    z /= scale  # lengths at most 1, so that squares and products are of one size
    squares = (z.astype(np.float64) ** 2).sum(axis=1)
    n = len(z)
    rows = np.zeros((n, z.shape[1] + 2), np.float32)
    rows[:, :-2], rows[:, -2] = z, squares
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
    rows[:, -1] = np.sqrt(np.maximum(lengths.max() ** 2 - lengths**2, 0))
    asked = np.zeros_like(rows)
    asked[:, :-2], asked[:, -2] = z, -0.5
    for side in (rows, asked):
        side /= np.linalg.norm(side, axis=1, keepdims=True)
    found = neighbour_graph(asked, min(k + 1, n), others=rows).rows
    own = found == np.arange(n)[:, None]
    own[~own.any(axis=1), -1] = True
    near = found[~own].reshape(n, -1)
    far = np.full((n, k), np.inf, np.float32)
    out = np.full((n, k), -1, np.int32)
    for start in range(0, n, 65_536):
        part = slice(start, min(start + 65_536, n))
        there = np.linalg.norm(z[near[part]] - z[part, None], axis=2) * scale
        order = np.lexsort((near[part], there), axis=1)
        out[part, : near.shape[1]] = np.take_along_axis(near[part], order, 1)
        far[part, : near.shape[1]] = np.take_along_axis(there, order, 1)
    return out, far


def large_hdbscan(
    x: Array, *, min_cluster_size: int, min_samples: int, largest: float = 1.0, neighbours: int = NEIGHBOURS
) -> Array:
    """(n,) int64 labels of HDBSCAN, -1 for noise, from the minimum spanning tree of the neighbour graph in place of all pairs.

    x: (n, p) float32. The edge of two neighbours weighs the greatest of their distance and their core distances (to the
    ``min_samples``-th nearest, itself the first), as in Campello, Moulavi & Sander 2013,
    https://doi.org/10.1007/978-3-642-37456-2_14; the tree is condensed by scikit-learn's own code. Parts of the graph that no
    edge joins are joined last, as if they were twice as far apart as the longest edge: clusters within them do not depend on it.
    """
    from sklearn.cluster._hdbscan._linkage import MST_edge_dtype, make_single_linkage
    from sklearn.cluster._hdbscan._tree import tree_to_labels

    n = len(x)
    near, far = euclidean_graph(x, max(neighbours, min_samples))
    core = far[:, max(min_samples - 2, 0)] if min_samples > 1 else np.zeros(n, np.float32)
    core = np.where(np.isfinite(core), core, far[np.isfinite(far)].max(initial=0))
    one = np.repeat(np.arange(n), near.shape[1])
    other, apart = near.ravel().astype(np.int64), far.ravel()
    there = other >= 0
    one, other, apart = one[there], other[there], apart[there]
    reach = np.maximum(apart, np.maximum(core[one], core[other])).astype(np.float64)
    tree = np.empty(n - 1, MST_edge_dtype)
    tree["current_node"], tree["next_node"], tree["distance"] = _spanning_tree(n, one, other, reach)
    tree = tree[np.argsort(tree["distance"], kind="stable")]
    most = 0 if largest >= 1 else max(int(largest * n), min_cluster_size)
    labels, _ = tree_to_labels(make_single_linkage(tree), min_cluster_size, "eom", False, 0.0, most or None)
    return np.asarray(labels, np.int64)


def _spanning_tree(n: int, one: Array, other: Array, length: Array) -> tuple[Array, Array, Array]:
    """n - 1 edges (from, to, length) that join all rows; parts between which there is no edge by twice the longest."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

    shift = float(length.max(initial=0)) * 1e-12 + 1e-300  # an edge of no length would be none
    matrix = coo_array((length + shift, (one, other)), shape=(n, n)).tocsr()
    matrix = matrix.maximum(matrix.T)  # both directions are the same edge: a pair that is listed twice is equally long in both
    found = minimum_spanning_tree(matrix).tocoo()
    parts, part = connected_components(matrix, directed=False)
    _, first = np.unique(part, return_index=True)
    beyond = 2 * float(length.max(initial=0)) + 1
    starts, stops = np.full(parts - 1, first[0]), first[1:]
    return (
        np.concatenate([found.row, starts]),
        np.concatenate([found.col, stops]),
        np.concatenate([found.data - shift, np.full(parts - 1, beyond)]),
    )


def two_level_ward(
    x: Array,
    *,
    clusters: int | None = None,
    threshold: float | None = None,
    centres: int | None = None,
    seed: int = 0,
) -> Array:
    """(n,) int64 labels of Ward's clusters of the centres of a k-means, each as heavy as its rows.

    x: (n, p) float32; clusters: how many, or threshold: the height below which clusters are joined, as scikit-learn and scipy
    measure it: sqrt(2 |a| |b| / (|a| + |b|)) times the distance of the means (Ward 1963). centres: of the k-means, default
    :data:`CENTRES`, or :data:`FINER` for each cluster.
    """
    k = min(centres or max(CENTRES, FINER * (clusters or 0)), max(len(x) // 4, 1), len(x))
    k = max(k, min(clusters or 1, len(x)))
    found = kmeans(x, k, metric="euclidean", init="k-means++", iterations=50, seed=seed)
    joins = weighted_ward(found.centroids, found.sizes)
    return cut(joins, k, clusters=clusters, threshold=threshold)[found.labels]


def weighted_ward(centres: Array, sizes: Array) -> tuple[Array, Array, Array]:
    """Ward's joins of weighed points: ((m - 1,) a point of the one side, (m - 1,) a point of the other, (m - 1,) height), lowest
    first. By chains of nearest neighbours (Murtagh 1983), with m means in memory and no distances."""
    m = len(centres)
    there = np.flatnonzero(np.asarray(sizes) > 0)
    joins = [(int(there[0]), int(empty), 0.0) for empty in np.flatnonzero(np.asarray(sizes) <= 0)]
    left = _Means(centres[there], sizes[there])
    chain: list[int] = []
    for _ in range(len(there) - 1):
        chain = left.compacted(chain)
        if not chain:
            chain = [left.first()]
        while True:
            last = chain[-1]
            squares = left.squares(last)
            best = int(squares.argmin())
            # a hair's breadth of rounding must not send the chain in circles
            if len(chain) > 1 and squares[chain[-2]] <= squares[best] * (1 + ROUNDING) + left.tiny:
                best = chain[-2]
                break
            chain.append(best)
        a, b = min(last, best), max(last, best)
        joins.append((int(there[left.row[a]]), int(there[left.row[b]]), float(np.sqrt(squares[best]))))
        left.join(a, b)
        del chain[-2:]
    one, other, height = (
        (np.array(column) for column in zip(*joins)) if m > 1 else (np.empty(0, int), np.empty(0, int), np.empty(0))
    )
    order = np.argsort(height, kind="stable")
    return one[order], other[order], height[order]


class _Means:
    """Weighed means that are joined; row: (n,) the point each began as. Those that are gone are taken out when many are."""

    def __init__(self, points: Array, sizes: Array) -> None:
        x = points.astype(np.float64)
        self.means = x - x.mean(axis=0) if len(x) else x
        self.weight = np.asarray(sizes).astype(np.float64)
        self.lengths = (self.means**2).sum(axis=1)
        self.row, self.gone = np.arange(len(x)), 0
        self.tiny = ROUNDING * float(self.lengths.max(initial=0.0))

    def first(self) -> int:
        return int(np.flatnonzero(np.isfinite(self.lengths))[0])

    def squares(self, i: int) -> Array:
        """(n,) 2 |a| |b| / (|a| + |b|) times the squared distance to mean i; inf for itself and for what is gone."""
        found = self.lengths + self.lengths[i]
        found -= 2 * (self.means @ self.means[i])
        np.maximum(found, 0, out=found)
        found *= 2 * self.weight * self.weight[i] / (self.weight + self.weight[i])
        found[i] = np.inf
        return np.asarray(found)

    def join(self, a: int, b: int) -> None:
        whole = self.weight[a] + self.weight[b]
        self.means[a] = (self.weight[a] * self.means[a] + self.weight[b] * self.means[b]) / whole
        self.weight[a], self.lengths[a] = whole, (self.means[a] ** 2).sum()
        self.means[b], self.lengths[b] = 0, np.inf
        self.gone += 1

    def compacted(self, chain: list[int]) -> list[int]:
        """The chain as it is called once a quarter that is gone has been taken out."""
        if 4 * self.gone < len(self.row):
            return chain
        stays = np.isfinite(self.lengths)
        now = np.cumsum(stays) - 1
        self.means, self.weight, self.lengths, self.row = (
            each[stays] for each in (self.means, self.weight, self.lengths, self.row)
        )
        self.gone = 0
        return [int(now[i]) for i in chain]


def cut(joins: tuple[Array, Array, Array], points: int, *, clusters: int | None = None, threshold: float | None = None) -> Array:
    """(points,) int64 labels after the lowest joins: until ``clusters`` are left, or all that are lower than ``threshold``."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    one, other, height = joins
    done = points - clusters if clusters is not None else int((height < (threshold or 0)).sum())
    edges = coo_array((np.ones(done), (one[:done], other[:done])), shape=(points, points))
    return np.asarray(connected_components(edges, directed=False)[1], np.int64)
