"""k-means against Lloyd's algorithm written out naively."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from biocosmos.errors import BiocosmosError
from biocosmos.search.kmeans import kmeans
from kernels_here import KERNELS

Array = np.ndarray[Any, Any]
PRECISIONS = ["float32", "int8"]


def blobs(n: int = 600, dim: int = 24, centres: int = 12, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    middle = 3 * rng.normal(size=(centres, dim))
    return (middle[rng.integers(0, centres, n)] + rng.normal(size=(n, dim))).astype(np.float32)


def unit(x: Array) -> Array:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def lloyd(x: Array, centroids: Array, iterations: int, cosine: bool) -> tuple[Array, Array, float]:
    """Centroids, labels and inertia, with whole distance matrices in float64."""
    x, centroids = x.astype(np.float64), centroids.astype(np.float64)
    if cosine:
        x, centroids = unit(x), unit(centroids)
    for _ in range(iterations):
        labels = ((x[:, None] - centroids) ** 2).sum(2).argmin(1)
        centroids = np.stack([x[labels == j].mean(0) if (labels == j).any() else centroids[j] for j in range(len(centroids))])
        if cosine:
            centroids = unit(centroids)
    distance = ((x[:, None] - centroids) ** 2).sum(2)
    return centroids, distance.argmin(1), float(distance.min(1).sum())


def needs_kernel(precision: str) -> None:
    if precision == "int8" and not KERNELS:
        pytest.skip("no AVX2 or no llvmlite here")


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_float32_follows_lloyd(metric: Any) -> None:
    x = blobs(centres=4, seed=1)
    start = x[:12]
    centroids, labels, inertia = lloyd(x, start, 8, metric == "cosine")
    found = kmeans(x, 12, metric=metric, init=start, iterations=8, precision="float32")
    assert found.reseeded == 0
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_allclose(found.centroids, centroids, atol=1e-5)
    assert found.inertia == pytest.approx(inertia, rel=1e-5)
    np.testing.assert_array_equal(found.sizes, np.bincount(labels, minlength=12))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_int8_loses_next_to_nothing(metric: Any, offset: float) -> None:
    needs_kernel("int8")
    x = blobs(3000, dim=61, centres=1) + np.float32(offset)  # one cloud: many starts lead to like ends
    start = x[:80]
    inertia = kmeans(x, 80, metric=metric, init=start, iterations=10, precision="float32").inertia
    found = kmeans(x, 80, metric=metric, init=start, iterations=10, precision="int8")
    assert found.inertia == pytest.approx(inertia, rel=0.01)
    exact = lloyd(x, found.centroids, 0, metric == "cosine")
    np.testing.assert_array_equal(found.labels, exact[1])
    assert found.inertia == pytest.approx(exact[2], rel=1e-4)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("init", ["sample", "k-means++"])
def test_the_same_seed_gives_the_same_clusters(precision: Any, init: str) -> None:
    needs_kernel(precision)
    x = blobs(1000, seed=3)
    first, again, other = (kmeans(x, 20, init=init, seed=seed, precision=precision, iterations=6) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.centroids, again.centroids)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert not np.array_equal(first.centroids, other.centroids)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_empty_clusters_get_the_worst_fitting_rows(precision: Any) -> None:
    needs_kernel(precision)
    x = blobs(400, centres=6, seed=4)
    start = np.repeat(x[:1], 10, 0)  # all centroids alike: nearly all rows go to one
    found = kmeans(x, 10, metric="euclidean", init=start, iterations=15, precision=precision)
    assert found.reseeded >= 5
    assert (found.sizes > 0).all()
    distance = ((x - x[0]) ** 2).sum(1)
    once = kmeans(x, 2, metric="euclidean", init=x[[0, 0]], iterations=1, precision="float32")
    np.testing.assert_allclose(once.centroids[1], x[distance.argmax()], rtol=1e-6)


def test_plus_plus_finds_separate_blobs() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([100 * np.eye(8)[i] + rng.normal(size=(50 if i else 5000, 8)) for i in range(8)])
    found = kmeans(x, 8, metric="euclidean", init="k-means++", iterations=10)
    assert sorted(found.sizes.tolist()) == [50] * 7 + [5000]


def test_it_stops_when_nothing_changes() -> None:
    x = blobs(300, centres=3, seed=5)
    found = kmeans(x, 3, metric="euclidean", init="k-means++", iterations=200)
    assert found.converged and found.iterations < 200


def test_edges() -> None:
    x = blobs(30)
    one = kmeans(x, 1, metric="euclidean")
    np.testing.assert_allclose(one.centroids[0], x.mean(0), atol=1e-5)
    each = kmeans(x, 30, metric="euclidean")
    assert each.inertia == pytest.approx(0, abs=1e-2) and (each.sizes == 1).all()
    same = kmeans(np.ones((50, 4)), 5, init="k-means++")
    assert same.inertia == pytest.approx(0, abs=1e-4)
    assert kmeans(torch.from_numpy(x).half(), 3).labels.shape == (30,)


def test_bad_input_is_refused() -> None:
    x = blobs(30)
    with pytest.raises(BiocosmosError, match="31 clusters of 30 rows"):
        kmeans(x, 31)
    with pytest.raises(BiocosmosError, match="metric"):
        kmeans(x, 3, metric="manhattan")  # type: ignore[arg-type]
    with pytest.raises(BiocosmosError, match="start"):
        kmeans(x, 3, init="best")
    with pytest.raises(BiocosmosError, match="initial centroids"):
        kmeans(x, 3, init=x[:2])
    x[7] = 0
    with pytest.raises(BiocosmosError, match="row 7"):
        kmeans(x, 3)
    x[7, 0] = np.inf
    with pytest.raises(BiocosmosError, match="finite"):
        kmeans(x, 3, metric="euclidean")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_follows_lloyd_and_repeats() -> None:
    x = blobs(centres=4, seed=1)
    found, again = (kmeans(x, 12, metric="euclidean", init=x[:12], iterations=8, device="cuda") for _ in range(2))
    np.testing.assert_array_equal(found.labels, lloyd(x, x[:12], 8, False)[1])
    np.testing.assert_array_equal(found.centroids, again.centroids)
