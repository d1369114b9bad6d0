"""Scores of clusterings against oracles written out here and against scikit-learn."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, permutations
from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from biocosmos.discover.choice import internal
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.clustering import scores

TAXA = np.array([0, 0, 0, 1, 1, 2])
FOUND = np.array([5, 5, 7, 7, 7, 7])


def entropy(labels):
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    return -sum(share * log(share) for share in shares)


def mutual(a, b):
    return entropy(a) + entropy(b) - entropy([f"{x} {y}" for x, y in zip(a, b)])


def test_ami_is_the_definition_with_chance_taken_over_every_permutation():
    """E[MI] of the hypergeometric model is the mean over all orders of one side: 720 of them for six specimens."""
    chance = float(np.mean([mutual(TAXA, list(order)) for order in permutations(FOUND)]))
    by_hand = (mutual(TAXA, FOUND) - chance) / ((entropy(TAXA) + entropy(FOUND)) / 2 - chance)
    assert scores.ami(TAXA, FOUND) == pytest.approx(by_hand, abs=1e-12)
    assert by_hand == pytest.approx(0.1053904, abs=1e-7)


def test_pair_scores_are_counted_pair_by_pair():
    pairs = list(combinations(range(6), 2))
    together = [(bool(TAXA[i] == TAXA[j]), bool(FOUND[i] == FOUND[j])) for i, j in pairs]
    both, taxon, cluster = together.count((True, True)), sum(a for a, _ in together), sum(b for _, b in together)
    assert (both, taxon, cluster) == (2, 4, 7)
    assert scores.fowlkes_mallows(TAXA, FOUND) == pytest.approx(both / sqrt(taxon * cluster))
    chance = Fraction(taxon * cluster, len(pairs))
    assert scores.ari(TAXA, FOUND) == pytest.approx(float((both - chance) / (Fraction(taxon + cluster, 2) - chance)))


def test_homogeneity_and_completeness_are_conditional_entropies():
    h, c = mutual(TAXA, FOUND) / entropy(TAXA), mutual(TAXA, FOUND) / entropy(FOUND)
    found = scores.external(TAXA, FOUND)
    assert found["homogeneity"] == pytest.approx(h)
    assert found["completeness"] == pytest.approx(c)
    assert found["v_measure"] == pytest.approx(2 * h * c / (h + c))
    assert list(found) == list(scores.EXTERNAL)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 4)), min_size=1, max_size=30), st.permutations(range(6)), st.data())
def test_neither_names_nor_order_of_clusters_matter(rows, names, data):
    truth, found = np.array(rows).T
    renamed = np.where(found < 0, found, np.array(names)[found] + 100)
    order = np.array(data.draw(st.permutations(range(len(rows)))))
    for noise in ("cluster", "left out"):
        first = scores.external(truth, found, noise=noise)
        other = scores.external(truth[order], renamed[order], noise=noise)
        np.testing.assert_allclose(list(first.values()), list(other.values()), atol=1e-9)


def test_noise_is_one_cluster_as_in_the_study_and_can_be_left_out():
    truth, found = np.array([0, 0, 1, 1, 2, 2, -1]), np.array([0, 0, 1, 1, -1, -1, 4])
    assert scores.ami(truth, found) == pytest.approx(1)  # the null taxon is left out; the noise is just taxon 2
    truth[-2] = 1
    assert scores.ami(truth, found) < 1
    assert scores.ami(truth, found, noise="left out") == pytest.approx(1)
    assert scores.share_clustered(found) == pytest.approx(5 / 7)


def test_nothing_to_compare_is_no_number_and_one_taxon_is_no_crash():
    none, one = np.full(3, -1), np.zeros(3, int)
    assert all(np.isnan(value) for value in scores.external(none, one).values())
    assert all(np.isnan(value) for value in scores.external(one, none, noise="left out").values())
    assert np.isnan(scores.share_clustered(np.empty(0, int)))
    assert scores.ami(one, one) == 1
    assert scores.ami(one, np.arange(3)) == pytest.approx(0, abs=1e-12)
    assert scores.ami(one[:1], one[:1]) == 1
    with pytest.raises(BiocosmosError, match="a taxon and a cluster for each row"):
        scores.ami(one, one[:2])


def clouds(rows=240, dims=6, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, rows)
    return (rng.normal(size=(rows, dims)) + 2 * rng.normal(size=(5, dims))[labels] + 40).astype(np.float32), labels


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_silhouette_is_scikit_learns(metric, monkeypatch):
    monkeypatch.setattr(internal, "_BLOCK", 1000)  # several blocks
    x, labels = clouds()
    labels[labels == 4] = np.where(np.arange((labels == 4).sum()) == 0, 4, 3)  # a cluster of one
    theirs = metrics.silhouette_score(x.astype(np.float64), labels, metric=metric)
    assert internal.silhouette(x, labels, metric=metric) == pytest.approx(theirs, abs=1e-6)
    wide = np.concatenate([x, np.zeros((len(x), 150), np.float32)], axis=1)
    assert internal.silhouette(wide, labels, metric=metric) == pytest.approx(theirs, abs=1e-4)


def test_silhouettes_of_several_labellings_leave_out_each_its_own_noise():
    x, labels = clouds()
    noisy = np.where(np.arange(len(x)) % 7 == 0, -1, labels)
    both = internal.silhouettes(x, [labels, noisy])
    assert [len(widths) for widths in both] == [240, int((noisy >= 0).sum())]
    kept = noisy >= 0
    assert both[1].mean() == pytest.approx(metrics.silhouette_score(x[kept].astype(float), labels[kept]), abs=1e-6)
    as_one = metrics.silhouette_score(x.astype(float), noisy)
    assert internal.silhouette(x, noisy, noise="cluster") == pytest.approx(as_one, abs=1e-6)


def test_a_sample_of_rows_asks_all_the_others():
    x, labels = clouds(600)
    exact = metrics.silhouette_samples(x.astype(float), labels)
    rows = np.sort(np.random.default_rng(3).choice(600, 200, replace=False))
    np.testing.assert_allclose(internal.silhouettes(x, [labels], asked=200, seed=3)[0], exact[rows], atol=1e-6)


def test_the_other_internal_scores_are_scikit_learns_on_the_clustered_rows():
    x, labels = clouds()
    noisy = np.where(np.arange(len(x)) % 7 == 0, -1, labels)
    kept = noisy >= 0
    for ours, theirs in (
        (internal.calinski_harabasz, metrics.calinski_harabasz_score),
        (internal.davies_bouldin, metrics.davies_bouldin_score),
    ):
        assert ours(x, noisy) == pytest.approx(theirs(x[kept].astype(float), labels[kept]), rel=1e-9)
        assert ours(x, noisy, noise="cluster") == pytest.approx(theirs(x.astype(float), noisy), rel=1e-9)


def test_scores_of_the_vectors_are_undefined_where_there_is_nothing_to_part():
    x, labels = clouds(20)
    every = (internal.silhouette, internal.calinski_harabasz, internal.davies_bouldin)
    for score in every:
        assert np.isnan(score(x, np.zeros(20, int)))  # one cluster
        assert np.isnan(score(x, np.arange(20)))  # as many as rows
        assert np.isnan(score(x, np.full(20, -1)))  # all noise
        assert np.isnan(score(x[:1], labels[:1]))  # one row
        with pytest.raises(BiocosmosError, match="not finite"):
            score(np.where(np.arange(20)[:, None] == 3, np.nan, x), labels)
        with pytest.raises(BiocosmosError, match="need a label each"):
            score(x, labels[:3])
    same = np.ones((20, 3), np.float32)
    assert internal.silhouette(same, labels) == 0
    assert internal.silhouette(same, labels, metric="cosine") == pytest.approx(0, abs=1e-9)
    assert np.isnan(internal.calinski_harabasz(same, labels))
    assert np.isnan(internal.davies_bouldin(same, labels))
