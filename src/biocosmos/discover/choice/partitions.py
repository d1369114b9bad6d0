"""Many clusterings of the same vectors, with what they share made once: a space for all that are clustered in it, and a tree for
all numbers of clusters that it is cut into."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover.clusters.clustering import numbered
from biocosmos.discover.clusters.methods import labels_of
from biocosmos.discover.clusters.settings import SPACE, TREES, ClusterSettings
from biocosmos.discover.clusters.spaces import space
from biocosmos.settings import settings_of

Array = npt.NDArray[Any]
Space = tuple[Any, ...]


def space_of(settings: ClusterSettings) -> Space:
    """What of the settings makes the space that is clustered: two with the same share it."""
    made = [name for name, shape in settings_of(ClusterSettings).items() if shape.panel == SPACE]
    return tuple(getattr(settings, name) for name in (*made, "seed"))


def spaces(vectors: Array, settings: Iterable[ClusterSettings]) -> dict[Space, Array]:
    """The space (n, p) float32 of each of the settings, by :func:`space_of`. vectors: (n, d) float32."""
    found: dict[Space, Array] = {}
    for each in settings:
        if space_of(each) not in found:
            found[space_of(each)] = space(vectors, each)
    return found


def partitions(reduced: Array, settings: Sequence[ClusterSettings]) -> list[Array]:
    """(n,) int32 labels for each of the settings, which all cluster the one space ``reduced`` (n, p): as
    :func:`biocosmos.discover.clusters.cluster` numbers them, -1 for noise.

    Trees cut into a number of clusters are made once for all numbers; where heights are equal, a cut may part other rows than a
    tree made for one number.
    """
    trees: dict[str, Array] = {}
    found = []
    for each in settings:
        if each.method in TREES and each.clusters is not None and 1 < each.clusters < len(reduced):
            if each.method not in trees:
                trees[each.method] = _tree(reduced, each.method)
            found.append(numbered(_cut(trees[each.method], each.clusters)))
        else:
            found.append(numbered(labels_of(reduced, each, None)))
    return found


def _tree(reduced: Array, method: str) -> Array:
    """(n - 1, 2) int64 joins in the order of their height; from n on, the clusters made by earlier ones."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform
    from sklearn.metrics import euclidean_distances

    distances = euclidean_distances(reduced.astype(np.float64))
    np.fill_diagonal(distances, 0)
    return np.asarray(linkage(squareform(distances, checks=False), method)[:, :2], np.int64)


def _cut(joins: Array, clusters: int) -> Array:
    """(n,) int64 labels: the first n - ``clusters`` joins are made."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows = len(joins) + 1
    made = joins[: rows - clusters]
    own = np.arange(rows, rows + len(made))
    ends = np.concatenate([own, own]), np.concatenate([made[:, 0], made[:, 1]])
    size = rows + len(made)
    graph = coo_array((np.ones(2 * len(made), bool), ends), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1][:rows])
