"""Intervals, calibration and novelty numbers against rows resampled one by one and pairs counted one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.numbers.bootstrap import Bootstrap, paired_interval, wilson
from biocosmos.evaluate.numbers.calibration import coverage_curve, reliability
from biocosmos.evaluate.numbers.metrics import bray_curtis, novelty


def taxa_hits(seed: int = 0, taxa: int = 12) -> list[np.ndarray]:
    """Right or wrong of every query, by taxon."""
    rng = np.random.default_rng(seed)
    return [rng.random(rng.integers(1, 30)) < rng.random() for _ in range(taxa)]


def counts_of(hits: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([h.sum() for h in hits]), np.array([len(h) for h in hits])


def naive_draws(hits: list[np.ndarray], average: str, resample: str, draws: int) -> np.ndarray:
    rng, out = np.random.default_rng(5), []
    for _ in range(draws):
        if resample == "taxa":
            drawn = [hits[i] for i in rng.integers(0, len(hits), len(hits))]
        elif average == "macro":
            drawn = [rng.choice(h, len(h)) for h in hits]
        else:
            flat = np.concatenate(hits)
            drawn = [rng.choice(flat, len(flat))]
        out.append(np.mean([h.mean() for h in drawn]) if average == "macro" else np.concatenate(drawn).mean())
    return np.array(out)


@pytest.mark.parametrize("average", ["micro", "macro"])
@pytest.mark.parametrize("resample", ["specimens", "taxa"])
def test_intervals_are_those_of_resampled_rows(average, resample):
    hits = taxa_hits()
    found = getattr(Bootstrap(draws=20_000, resample=resample), average)(*counts_of(hits))
    draws = naive_draws(hits, average, resample, 4000)
    flat = np.concatenate(hits).mean() if average == "micro" else np.mean([h.mean() for h in hits])
    assert found.value == pytest.approx(flat)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, (0.025, 0.975))), abs=0.012)


@pytest.mark.parametrize("average", ["micro", "macro"])
@pytest.mark.parametrize("resample", ["specimens", "taxa"])
def test_paired_intervals_are_those_of_resampled_pairs(average, resample):
    before, rng = taxa_hits(), np.random.default_rng(9)
    after = [np.where(rng.random(len(h)) < 0.3, ~h, h) for h in before]
    change = [a.astype(int) - b.astype(int) for a, b in zip(after, before)]
    gains, losses = (np.array([(c == sign).sum() for c in change]) for sign in (1, -1))
    boot = Bootstrap(draws=20_000, resample=resample)
    found = getattr(boot, f"paired_{average}")(gains, losses, np.array([len(c) for c in change]))
    draws = naive_draws(change, average, resample, 4000)
    mean = np.concatenate(change).mean() if average == "micro" else np.mean([c.mean() for c in change])
    assert found.value == pytest.approx(mean)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, (0.025, 0.975))), abs=0.02)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng, truth = np.random.default_rng(1), np.linspace(0.3, 0.9, 20)
    size = np.full(20, 40)
    inside = 0
    for seed in range(200):
        interval = Bootstrap(draws=400, seed=seed).macro(rng.binomial(size, truth), size)
        inside += interval.low <= truth.mean() <= interval.high
    assert 0.89 <= inside / 200 <= 0.99


def test_a_seed_gives_the_same_interval_and_zero_draws_none():
    hits, counts = counts_of(taxa_hits())
    assert Bootstrap(seed=3).macro(hits, counts) == Bootstrap(seed=3).macro(hits, counts)
    assert np.isnan(Bootstrap(draws=0).micro(hits, counts).low)
    assert np.isnan(Bootstrap().micro(np.array([0]), np.array([0])).value)
    with pytest.raises(BiocosmosError, match="cannot resample"):
        Bootstrap(resample="images")
    with pytest.raises(BiocosmosError, match="is not offered"):
        Bootstrap(confidence=0.5)


def test_wilson_and_paired_intervals_have_a_width_where_the_bootstrap_has_none():
    low, high = wilson(np.array([0, 3, 8, 0]), np.array([3, 3, 10, 0]))
    assert low[:3] == pytest.approx([0, 0.4385, 0.4902], abs=1e-4)
    assert high[:3] == pytest.approx([0.5615, 1, 0.9433], abs=1e-4)
    assert np.isnan(low[3])
    down, up = paired_interval(np.array([3]), np.array([0]), np.array([3]))
    assert down[0] < 0.6 < up[0] <= 1


def test_reliability_counts_bins_one_answer_at_a_time():
    rng = np.random.default_rng(0)
    confidence, right = np.round(rng.random(300), 2), rng.random(300) < 0.6
    confidence[:2] = 0, 1
    found = reliability(confidence, right)
    bins: dict[int, list[int]] = {}
    for i, c in enumerate(confidence):
        place = next(b for b in range(10) if c <= (b + 1) / 10)
        bins.setdefault(place, []).append(i)
    assert found.count.tolist() == [len(bins[b]) for b in sorted(bins)]
    assert found.accuracy == pytest.approx([right[bins[b]].mean() for b in sorted(bins)])
    expected = sum(len(i) / 300 * abs(right[i].mean() - confidence[i].mean()) for i in bins.values())
    assert found.ece == pytest.approx(expected)


def test_coverage_keeps_the_most_confident_and_ties_together():
    confidence = np.array([0.9, 0.5, 0.9, np.nan, 0.2])
    right = np.array([True, True, False, True, False])
    curve = coverage_curve(confidence, right)
    assert curve.threshold.tolist() == [0.9, 0.5, 0.2]
    assert curve.coverage.tolist() == [0.4, 0.6, 0.8]
    assert curve.accuracy == pytest.approx([1 / 2, 2 / 3, 2 / 4])
    assert curve.aurc == pytest.approx(mean_risk(confidence, right))
    assert len(coverage_curve(np.full(3, np.nan), np.ones(3, bool)).coverage) == 0


def mean_risk(confidence: np.ndarray, right: np.ndarray) -> float:
    """The mean share wrong over all coverages, averaged over every order in which equally confident answers could stand."""
    answered = np.flatnonzero(~np.isnan(confidence))
    risks = []
    for order in itertools.permutations(answered):
        said = confidence[list(order)]
        if (np.diff(said) <= 0).all():
            wrong = ~right[list(order)]
            risks.append(np.mean([wrong[:kept].mean() for kept in range(1, len(wrong) + 1)]))
    return float(np.mean(risks))


def test_the_mean_risk_of_ties_is_that_of_every_order_they_could_stand_in():
    rng = np.random.default_rng(3)
    for _ in range(20):
        confidence, right = rng.choice([0.2, 0.5, 0.9], 7), rng.random(7) < 0.6
        assert coverage_curve(confidence, right).aurc == pytest.approx(mean_risk(confidence, right))


def test_novelty_counts_pairs_and_names_both_conventions():
    rng = np.random.default_rng(0)
    novel = rng.random(400) < 0.3
    score = np.round(rng.normal(size=400) + 0.8 * novel, 1)
    found = novelty(score, novel)
    assert found.auroc == pytest.approx(roc_auc_score(novel, score))
    assert found.aupr_novel == pytest.approx(average_precision_score(novel, score))
    assert found.aupr_known == pytest.approx(average_precision_score(~novel, -score))

    def false_positives(positive: np.ndarray, negative: np.ndarray) -> float:
        for threshold in sorted(set(positive), reverse=True):
            if (positive >= threshold).mean() >= 0.95:
                return (negative >= threshold).mean()
        raise AssertionError

    assert found.fpr95_novel_positive == pytest.approx(false_positives(score[novel], score[~novel]))
    assert found.fpr95_known_positive == pytest.approx(false_positives(-score[~novel], -score[novel]))
    assert found.fpr95_novel_positive != found.fpr95_known_positive
    assert np.isnan(novelty(score, np.zeros(400, bool)).auroc)


def test_counts_that_cancel_out_leave_the_community_right():
    assert bray_curtis(np.array([0, 5, 5]), np.array([0, 5, 5])) == (0, 0, 0)
    distance, over, under = bray_curtis(np.array([4, 6, 0]), np.array([0, 5, 5]))
    assert distance == pytest.approx((4 + 1 + 5) / 20)
    assert (over, under) == pytest.approx((0.1, 0.5))
