"""Sets with a coverage, a two-sample test with its size and power, and novelty of a batch with its false discoveries."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from biocosmos.errors import BiocosmosError
from biocosmos.identify.confidence.sets import PredictionSets, set_threshold, true_scores
from biocosmos.identify.confidence.shift import shift_test
from biocosmos.identify.novelty.false_discoveries import benjamini_hochberg, novel_in_batch
from predictions_sample import example

POOL = example(11, 6000, noise=2.0)


@pytest.mark.parametrize(("rank", "alpha"), [(None, 0.1), ("label", 0.1), ("group", 0.05)])
def test_sets_cover_the_truth_as_often_as_promised(rank: str | None, alpha: float) -> None:
    """Mean over draws of the true coverage is 1 - floor(alpha (n + 1)) / (n + 1)."""
    scores, rng, n = true_scores(POOL, rank), np.random.default_rng(0), 60
    scores = scores[~np.isnan(scores)]
    missed = []
    for _ in range(800):
        rows = rng.permutation(len(scores))
        missed.append((scores[rows[n:]] < set_threshold(scores[rows[:n]], alpha)).mean())
    error = np.std(missed) / np.sqrt(800)
    assert np.mean(missed) == pytest.approx(np.floor(alpha * (n + 1)) / (n + 1), abs=3 * error)
    fitted = PredictionSets.fit(POOL.subset(np.arange(2000)), alpha, rank)
    asked = POOL.subset(np.arange(2000, 6000))
    found = fitted.sets(asked)
    covered = found.covers(asked, rank)
    assert np.nanmean(covered) == pytest.approx(1 - alpha, abs=0.02)
    assert (found.sizes >= 1).all() and np.isnan(covered).any() == (rank == "group")  # "blob" has no group
    for row in range(50):
        names = set(asked.taxonomy.names[found.nodes(row)])
        truth = asked.taxonomy.ancestor(asked.truth[row], rank or "label")
        assert np.isnan(covered[row]) or covered[row] == (asked.taxonomy.names[truth] in names)


def test_sets_are_merged_into_the_fewest_nodes() -> None:
    tax, found = POOL.taxonomy, PredictionSets.fit(POOL, 0.1).sets(POOL.subset(np.arange(200)))
    wanted = [tax.find(name) for name in ("calanoid", "cyclopoid", "harpacticoid", "egg", "blob")]
    some = replace(found, member=np.isin(found.items, wanted)[None])
    assert sorted(tax.names[some.merged(0)]) == ["blob", "copepod", "egg"]
    for row in range(200):
        classes: set[int] = set()
        for node in found.merged(row):
            under = {int(c) for c in found.items if node <= c < tax.end[node]}
            assert not classes & under
            classes |= under
        assert classes == set(map(int, found.nodes(row)))
    assert " | " in " ".join(found.names(merged=True))


def test_taxa_that_the_head_lacks_cost_coverage_and_are_named() -> None:
    found = example(12, 400, left_out=("egg",))
    lacking = int((found.truth == found.taxonomy.find("egg")).sum())
    with pytest.raises(BiocosmosError, match=rf"{lacking} of them of taxa that the head lacks: the smallest possible is"):
        PredictionSets.fit(found, lacking / 401)
    fitted = PredictionSets.fit(found, 0.2)
    assert np.nanmean(fitted.sets(found).covers(found, None)) >= 0.8
    assert PredictionSets(**fitted.to_dict()) == fitted
    coarse = replace(found, truth=np.full(400, found.taxonomy.find("copepod"), np.int32))
    assert (fitted.sets(coarse).covers(coarse, None) <= (fitted.sets(coarse).sizes >= 3)).all()  # all three, or not covered
    with pytest.raises(BiocosmosError, match="no rank 'genus'"):
        PredictionSets.fit(found, 0.2, "genus")
    with pytest.raises(BiocosmosError, match=r"0\.001 cannot be promised with 400 .* smallest possible is 0\.\d+"):
        PredictionSets.fit(found, 0.001)


def test_the_two_sample_test_has_its_size_and_sees_a_shift() -> None:
    rng = np.random.default_rng(0)
    alike = [shift_test(rng.normal(size=(40, 5)), rng.normal(size=(50, 5)), seed=i, permutations=99).p for i in range(300)]
    assert 0.02 <= np.mean(np.array(alike) <= 0.05) <= 0.09  # exact: 5 %, deviation 1.3 points
    assert np.mean(alike) == pytest.approx(0.5, abs=0.06)
    features = POOL.features
    same = shift_test(features[:3000], features[3000:], specimens=500)
    assert not same.shifted and same.warning() is None and same.distance < 0.01 and same.calibration == 500
    moved = shift_test(features[:3000], features[3000:] + 0.5, specimens=300)
    assert moved.shifted and "differ from the calibration part" in str(moved.warning())
    fewer = POOL.truth[3000:] != POOL.taxonomy.find("calanoid")
    assert shift_test(features[:3000], features[3000:][fewer], specimens=500).shifted  # another community
    assert shift_test(features[:3000], features[3000:], specimens=500) == same
    constant = shift_test(np.ones((30, 3)), np.ones((30, 3)))
    assert constant.p == 1.0 and constant.distance == 0.0
    assert "was not tested" in str(shift_test(features[:5], features).warning())
    with pytest.raises(BiocosmosError, match="same head"):
        shift_test(features, features[:, 1:])


@given(
    st.lists(st.sampled_from([0.001, 0.01, 0.02, 0.05, 0.2, 0.9, 1.0]), min_size=1, max_size=30),
    st.sampled_from([0.05, 0.1, 0.3]),
)
@settings(max_examples=100, deadline=None)
def test_benjamini_hochberg_is_that_of_scipy(p: list[float], rate: float) -> None:
    np.testing.assert_array_equal(benjamini_hochberg(np.array(p), rate), false_discovery_control(p) <= rate + 1e-12)


def test_false_discoveries_of_a_batch_stay_under_the_rate() -> None:
    rng, rate, false, found = np.random.default_rng(0), 0.1, [], []
    for _ in range(300):
        calibration, known, novel = rng.normal(size=500), rng.normal(size=80), rng.normal(3, 1, size=20)
        flagged = novel_in_batch(np.concatenate([known, novel]), calibration, rate)
        false.append(flagged[:80].sum() / max(flagged.sum(), 1))
        found.append(flagged[80:].mean())
    assert np.mean(false) <= rate + 2 * np.std(false) / np.sqrt(300)
    assert np.mean(false) > 0.04 and np.mean(found) > 0.5
    assert not novel_in_batch(np.array([np.nan, 0.0]), np.arange(10.0)).any()
    with pytest.raises(BiocosmosError, match="between 0 and 1"):
        benjamini_hochberg(np.array([0.1]), 1.5)
