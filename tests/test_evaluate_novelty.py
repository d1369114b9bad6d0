"""What the novelty report counts: separation, placement, community distortion."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from biocosmos.evaluate.novelty_metrics import deepest_known, distortion, lost_at, placement, separation, threshold_at
from predictions_sample import example

LEFT_OUT = ("cyclopoid", "larva", "egg")
QUERY = example(0, 500, left_out=LEFT_OUT)
TAX = QUERY.taxonomy


def test_separation_is_scikit_learn_s_with_both_false_positive_rates() -> None:
    rng = np.random.default_rng(0)
    novel, known = rng.normal(1, 1, 80).round(1), rng.normal(0, 1, 300).round(1)
    found = separation(novel, known)
    score, truth = np.r_[novel, known], np.r_[np.ones(80), np.zeros(300)]
    assert found.auroc == pytest.approx(roc_auc_score(truth, score))
    assert found.aupr_novel == pytest.approx(average_precision_score(truth, score))
    assert found.aupr_known == pytest.approx(average_precision_score(1 - truth, -score))
    for value, positive, sign in ((found.fpr95_novel_positive, truth, 1), (found.fpr95_known_positive, 1 - truth, -1)):
        false, true, _ = roc_curve(positive, sign * score, drop_intermediate=False)
        assert value == pytest.approx(false[true >= 0.95].min())


def test_an_unseen_class_is_lost_at_the_rank_where_its_path_leaves_the_known() -> None:
    lost, deepest = lost_at(QUERY), deepest_known(QUERY)
    expected = {"cyclopoid": ("label", "copepod"), "larva": ("group", "living"), "egg": ("group", "living")}
    for row, node in enumerate(QUERY.truth):
        name = TAX.name(int(node))
        rank, known = expected.get(name, ("known", name))
        assert (lost[row], TAX.name(int(deepest[row]))) == (rank, known), name
    nowhere = QUERY.subset(np.arange(3))
    nowhere.truth[:] = (-1, 0, QUERY.classes[0])
    assert lost_at(nowhere).tolist() == ["far", "untold", "known"]


def test_placement_parts_answers_into_five() -> None:
    true = np.array([TAX.find(f"group:{name}") for name in ["copepod"] * 6 + ["diatom"] * 2] + [0])
    names = [
        "group:copepod",
        "label:calanoid",
        "status:living",
        "group:diatom",
        None,
        "label:harpacticoid",
        "group:diatom",
        "status:living",
    ]
    answers = np.array([0 if name is None else TAX.find(name) for name in names] + [5])
    found = placement(TAX, answers, true)
    assert (found.exact, found.deep, found.shallow, found.wrong, found.none) == (2 / 8, 2 / 8, 2 / 8, 1 / 8, 1 / 8)
    assert found.inside == 4 / 8 and found.specimens == 8
    assert found.depth == pytest.approx((1 + 1 + 0.5 + 0.5 + 0 + 1 + 1 + 0.5) / 8)
    assert np.isnan(placement(TAX, answers[:0], true[:0]).exact)


def test_distortion_counts_what_a_threshold_puts_aside() -> None:
    a, b, c = QUERY.classes[:3]
    truth = np.array([a, a, b, b, c, c])  # c is novel
    novel = truth == c
    answers = np.array([a, b, b, b, a, b])
    scores = np.array([0.1, 0.2, 0.3, 0.6, 0.9, 0.4])
    everything, some, nothing = distortion(answers, truth, novel, scores, (1.0, 0.5, -1.0), QUERY.classes)
    # counted a, b, unknown = 2, 4, 0 against 2, 2, 2
    assert (everything.bray_curtis, everything.over, everything.under) == (4 / 12, 2 / 6, 0)
    assert (everything.false_alarms, everything.caught) == (0, 0)
    # aside: the fourth and the fifth; counted 1, 3, 2
    assert (some.bray_curtis, some.over, some.under) == (2 / 12, 1 / 6, 1 / 6)
    assert (some.false_alarms, some.caught) == (1 / 4, 1 / 2)
    assert (nothing.bray_curtis, nothing.under) == (8 / 12, 4 / 6)


def test_threshold_keeps_false_alarms_at_most_at_the_rate_on_average() -> None:
    assert threshold_at(np.arange(1.0, 10), 0.1) == 9 and threshold_at(np.arange(1.0, 10), 0.5) == 5
    assert threshold_at(np.arange(1.0, 10), 0.05) == np.inf
    rng = np.random.default_rng(0)
    alarms = [(rng.random(500) > threshold_at(rng.random(50), 0.1)).mean() for _ in range(400)]
    assert np.mean(alarms) <= 0.1 + 2 * np.std(alarms) / 20
