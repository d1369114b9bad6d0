"""The clustering that is chosen without labels, its number of clusters, its reasons, and what is said of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score

import biocosmos as bc
from biocosmos.discover.choice import background, choosing
from biocosmos.discover.choice.candidates import counts, finer, settings_to_try
from biocosmos.discover.choice.choosing import choose
from biocosmos.discover.choice.information import adjusted_information
from biocosmos.discover.choice.partitions import partitions, space_of
from biocosmos.discover.choice.stability import stability, subsamples
from biocosmos.discover.clusters import ClusterSettings, cluster
from biocosmos.errors import BiocosmosError


@pytest.fixture(autouse=True)
def without_umap(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without the extra: UMAP takes half a minute to compile."""
    monkeypatch.setattr(choosing, "has", lambda module: False)


def seven(rows: int = 350, dims: int = 16, apart: float = 8.0) -> tuple[Any, Any]:
    """(vectors, which of seven clouds each is of)."""
    rng = np.random.default_rng(0)
    truth = np.arange(rows) % 7
    return rng.normal(size=(7, dims))[truth] * apart + rng.normal(size=(rows, dims)), truth


def test_seven_clusters_that_stand_apart_are_found_and_stable() -> None:
    x, truth = seven()
    choice = choose(x)
    assert choice.clusters == 7 and choice.by == "silhouette, PCA" and choice.stands_out
    assert adjusted_mutual_info_score(truth, cluster(x, choice.settings).labels) == 1
    row = next(row for row in choice.reasons.to_pylist() if row["chosen"])
    assert row["stability"] == 1 and row["clusters"] == 7
    assert choice.reasons["silhouette, UMAP"].null_count == len(choice.reasons)
    assert any("PCA space alone: umap-learn is not installed" in said for said in choice.said)


def test_numbers_next_to_the_best_are_tried_too() -> None:
    x, _ = seven()
    choice = choose(x)
    assert {6, 7, 8} <= {row["asked"] for row in choice.reasons.to_pylist()}, "5, 8 and 12 are tried first"
    best = ClusterSettings(reducer="none", method="ward", clusters=41)
    tried = settings_to_try(400, 20, umap=False)
    between = [each.clusters for each in finer(best, tried)]
    assert between == sorted(set(between)) and set(between) <= set(range(28, 62)) - {41} and len(between) > 10
    assert counts(30) == [2, 3, 5, 8, 12, 18, 27] and counts(1) == []


def test_in_noise_nothing_stands_out() -> None:
    choice = choose(np.random.default_rng(0).normal(size=(300, 16)))
    assert not choice.stands_out and choice.said[0].startswith("Nothing stands out")
    assert choice.by == "neighbour information"


def test_shuffled_references_beat_noise_about_as_often_as_not() -> None:
    rng = np.random.default_rng(1)
    shares = [background.share_of_references(rng.normal(size=(120, 8)).astype(np.float32), 5, seed=seed) for seed in range(12)]
    assert np.median(shares) > 0.2 and min(shares) >= 1 / 20
    assert background.share_of_references(seven()[0].astype(np.float32), 7) == 1 / 20


def test_a_stray_far_away_is_no_second_cluster() -> None:
    x, _ = seven(apart=1.0)
    x[0] = 200
    choice = choose(x)
    assert choice.by == "neighbour information" and choice.clusters > 2


def test_the_same_seed_gives_the_same_choice_and_reasons() -> None:
    x, _ = seven(rows=140, apart=1.5)
    one, two = choose(x, seed=3), choose(x, seed=3)
    assert one.settings == two.settings and one.reasons.equals(two.reasons) and one.said == two.said
    assert one.settings.seed == 3 and one.provenance["choice"]["seed"] == 3


def test_of_specimens_of_the_sample_it_takes_what_is_nearly_best_by_their_names(embedded: bc.Collection) -> None:
    gallery = embedded.gallery("efficientnet-lite0")
    assert gallery.taxa is not None
    choice = choose(gallery.vectors)
    tried = settings_to_try(*gallery.vectors.shape, umap=False)
    found = {each: adjusted_mutual_info_score(gallery.taxa, cluster(gallery.vectors, each).labels) for each in tried[::3]}
    chosen = adjusted_mutual_info_score(gallery.taxa, cluster(gallery.vectors, choice.settings).labels)
    assert choice.stands_out and chosen > max(found.values()) - 0.05


def test_umap_may_be_left_out_and_is_when_there_are_too_few_rows() -> None:
    x, _ = seven(rows=90)
    assert any("UMAP was not wanted" in said for said in choose(x, umap=False).said)
    assert any("under 100 vectors are too few for UMAP" in said for said in choose(x, umap=True).said)
    assert any(each.reducer == "umap" for each in settings_to_try(100, 8, umap=True))


def test_only_candidates_that_are_given_are_tried() -> None:
    x, _ = seven()
    given = [ClusterSettings(reducer="none", method="kmeans", clusters=k) for k in (3, 7)]
    given += [ClusterSettings(reducer="none", method="hdbscan", min_samples=k) for k in (3, 4)]
    choice = choose(x, given)
    assert choice.settings in given and choice.clusters == 7
    assert [row["setting"] for row in choice.reasons.to_pylist()] == [
        "kmeans of 3 clusters",
        "kmeans of 7 clusters",
        "hdbscan of at least 5",
        "hdbscan of at least 5 (2)",
    ]


def test_of_more_rows_a_seeded_sample_is_looked_at_and_that_is_said() -> None:
    x, _ = seven()
    choice = choose(x, rows=150)
    assert choice.clusters == 7 and choice.provenance["choice"]["rows"] == 150
    assert any("sample of 150 of 350 specimens" in said for said in choice.said)
    with pytest.raises(
        BiocosmosError, match=r"of 200 clusters: cannot make them of the 150 rows .* look at more of the 350 rows"
    ):
        choose(x, [ClusterSettings(method="kmeans", clusters=200)], rows=150)


@pytest.mark.parametrize(
    ("x", "what"),
    [
        (np.ones((1, 4)), "1 vectors are too few to choose a clustering"),
        (np.eye(7), "7 vectors are too few"),
        (np.ones((50, 4)), "all 50 vectors are the same: there is nothing to tell apart"),
        (np.where(np.eye(9) > 0, np.nan, 1.0), "row 0 of the vectors has a number that is not finite"),
        (np.ones(9), "matrix"),
        (np.eye(9, 8), "row 8 of the vectors is zero and has no direction"),
        (np.where(np.arange(70_001)[:, None] == 70_000, np.inf, 1.0), "row 70000 of the vectors"),
    ],
)
def test_what_cannot_be_clustered_is_refused_in_a_line(x: Any, what: str) -> None:
    with pytest.raises(BiocosmosError, match=what):
        choose(x)
    with pytest.raises(BiocosmosError, match="there is no clustering to choose"):
        choose(np.eye(9), [])


def test_constant_columns_copies_and_few_rows_are_no_crash() -> None:
    x, _ = seven(rows=70)
    flat = np.concatenate([x, np.full((70, 3), 5.0)], axis=1)
    assert choose(flat).clusters == 7
    points = np.repeat(np.eye(2, 5), 20, axis=0)
    assert choose(points).clusters == 2
    for seed in range(5):
        assert 2 <= choose(np.random.default_rng(seed).normal(size=(8, 3))).clusters <= 4


def test_many_clusterings_at_once_are_those_of_single_calls() -> None:
    x = np.random.default_rng(0).normal(size=(90, 6)).astype(np.float32)
    settings = [
        ClusterSettings(reducer="none", method=m, clusters=k) for m in ("ward", "average", "kmeans") for k in (1, 2, 7, 90)
    ]
    settings += [ClusterSettings(reducer="none", method="ward", threshold=3.0), ClusterSettings(reducer="none", method="hdbscan")]
    for each, labels in zip(settings, partitions(x, settings), strict=True):
        assert (labels == cluster(x, each).labels).all(), each.said
    assert len({space_of(each) for each in settings}) == 1
    assert space_of(ClusterSettings(reducer="pca", dims=3)) != space_of(ClusterSettings(reducer="pca", dims=4))


def test_stability_is_the_mean_agreement_on_rows_that_two_subsamples_share() -> None:
    samples = subsamples(300, seed=2)
    assert [len(rows) for rows in samples] == [200] * 3
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, 4, 200) + np.repeat([0, 10], 100) for _ in samples]
    naive = []
    for i, j in ((0, 1), (0, 2), (1, 2)):
        both = sorted(set(samples[i].tolist()) & set(samples[j].tolist()))
        first, second = dict(zip(samples[i].tolist(), labels[i])), dict(zip(samples[j].tolist(), labels[j]))
        naive.append(adjusted_mutual_info_score([first[row] for row in both], [second[row] for row in both]))
    assert stability(samples, labels) == pytest.approx(np.mean(naive), abs=0.02)
    assert stability(samples, [rows % 5 for rows in samples]) == 1


def test_agreement_beyond_chance_is_scikit_learns_and_one_for_the_same_partition() -> None:
    rng = np.random.default_rng(0)
    for k in (2, 5, 40):
        one, two = rng.integers(0, k, 500), rng.integers(0, k, 500)
        two[:250] = one[:250]
        assert adjusted_information(one, two) == pytest.approx(adjusted_mutual_info_score(one, two), abs=0.015)
    assert adjusted_information(np.arange(9), np.arange(9)[::-1]) == 1
    assert adjusted_information(np.zeros(9, int), np.ones(9, int)) == 1
    assert adjusted_information(np.zeros(9, int), np.arange(9)) == 0
