"""Intervals of partitions' scores, rank correlations, and what stands in their tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.clustering import scores
from biocosmos.evaluate.clustering.agreement import agreement
from biocosmos.evaluate.clustering.intervals import Halves, mean_interval
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.numbers.correlation import kendall, rank_correlation

SAMPLES, SPECIMENS = 40, 300


def place(rng, taxa=20, clusters=25):
    """A place whose specimens have taxa and clusters that go together, some rare: joint probabilities (taxa, clusters)."""
    joint = rng.dirichlet(np.full(taxa, 1.0))[:, None] * rng.dirichlet(np.full(clusters, 0.08), taxa)
    return joint / joint.sum()


def sample(joint, rng):
    cells = rng.choice(joint.size, SPECIMENS, p=joint.ravel())
    return cells // joint.shape[1], cells % joint.shape[1]


def test_the_interval_covers_what_other_specimens_of_the_place_give_and_the_bootstrap_does_not():
    rng = np.random.default_rng(1)
    joint = place(rng)
    usual = np.mean([scores.ami(*sample(joint, rng)) for _ in range(200)])
    covered = resampled = 0
    widths, values = [], []
    for i in range(SAMPLES):
        taxa, found = sample(joint, rng)
        value, low, high = Halves(SPECIMENS, draws=30, seed=i).of(scores.ami, taxa, found).interval
        covered += low <= usual <= high
        widths.append((high - low) / (2 * 1.96))
        values.append(value)
        again = [scores.ami(taxa[rows], found[rows]) for rows in rng.integers(0, SPECIMENS, (30, SPECIMENS))]
        ends = np.quantile(again, (0.025, 0.975))
        resampled += ends[0] <= usual <= ends[1]
    assert covered >= 0.9 * SAMPLES
    assert resampled <= 0.6 * SAMPLES
    assert 0.8 < np.mean(widths) / np.std(values) < 1.5  # not covering by being wide


def test_a_difference_on_the_same_specimens_is_surer_than_either():
    rng = np.random.default_rng(0)
    taxa, found = sample(place(rng), rng)
    worse = np.where(rng.random(SPECIMENS) < 0.05, rng.integers(0, 25, SPECIMENS), found)
    halves = Halves(SPECIMENS)
    first, second = halves.of(scores.ami, taxa, found), halves.of(scores.ami, taxa, worse)
    value, low, high = halves.difference(first, second)
    assert value == pytest.approx(second.interval.value - first.interval.value)
    assert low < value < high < 0
    assert high - low < first.interval.high - first.interval.low


def test_halves_are_the_same_for_every_score_and_few_specimens_have_none():
    taxa = np.arange(40) % 4
    again = [Halves(40, seed=2).of(scores.ami, taxa, taxa // 2).halves for _ in range(2)]
    np.testing.assert_array_equal(*again)
    for few in (Halves(7), Halves(40, draws=0)):
        value, low, high = few.of(scores.ami, taxa[: few.rows], taxa[: few.rows]).interval
        assert value == 1
        assert np.isnan([low, high]).all()
    with pytest.raises(BiocosmosError, match="at least 2 halves"):
        Halves(40, draws=1)
    with pytest.raises(BiocosmosError, match="is not offered"):
        Halves(40, confidence=0.8)
    assert mean_interval(np.array([1.0, 3.0])) == pytest.approx((2, 2 - 1.96, 2 + 1.96), abs=1e-3)
    assert np.isnan(mean_interval(np.empty(0)).value)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=20))
def test_kendall_is_scipys_and_its_interval_holds_it(pairs):
    a, b = np.array(pairs, float).T
    found = kendall(a, b, Bootstrap(50))
    if len(set(a)) < 2 or len(set(b)) < 2:
        assert found is None
        return
    assert found.value == pytest.approx(kendalltau(a, b).statistic, abs=1e-12)
    if len(pairs) > 3 and np.isfinite(found.low):
        assert -1 <= found.low <= found.high <= 1


def test_an_interval_over_encoders_draws_them_whole():
    """Ten clusterings each of six encoders, all ten alike: sixty pairs say no more than six."""
    rng = np.random.default_rng(0)
    alike, blind = rng.normal(size=6), rng.normal(size=6)
    a, b, of = (np.repeat(each, 10) + 1e-3 * rng.normal(size=60) for each in (alike, alike + blind, np.arange(6.0)))
    for correlate in (rank_correlation, kendall):
        apart, whole = correlate(a, b, Bootstrap(300)), correlate(a, b, Bootstrap(300), of.round())
        assert apart.value == whole.value
        assert whole.high - whole.low > 1.5 * (apart.high - apart.low)
    keys = [(f"e{i}", f"s{j}") for i in range(6) for j in range(10)]
    rows = agreement({("silhouette", "umap", "left out"): dict(zip(keys, a))}, dict(zip(keys, b)), Bootstrap(50))
    assert rows[0]["drawn"] == "encoders"
    assert {row["drawn"] for row in rows[1:]} == {"clusterings"}


def test_agreement_is_told_over_all_within_encoders_and_between_them():
    settings, encoders = ("a", "b", "c", "d"), ("x", "y", "z")
    truth = {(e, s): 0.1 * i + 0.02 * j for i, e in enumerate(encoders) for j, s in enumerate(settings)}
    upside = {key: -value for key, value in truth.items()}  # Davies-Bouldin: lower is better
    blind = {**dict.fromkeys(truth, 0.5), ("x", "a"): 0.9}
    told = {
        ("silhouette", "umap", "left out"): {**truth, ("z", "d"): float("nan")},
        ("davies_bouldin", "umap", "left out"): upside,
        ("silhouette", "original", "left out"): blind,
    }
    rows = agreement(told, truth, Bootstrap(50))
    first = rows[0]
    assert (first["over"], first["clusterings"], first["spearman"], first["kendall"]) == ("all", 11, 1, 1)
    assert first["best_ami"] == pytest.approx(truth["z", "c"])
    assert [(row["over"], row["which"]) for row in rows if row["score"] == "davies_bouldin"] == [
        ("all", ""),
        *(("settings of", name) for name in encoders),
        *(("encoders at", name) for name in settings),
    ]
    by_lowest = next(row for row in rows if row["score"] == "davies_bouldin")
    assert by_lowest["kendall"] == 1
    assert by_lowest["lost"] == 0
    misled = next(row for row in rows if row["space"] == "original")
    assert misled["picked"] == "x | a"
    assert misled["lost"] == pytest.approx(max(truth.values()) - truth["x", "a"])
