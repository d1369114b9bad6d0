"""Multi-label measures against the published numbers, oracles written out, scikit-learn, and what must always hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.attributes.multi_label import Rules, average_precision, multi_label
from biocosmos.evaluate.attributes.thresholds import tuned

GOLDEN = Path(__file__).parent / "golden"
CASES = [f"{case}@{cut}" for case in ("base", "class_without_positives", "ties") for cut in ("0.3", "0.5", "0.7")]
NAMES = {"op": "OP", "or_": "OR", "of1": "OF1", "cp": "CP", "cr": "CR", "cf1": "CF1", "mf1": "MF1"}


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    return dict(json.loads((GOLDEN / "sewer_ml.json").read_text()))


def of_case(case: str) -> tuple[np.ndarray, np.ndarray, float]:
    stored = np.load(GOLDEN / "sewer_ml.npz")
    scores, targets = stored["scores"], stored["targets"].astype(int)
    name, cut = case.split("@")
    if name == "class_without_positives":
        targets[:, 5] = 0
    return (scores.round(1) if name == "ties" else scores), targets, float(cut)


def sorts_as_the_machine_that_published(case: str) -> bool:
    """Equal scores come in the order of NumPy's unstable sort, which is another without AVX2."""
    features = np._core._multiarray_umath.__cpu_features__  # type: ignore[attr-defined]
    return not case.startswith("ties") or bool(features.get("AVX2"))


@pytest.mark.parametrize("case", CASES)
def test_the_published_numbers_are_reproduced(case: str, published: dict[str, Any]) -> None:
    scores, targets, cut = of_case(case)
    found = multi_label(scores, targets, cut, np.array(published["weights"]), Rules(absent="published"))
    want = published["cases"][case]

    def same(value: Any, wanted: Any) -> None:
        np.testing.assert_allclose(np.asarray(value, float), np.asarray(wanted, float), rtol=0, atol=1e-9)

    same(found.averages.weighted, want["new"]["F2"])
    same(found.averages.empty, want["new"]["F1_Normal"])
    same(found.counts.f(2), want["new"]["F2_class"])
    for ours, theirs in NAMES.items():
        same(getattr(found.averages, ours), want["main"][theirs])
    same(found.exact, want["main"]["EMAcc"])
    for ours, theirs in (("said", "Np"), ("right", "Nc"), ("true", "Ng")):
        same(getattr(found.counts, ours), want["aux"][theirs])
    for values, theirs in (
        (found.counts.precision, "P_class"),
        (found.counts.recall, "R_class"),
        (found.counts.f(1), "F1_class"),
    ):
        same(values, want["aux"][theirs])
    if sorts_as_the_machine_that_published(case):
        same(found.mean_ap, want["main"]["mAP"])
        same(found.ap, np.nan_to_num(np.array(want["aux"]["AP"], float)))


def test_a_class_that_is_true_of_nothing_is_left_out_or_counts_as_0(published: dict[str, Any]) -> None:
    scores, targets, _ = of_case("class_without_positives@0.5")
    weights, others = np.array(published["weights"]), [k for k in range(17) if k != 5]
    zero = multi_label(scores, targets, 0.5, weights, Rules(absent="zero"))
    skip = multi_label(scores, targets, 0.5, weights)
    assert zero.averages.weighted == pytest.approx(published["cases"]["class_without_positives@0.5"]["new"]["F2"], abs=1e-9)
    f2 = zero.counts.f(2)[:-1]
    assert skip.averages.weighted == pytest.approx((weights[others] @ f2[others]) / weights[others].sum())
    assert skip.mean_ap == pytest.approx(np.mean(skip.ap[others])) and np.isnan(skip.ap[5])
    assert zero.mean_ap == pytest.approx(skip.mean_ap * 16 / 17)
    assert skip.averages.cr == pytest.approx(np.mean([zero.counts.recall[k] for k in (*others, 17)]))
    assert zero.averages.cr == pytest.approx(skip.averages.cr * 17 / 18), "nothing is NaN"
    assert not skip.present[5] and skip.present[[*others, 17]].all()


def test_the_decision_is_at_or_above_the_threshold() -> None:
    found = multi_label(np.array([[0.5, 0.2], [0.4, 0.1]]), np.array([[1, 0], [0, 0]]), 0.5)
    assert found.averages.weighted == 1 and found.averages.empty == 1 and found.exact == 1
    above = multi_label(np.array([[0.5, 0.2], [0.4, 0.1]]), np.array([[1, 0], [0, 0]]), np.array([np.nextafter(0.5, 1), 0.5]))
    assert above.averages.weighted == 0 and above.counts.said.tolist() == [0, 0, 2]


def test_written_out_with_labels_that_are_not_known() -> None:
    probabilities = np.array([[0.9, 0.8], [0.6, 0.1], [0.2, 0.7], [0.1, 0.2], [0.1, 0.1]])
    values = np.array([[1, -1], [0, 0], [-1, 1], [0, -1], [-1, -1]])
    found = multi_label(probabilities, values)
    # class 0 is known of specimens 0, 1 and 3; class 1 of 1 and 2; that none is true only of 1; that any is of 0 and 2
    assert found.known.tolist() == [3, 2, 3]
    assert found.counts.said.tolist() == [2, 1, 0] and found.counts.right.tolist() == [1, 1, 0]
    assert found.counts.true.tolist() == [1, 1, 1]
    assert (found.specimens, found.whole, found.exact) == (4, 1, 0.0)
    assert found.averages.weighted == pytest.approx((5 / 6 + 1) / 2), "F2 is 5 TP / (5 TP + 4 FN + FP)"
    assert found.averages.op == pytest.approx(2 / 3) and found.averages.or_ == pytest.approx(2 / 3)
    assert found.ap.tolist() == [1.0, 1.0]


def test_scores_that_are_no_probabilities_are_refused() -> None:
    for scores in ([[2.0, 0.1]], [[np.nan, 0.1]], [[-0.1, 0.0]]):
        with pytest.raises(BiocosmosError, match="must be probabilities"):
            multi_label(np.array(scores), np.array([[1, 0]]))
    with pytest.raises(BiocosmosError, match="not of the same"):
        multi_label(np.zeros((2, 2)), np.zeros((2, 3)))
    with pytest.raises(BiocosmosError, match="beta must be"):
        Rules(beta=0)


def tables(known: bool = True) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    def of(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
        n, classes, seed = shape
        rng = np.random.default_rng(seed)
        return rng.random((n, classes)).round(1), rng.choice([1, 0] if known else [1, 0, -1], (n, classes))

    return st.tuples(st.integers(1, 40), st.integers(1, 5), st.integers(0, 2**31)).map(of)


@settings(deadline=None, max_examples=60)
@given(tables(), st.sampled_from([0.5, 1.0, 2.0]))
def test_scikit_learn_says_the_same(case: tuple[np.ndarray, np.ndarray], beta: float) -> None:
    scores, values = case
    found = multi_label(scores, values, 0.4, rules=Rules(beta, "zero"))
    said, true = scores >= 0.4, values == 1
    said = np.hstack([said, ~said.any(1, keepdims=True)])
    true = np.hstack([true, ~true.any(1, keepdims=True)])
    f = metrics.fbeta_score(true, said, beta=beta, average=None, zero_division=0)
    np.testing.assert_allclose(found.counts.f(beta), f, atol=1e-12)
    for average, names in (("micro", ("op", "or_", "of1")), ("macro", ("cp", "cr", "mf1"))):
        want = metrics.precision_recall_fscore_support(true, said, average=average, zero_division=0)[:3]
        np.testing.assert_allclose(np.nan_to_num([getattr(found.averages, name) for name in names]), want, atol=1e-12)
    assert found.exact == pytest.approx(metrics.accuracy_score(true, said))
    for k in range(scores.shape[1]):
        if true[:, k].any():
            assert found.ap[k] == pytest.approx(metrics.average_precision_score(true[:, k], scores[:, k]))


@settings(deadline=None, max_examples=60)
@given(tables(known=False), st.integers(0, 2**31), st.sampled_from(["skip", "zero"]))
def test_what_always_holds(case: tuple[np.ndarray, np.ndarray], seed: int, absent: Any) -> None:
    scores, values = case
    rng = np.random.default_rng(seed)
    rules = Rules(absent=absent)
    found = multi_label(scores, values, 0.4, rules=rules)

    def flat(of: Any) -> list[float]:
        return [*map(float, vars(of.averages).values()), of.mean_ap, of.exact]

    for value in flat(found):
        assert np.isnan(value) or -1e-12 <= value <= 1 + 1e-12
    order = rng.permutation(len(scores))
    np.testing.assert_allclose(flat(multi_label(scores[order], values[order], 0.4, rules=rules)), flat(found))
    with_unknown = np.vstack([values, np.full((3, values.shape[1]), -1)])
    more = multi_label(np.vstack([scores, rng.random((3, scores.shape[1]))]), with_unknown, 0.4, rules=rules)
    np.testing.assert_allclose(flat(more), flat(found))
    one = np.zeros(scores.shape[1])
    one[0] = 3.0
    alone = multi_label(scores, values, 0.4, one, rules).averages.weighted
    first = found.counts.f(2)[0] if found.present[0] or absent == "zero" else np.nan
    np.testing.assert_allclose(alone, first)


@settings(deadline=None, max_examples=60)
@given(tables(known=False), st.sampled_from([0.5, 1.0, 2.0]))
def test_no_other_threshold_is_better_on_the_validation_specimens(case: tuple[np.ndarray, np.ndarray], beta: float) -> None:
    scores, values = case
    thresholds, found = tuned(scores, values, beta)
    for k in range(scores.shape[1]):
        known = values[:, k] >= 0
        true, own = values[known, k] == 1, scores[known, k]
        assert found[k] == (true.any() and not true.all())
        if not found[k]:
            assert thresholds[k] == 0.5
            continue
        tried = [metrics.fbeta_score(true, own >= cut, beta=beta, zero_division=0) for cut in (*np.unique(own), 2.0)]
        assert metrics.fbeta_score(true, own >= thresholds[k], beta=beta, zero_division=0) == pytest.approx(max(tried))


def test_thresholds_lie_halfway_and_as_near_to_a_half_as_they_can() -> None:
    thresholds, found = tuned(np.array([[0.9], [0.2]]), np.array([[1], [0]]))
    assert thresholds.tolist() == [pytest.approx(0.55)] and found.all()


def test_equal_scores_are_one_cut() -> None:
    assert average_precision(np.array([0.5, 0.5]), np.array([0, 1]), Rules()) == 0.5
    assert average_precision(np.array([0.5, 0.5]), np.array([1, 0]), Rules()) == 0.5
