"""The space that is clustered: standardised, and reduced to fewer dimensions."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover.clusters.settings import DIMS, VARIANCE, ClusterSettings
from biocosmos.discover.extras import load
from biocosmos.errors import BiocosmosError

Array = npt.NDArray[Any]
MOST_KERNEL_PCA = 20_000
"""Rows above which kernel PCA, whose matrix has them squared (3.2 GB), is refused."""
LEAST_SPREAD = 1e-12
MANIFOLDS = ("umap", "pacmap", "tsne")


def space(vectors: Array, settings: ClusterSettings) -> Array:
    """``vectors`` (n, d) as (n, p) float32: standardised, reduced and standardised again.

    Raises BiocosmosError where the reducer is not installed, needs more rows or more memory than there is.
    """
    x = standardised(np.asarray(vectors, np.float32), settings.standardise)
    if settings.reducer == "none":
        return x
    if not (x != x[0]).any():  # nothing to reduce: every reducer would divide by no variance
        return np.zeros((len(x), 1), np.float32)
    x = _REDUCERS[settings.reducer](x, settings)
    return standardised(np.ascontiguousarray(x, np.float32), settings.again)


def standardised(x: Array, how: str) -> Array:
    """x (n, d) float32: "none" as it is; "l2" rows of length 1; "zscore" dimensions of mean 0 and deviation 1, constant ones 0;
    "mean-zscore" dimensions of mean 0, all divided by the mean of their deviations."""
    if how == "none":
        return x
    if how == "l2":
        return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), LEAST_SPREAD), np.float32)
    centred = x - x.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = centred.std(axis=0, dtype=np.float64)
    if how == "mean-zscore":
        return np.asarray(centred / max(float(spread.mean()), LEAST_SPREAD), np.float32)
    constant = spread <= LEAST_SPREAD
    return np.asarray(np.where(constant, 0, centred / np.where(constant, 1, spread)), np.float32)


def _pca(x: Array, s: ClusterSettings) -> Array:
    from sklearn.decomposition import PCA

    most = min(x.shape)
    if s.dims is not None:
        return np.asarray(PCA(min(s.dims, most), random_state=s.seed).fit_transform(x))
    share = s.variance or VARIANCE
    return np.asarray(PCA(share, svd_solver="covariance_eigh" if len(x) > x.shape[1] else "full").fit_transform(x))


def _kernel_pca(x: Array, s: ClusterSettings) -> Array:
    from sklearn.decomposition import KernelPCA

    if len(x) > MOST_KERNEL_PCA:
        gigabytes = len(x) ** 2 * 8 / 1e9
        raise BiocosmosError(
            f"kernel PCA of {len(x):,} rows needs {gigabytes:,.0f} GB at once (it may have {MOST_KERNEL_PCA:,} rows): "
            "use --reducer pca or umap"
        )
    return np.asarray(KernelPCA(min(s.dims or DIMS, len(x) - 1), kernel="rbf", random_state=s.seed).fit_transform(x))


def _umap(x: Array, s: ClusterSettings) -> Array:
    umap = load("umap", "UMAP")
    _enough(x, 4, "UMAP")
    neighbours = min(s.space_neighbours or 30, len(x) - 1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_jobs value")  # a seed allows one thread, and it says so each time
        model = umap.UMAP(
            n_components=min(s.dims or DIMS, len(x) - 2),
            n_neighbors=neighbours,
            min_dist=0.0,
            metric="euclidean",
            random_state=s.seed,
            # an eigenvector start needs more rows than dimensions, with room
            init="spectral" if len(x) > (s.dims or DIMS) + 10 else "random",
        )
        return np.asarray(model.fit_transform(x))


def _pacmap(x: Array, s: ClusterSettings) -> Array:
    pacmap = load("pacmap", "PaCMAP")
    _enough(x, 12, "PaCMAP")
    neighbours = s.space_neighbours or round(10 + max(0.0, 15 * (math.log10(len(x)) - 4)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = pacmap.PaCMAP(
            n_components=min(s.dims or DIMS, x.shape[1]), n_neighbors=min(neighbours, len(x) - 2), random_state=s.seed
        )
        return np.asarray(model.fit_transform(x))


def _tsne(x: Array, s: ClusterSettings) -> Array:
    from sklearn.manifold import TSNE

    dims = s.dims or 2
    perplexity = min(s.space_neighbours or 30, max((len(x) - 1) / 3, 1))
    model = TSNE(dims, perplexity=perplexity, random_state=s.seed, method="barnes_hut" if dims <= 3 else "exact")
    _enough(x, 4, "t-SNE")
    return np.asarray(model.fit_transform(x))


def _enough(x: Array, least: int, what: str) -> None:
    if len(x) < least:
        raise BiocosmosError(f"{len(x)} rows are too few for {what}: give it at least {least}, or use --reducer none or pca")


_REDUCERS = {"pca": _pca, "kernel-pca": _kernel_pca, "umap": _umap, "pacmap": _pacmap, "tsne": _tsne}

__all__ = ["space", "standardised"]
