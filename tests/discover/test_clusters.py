"""Clusters of vectors: every method finds what stands apart, numbers it alike, and says what it cannot do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from biocosmos.discover import extras
from biocosmos.discover.clusters import ClusterSettings, cluster, numbered
from biocosmos.discover.clusters.methods import edges
from biocosmos.discover.clusters.representatives import medoids, ordered_members, typicality
from biocosmos.discover.clusters.spaces import standardised
from biocosmos.errors import BiocosmosError
from biocosmos.settings import SettingError, UnusedSetting


def mixture(sizes=(40, 30, 20), dim=16, noise=0.02):
    """Unit vectors about as many orthogonal directions, shuffled, and which is about which."""
    rng = np.random.default_rng(0)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    x = np.eye(dim)[truth] + noise * rng.normal(size=(len(truth), dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), truth


METHODS = [
    {"method": "kmeans", "clusters": 3},
    {"method": "ward", "clusters": 3},
    {"method": "ward", "threshold": 2.0},
    {"method": "average", "clusters": 3},
    {"method": "average", "threshold": 0.8},
    {"method": "spectral", "clusters": 3},
    {"method": "affinity"},
    {"method": "hdbscan", "largest": 1.0},
    {"method": "optics", "min_cluster_size": 15},
    {"method": "louvain", "neighbours": 18},
    {"method": "leiden", "neighbours": 18},
]


@pytest.mark.parametrize("options", METHODS, ids=lambda o: "-".join(map(str, o.values())))
@pytest.mark.parametrize("reducer", ["none", "pca"])
def test_every_method_finds_what_stands_apart(options, reducer):
    x, truth = mixture()
    found = cluster(x, reducer=reducer, **options)
    kept = found.labels >= 0
    assert kept.mean() > 0.8
    assert adjusted_rand_score(truth[kept], found.labels[kept]) > 0.95
    assert found.sizes.tolist() == sorted(found.sizes.tolist(), reverse=True)
    again = cluster(x, reducer=reducer, **options)
    assert np.array_equal(found.labels, again.labels)


@pytest.mark.parametrize("reducer", ["kernel-pca", "pacmap", "tsne"])
def test_every_reducer_keeps_apart_what_is_apart(reducer):
    x, truth = mixture()
    found = cluster(x, reducer=reducer, dims=2, method="kmeans", clusters=3, again="mean-zscore")
    assert found.reduced.shape == (90, 2)
    assert adjusted_rand_score(truth, found.labels) > 0.95


def test_umap_is_the_study_s():
    x, truth = mixture()
    found = cluster(x, reducer="umap", dims=5, space_neighbours=10, method="hdbscan", largest=1.0)
    assert found.reduced.shape == (90, 5)
    assert adjusted_rand_score(truth[found.labels >= 0], found.labels[found.labels >= 0]) > 0.95


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=40))
def test_clusters_are_numbered_by_size_then_by_their_first_row(labels):
    labels = np.array(labels)
    found = numbered(labels)
    groups = [np.flatnonzero(labels == label).tolist() for label in set(labels.tolist()) - {-1}]
    expected = sorted(groups, key=lambda rows: (-len(rows), rows[0]))
    assert [np.flatnonzero(found == i).tolist() for i in range(found.max(initial=-1) + 1)] == expected
    assert ((found < 0) == (labels < 0)).all()


@given(st.permutations(range(30)))
def test_the_order_of_rows_changes_no_partition(order):
    x, _ = mixture((12, 10, 8))
    for options in ({"method": "ward", "clusters": 3}, {"method": "hdbscan", "largest": 1.0}):
        straight, turned = (cluster(y, reducer="none", **options).labels for y in (x, x[list(order)]))
        assert adjusted_rand_score(straight[list(order)], turned) == 1


def test_medoids_and_borders_are_by_the_mean_cosine_to_all_members():
    x, truth = mixture((25, 10), noise=0.3)
    labels = numbered(truth)
    labels[3] = -1
    cosines = x @ x.T
    for j in range(2):
        rows = np.flatnonzero(labels == j)
        mean = cosines[np.ix_(rows, rows)].mean(axis=1)
        expected = rows[np.argsort(-mean, kind="stable")]
        assert ordered_members(x, labels, j).tolist() == expected.tolist()
        assert medoids(x, labels)[j] == expected[0]
    assert np.isnan(typicality(x, labels)[3])
    assert medoids(x, np.full(len(x), -1)).tolist() == []


def test_standardised_dimensions():
    x = np.array([[1, 5, 0], [3, 5, 4]], np.float32)
    assert standardised(x, "zscore").tolist() == [[-1, 0, -1], [1, 0, 1]]  # the constant one says nothing
    assert standardised(x, "mean-zscore").tolist() == [[-1, 0, -2], [1, 0, 2]]  # deviations 1, 0, 2: mean 1
    assert np.allclose(np.linalg.norm(standardised(x, "l2"), axis=1), 1)


def test_edges_are_each_once_and_weigh_by_distance():
    x = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
    pairs, weights = edges(x, 1)
    assert pairs.tolist() == [[0, 1], [1, 2]]  # cosines .8 and .6
    assert np.allclose(weights, [1 / (1 + np.sqrt(0.4)), 1 / (1 + np.sqrt(0.8))], atol=1e-6)


@pytest.mark.parametrize("options", METHODS, ids=lambda o: "-".join(map(str, o.values())))
def test_equal_rows_are_one_cluster_and_one_row_is_too(options):
    one = {**options} if "clusters" not in options else {**options, "clusters": 1}
    for rows in (1, 7):
        found = cluster(np.tile(np.float32([0.6, 0.8]), (rows, 1)), **one)
        assert found.labels.tolist() == [0] * rows


def test_constant_columns_change_nothing():
    x, _ = mixture()
    wide = np.hstack([x, np.full((len(x), 3), 0.5, np.float32)])
    for standardise in ("none", "zscore"):
        options = {"standardise": standardise, "reducer": "pca", "dims": 4, "method": "ward", "clusters": 3}
        assert np.array_equal(cluster(wide, **options).labels, cluster(x, **options).labels)


def test_what_cannot_be_clustered_is_said():
    x, _ = mixture()
    with pytest.raises(BiocosmosError, match="cannot make 91 clusters of 90 specimens"):
        cluster(x, method="kmeans", clusters=91)
    with pytest.raises(SettingError, match="--method ward does not find how many clusters"):
        cluster(x, method="ward")
    with pytest.raises(UnusedSetting, match="--clusters does nothing here: it is used with --method kmeans"):
        cluster(x, method="hdbscan", clusters=3)
    with pytest.raises(UnusedSetting, match="--variance does nothing here"):
        cluster(x, method="ward", clusters=3, dims=4, variance=0.5)
    with pytest.raises(BiocosmosError, match="nothing to cluster"):
        cluster(x[:0])
    with pytest.raises(BiocosmosError, match="row 2 of the vectors has a number that is not finite"):
        cluster(np.where(np.arange(90)[:, None] == 2, np.nan, x))
    with pytest.raises(BiocosmosError, match="too few for t-SNE: give it at least 4"):
        cluster(x[:3], reducer="tsne", method="kmeans", clusters=2)


def test_too_many_rows_for_a_method_are_refused_with_another(monkeypatch):
    monkeypatch.setattr("biocosmos.discover.clusters.methods.MOST", {"affinity": 80})
    with pytest.raises(BiocosmosError, match=r"affinity of 90 specimens would need too much memory.*use --method hdbscan"):
        cluster(mixture()[0], method="affinity")
    monkeypatch.setattr("biocosmos.discover.clusters.spaces.MOST_KERNEL_PCA", 80)
    with pytest.raises(BiocosmosError, match="kernel PCA of 90 rows needs"):
        cluster(mixture()[0], reducer="kernel-pca", method="kmeans", clusters=2)


def test_a_missing_library_says_what_to_install(monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(extras, "import_module", missing)
    x, _ = mixture()
    for options, package in (
        ({"reducer": "umap", "method": "kmeans", "clusters": 2}, "UMAP needs umap-learn"),
        ({"reducer": "pacmap", "method": "kmeans", "clusters": 2}, "PaCMAP needs pacmap"),
        ({"method": "leiden"}, "Leiden needs igraph"),
    ):
        with pytest.raises(BiocosmosError, match=f"{package}: install it with pip install 'biocosmos.discover"):
            cluster(x, **options)
    assert cluster(x, method="hdbscan", largest=1.0).count == 3  # the default needs none of them


def test_settings_are_said_in_a_line():
    assert ClusterSettings().said == "pca 85 %, hdbscan of at least 5"
    assert ClusterSettings(standardise="zscore", reducer="umap", method="ward", clusters=120).said == (
        "zscore, umap 50, ward of 120 clusters"
    )
