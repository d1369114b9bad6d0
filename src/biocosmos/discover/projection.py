"""Vectors on a plane: what is alike lies together."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover.extras import has, load
from biocosmos.errors import BiocosmosError
from biocosmos.search.graph import Neighbours, neighbour_graph

Array = npt.NDArray[Any]
REDUCERS = ("umap", "pacmap", "tsne", "pca")
NEIGHBOURS, MIN_DIST = 15, 0.1
"""UMAP's own defaults for a picture (McInnes, Healy & Melville 2018, arXiv:1802.03426)."""
LEAST = 16
"""Rows below which there are too few neighbours for anything but principal axes."""


def default_reducer(rows: int) -> str:
    """ "umap" where it is installed and there are rows enough, else "pca"."""
    return "umap" if has("umap") and rows >= LEAST else "pca"


def project(vectors: Array, reducer: str, *, graph: Neighbours | None = None, seed: int = 0) -> Array:
    """(n, 2) float32 places of vectors (n, d), float32 unit rows, centred, the farther side to the right and up.

    reducer: one of :data:`REDUCERS`. UMAP and t-SNE take the cosine; UMAP by the exact neighbour graph, which is made where it
    is not given. The same seed gives the same picture. Raises BiocosmosError for too few rows, or a library that is missing.
    """
    if reducer not in REDUCERS:
        raise BiocosmosError(f"unknown reducer '{reducer}' of a map: choose {', '.join(REDUCERS)}")
    n = len(vectors)
    if not n:
        raise BiocosmosError("there is nothing to map: no specimen was selected that has a vector")
    if n == 1 or not (vectors != vectors[0]).any():
        return np.zeros((n, 2), np.float32)
    if reducer != "pca" and n < LEAST:
        raise BiocosmosError(f"{n} specimens are too few for {reducer}: map at least {LEAST}, or use --reducer pca")
    found = {"pca": _pca, "umap": _umap, "pacmap": _pacmap, "tsne": _tsne}[reducer](vectors, graph, seed)
    found = found - found.mean(axis=0)
    # which side is which is chance: the third moment decides, so that two runs look alike
    signs = np.where((found**3).sum(axis=0) < 0, -1, 1)
    return np.asarray(found * signs, np.float32)


def _pca(x: Array, graph: Neighbours | None, seed: int) -> Array:
    from sklearn.decomposition import PCA

    found = PCA(min(2, *x.shape), random_state=seed).fit_transform(x)
    return found if found.shape[1] == 2 else np.hstack([found, np.zeros((len(x), 1))])


def _umap(x: Array, graph: Neighbours | None, seed: int) -> Array:
    umap = load("umap", "UMAP")
    k = min(NEIGHBOURS, len(x) - 1)
    graph = graph or neighbour_graph(x, k)
    rows, scores = graph.rows[:, : k - 1].astype(np.int64), graph.scores[:, : k - 1]
    own = np.arange(len(x))[:, None]  # its list begins with the row itself, at distance 0
    near = np.hstack([own, rows]), np.hstack([np.zeros_like(own, np.float32), np.maximum(1 - scores, 0)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that a seed allows one thread, and that a graph cannot take new rows
        model = umap.UMAP(
            n_neighbors=k,
            min_dist=MIN_DIST,
            metric="cosine",
            random_state=seed,
            precomputed_knn=(*near, None),
            force_approximation_algorithm=True,
        )
        return np.asarray(model.fit_transform(x))


def _pacmap(x: Array, graph: Neighbours | None, seed: int) -> Array:
    pacmap = load("pacmap", "PaCMAP")
    neighbours = round(10 + max(0.0, 15 * (math.log10(len(x)) - 4)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(
            pacmap.PaCMAP(n_components=2, n_neighbors=min(neighbours, len(x) - 2), random_state=seed).fit_transform(x)
        )


def _tsne(x: Array, graph: Neighbours | None, seed: int) -> Array:
    from sklearn.manifold import TSNE

    return np.asarray(
        TSNE(2, metric="cosine", perplexity=min(30.0, (len(x) - 1) / 3), init="random", random_state=seed).fit_transform(x)
    )
