"""Clusters of more rows than pairs fit: the same as the exact methods where these can be asked, and near them elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import HDBSCAN, AgglomerativeClustering
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from biocosmos.discover.clusters import cluster
from biocosmos.discover.clusters.large import cut, euclidean_graph, large_hdbscan, two_level_ward, weighted_ward


def blobs(sizes, dim=6, noise=0.6, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return (4 * rng.normal(size=(len(sizes), dim))[truth] + noise * rng.normal(size=(len(truth), dim))).astype(np.float32), truth


@given(st.integers(2, 50), st.integers(1, 60), st.integers(0, 5))
def test_euclidean_neighbours_are_those_of_all_distances(rows, k, seed):
    x = np.random.default_rng(seed).normal(size=(rows, 3)).astype(np.float32) * 30 + 100
    near, far = euclidean_graph(x, k)
    distances = np.linalg.norm(x[:, None].astype(np.float64) - x[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    shown = min(k, rows - 1)
    assert np.allclose(far[:, :shown], np.sort(distances, axis=1)[:, :shown], rtol=1e-3, atol=1e-2)
    assert (near[:, shown:] == -1).all() and np.isinf(far[:, shown:]).all()


@given(st.integers(2, 30), st.integers(0, 9))
def test_weighted_ward_of_single_rows_is_scipy_s(rows, seed):
    x = np.random.default_rng(seed).normal(size=(rows, 4))
    joins = weighted_ward(x, np.ones(rows))
    expected = linkage(x, "ward")
    assert np.allclose(joins[2], expected[:, 2])
    for clusters in range(1, rows + 1):
        assert adjusted_rand_score(cut(joins, rows, clusters=clusters), fcluster(expected, clusters, "maxclust")) == 1
    middle = float(np.mean(joins[2][:2])) * 1.001
    assert adjusted_rand_score(cut(joins, rows, threshold=middle), fcluster(expected, middle, "distance")) == 1


def test_weights_count_as_so_many_rows_at_one_place():
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(12, 3)), rng.integers(1, 6, 12)
    joins = weighted_ward(x, weight)
    whole = linkage(np.repeat(x, weight, axis=0), "ward")
    assert np.allclose(joins[2], whole[-11:, 2])  # the joins of equal rows have no height


def test_two_level_ward_finds_what_ward_finds():
    x, truth = blobs((300, 200, 120, 80, 40))
    for options in ({"n_clusters": 5}, {"n_clusters": None, "distance_threshold": 60.0}):
        exact = AgglomerativeClustering(**options).fit_predict(x)
        found = two_level_ward(x, clusters=options["n_clusters"], threshold=options.get("distance_threshold"), centres=120)
        assert adjusted_mutual_info_score(exact, found) > 0.98
    assert adjusted_mutual_info_score(truth, two_level_ward(x, clusters=5)) > 0.98


@pytest.mark.parametrize("min_samples", [1, 5, 12])
def test_the_graph_s_hdbscan_is_hdbscan_where_the_graph_holds_the_tree(min_samples):
    x, _ = blobs((150, 100, 70, 30), noise=1.0)
    exact = HDBSCAN(12, min_samples=min_samples, copy=True).fit_predict(x)
    found = large_hdbscan(x, min_cluster_size=12, min_samples=min_samples, neighbours=40)
    assert adjusted_rand_score(exact, found) > 0.98
    assert abs((exact < 0).mean() - (found < 0).mean()) < 0.03


def test_parts_that_no_edge_joins_are_clusters_of_their_own():
    x, truth = blobs((60, 50, 40), noise=0.1)
    found = large_hdbscan(x, min_cluster_size=10, min_samples=3, neighbours=4)
    kept = found >= 0
    assert kept.mean() > 0.9 and adjusted_rand_score(truth[kept], found[kept]) == 1


def test_equal_rows_are_no_trouble():
    x = blobs((40, 40))[0]
    x[:30] = x[0]
    assert len(large_hdbscan(x, min_cluster_size=5, min_samples=3)) == 80
    assert len(set(two_level_ward(np.repeat(x[:1], 50, axis=0), clusters=1).tolist())) == 1


def test_many_rows_go_that_way(monkeypatch):
    x, truth = blobs((200, 150, 100), noise=0.3)
    monkeypatch.setattr("biocosmos.discover.clusters.methods.WHOLE", {"ward": 100, "hdbscan": 100})
    for options in ({"method": "ward", "clusters": 3}, {"method": "hdbscan", "largest": 1.0, "min_cluster_size": 20}):
        found = cluster(x, reducer="none", **options)
        kept = found.labels >= 0
        assert kept.mean() > 0.9 and adjusted_rand_score(truth[kept], found.labels[kept]) > 0.99
        assert np.array_equal(found.labels, cluster(x, reducer="none", **options).labels)


def test_more_clusters_than_centres_can_tell_apart_are_cut_from_the_tree_of_all_rows(monkeypatch):
    x, _ = blobs((5,) * 80, dim=8, noise=0.5)
    x[10:20] = x[0]
    monkeypatch.setattr("biocosmos.discover.clusters.methods.WHOLE", {"ward": 100})
    monkeypatch.setattr("biocosmos.discover.clusters.methods.CENTRES", 64)
    found = cluster(x, reducer="none", method="ward", clusters=80)
    exact = AgglomerativeClustering(80).fit_predict(x)
    assert adjusted_rand_score(exact, found.labels) == 1
