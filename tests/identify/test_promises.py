"""Promises: over many draws of calibration specimens they are kept, and a method that does not keep them is caught."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from biocosmos.errors import BiocosmosError
from biocosmos.identify.confidence.promises import (
    Outcomes,
    Promise,
    answered_threshold,
    is_wrong,
    mean_threshold,
    passed_in_sequence,
    risk_p_values,
    roll_back,
    set_apart,
    smallest_alpha,
)
from biocosmos.identify.confidence.temperature import Temperatures
from biocosmos.identify.predictions import Predictions
from biocosmos.taxonomy import Taxonomy
from predictions_sample import example

POOL = example(7, 20_000, noise=2.0)


def scaled(predictions: Predictions, factor: float) -> Predictions:
    """The same head with louder class scores."""
    logits = predictions.logits * np.float32(factor)
    return replace(predictions, logits=logits)


def outcomes_of(predictions: Predictions) -> Outcomes:
    nodes, confidence = Temperatures.none(predictions.ranks).best_path(predictions)
    return Outcomes.of(predictions.taxonomy, nodes, confidence, predictions.truth)


@pytest.mark.parametrize("left_out", [(), ("egg",)])
def test_tempered_probabilities_stay_consistent_with_the_tree(left_out: tuple[str, ...]) -> None:
    found = example(1, 60, left_out=left_out)
    tax = found.taxonomy
    p = np.exp(Temperatures(found.ranks, (2.5, 0.4, 1.7)).log_p(found))
    for node in range(len(tax)):
        children = tax.children(node)
        if len(children) and p[:, node].any():
            np.testing.assert_allclose(p[:, children].sum(axis=1), p[:, node], atol=1e-12)
    assert (p[:, 0] == 1).all()
    np.testing.assert_allclose(Temperatures.none(found.ranks).log_p(found), found.log_p, atol=1e-5)


def test_an_inner_class_keeps_its_own_mass() -> None:
    tax = Taxonomy.from_table({"group": ["a", "a", "b"], "label": [None, "x", "y"]}, ("group", "label"))
    a, x, b, y = (tax.find(name) for name in ("a", "x", "b", "y"))
    logits = np.log(np.array([[0.3, 0.1, 0.6], [0.35, 0.25, 0.4]], np.float32))  # a itself, x, y
    classes = np.array([a, x, y], np.int32)
    made = example(0, 2)
    found = replace(
        made,
        taxonomy=tax,
        classes=classes,
        logits=logits,
        rank_scores=None,
        rank_nodes=(),
        truth=np.array([a, x], np.int32),
    )
    p = np.exp(Temperatures(found.ranks, (1.0, 0.5)).log_p(found))
    np.testing.assert_allclose(p[0, [a, b, y]], [0.4, 0.6, 0.6], rtol=1e-6)
    np.testing.assert_allclose(p[0, x], 0.4 * 0.01 / (0.09 + 0.01), rtol=1e-6)  # squares among siblings: x .1, a itself .3
    nodes, confidence = Temperatures(found.ranks, (1.0, 0.5)).best_path(found)
    assert nodes.tolist() == [[b, y], [a, -1]]  # in the second, a itself is more probable than x: the path ends there
    np.testing.assert_allclose(confidence, [[0.6, 0.6], [0.6, np.nan]], rtol=1e-6)
    assert np.isfinite(Temperatures.fit(found).values).all()


@given(st.integers(0, 1000), st.lists(st.floats(0.1, 5), min_size=3, max_size=3))
@settings(max_examples=20, deadline=None)
def test_temperatures_change_the_confidence_and_never_the_path(seed: int, values: list[float]) -> None:
    found = example(seed, 30, with_levels=False)
    temperatures = Temperatures(found.ranks, tuple(values))
    nodes, confidence = temperatures.best_path(found)
    np.testing.assert_array_equal(nodes, found.best_path()[0])
    log_p = temperatures.log_p(found)
    for row, level in zip(*np.nonzero(nodes >= 0), strict=True):
        assert confidence[row, level] == pytest.approx(np.exp(log_p[row, nodes[row, level]]))
    down = np.where(np.isnan(confidence), 1.0, confidence)
    assert (np.diff(np.minimum.accumulate(down, axis=1), axis=1) <= 0).all()
    np.testing.assert_allclose(Temperatures.none(found.ranks).best_path(found)[1], found.best_path()[1], atol=1e-9)


def test_temperatures_mend_a_head_that_is_too_sure() -> None:
    calibration, asked = scaled(example(3, 1500), 3), scaled(example(4, 4000), 3)
    temperatures = Temperatures.fit(calibration)
    assert min(temperatures.values) > 1.5

    def gap(t: Temperatures, level: int) -> float:
        nodes, confidence = t.best_path(asked)
        there = nodes[:, level] >= 0
        right = ~is_wrong(asked.taxonomy, nodes[there, level], asked.truth[there])
        return abs(float(confidence[there, level].mean() - right.mean()))

    for level in range(3):
        assert gap(temperatures, level) < 0.6 * gap(Temperatures.none(asked.ranks), level)
    one = Taxonomy.from_table({"label": ["x", "y"]}, ("label",))
    draws = np.random.default_rng(0).random(20_000)
    p = np.random.default_rng(1).uniform(0.05, 0.95, 20_000)
    logits = (2 * np.stack([np.log(p), np.log1p(-p)], 1)).astype(np.float32)  # says p^2 where p is true
    made = example(0, 20_000, with_levels=False)
    classes = np.array([1, 2], np.int32)
    loud = replace(
        made,
        taxonomy=one,
        classes=classes,
        logits=logits,
        truth=np.where(draws < p, 1, 2).astype(np.int32),
    )
    assert Temperatures.fit(loud).values[0] == pytest.approx(2, rel=0.05)


def test_wrong_means_no_ancestor_or_self_of_the_truth() -> None:
    tax = POOL.taxonomy
    egg, fish, living, copepod, blob = (tax.find(name) for name in ("egg", "fish", "living", "copepod", "blob"))
    answers = np.array([egg, fish, living, 0, copepod, egg, living, fish, 0])
    truth = np.array([egg, egg, egg, egg, egg, fish, blob, -1, -1])
    assert is_wrong(tax, answers, truth).tolist() == [False, False, False, False, True, True, True, True, False]


@given(st.lists(st.sampled_from([-np.inf, 0.2, 0.5, 0.5000001, 0.9, 1.0]), min_size=1, max_size=40), st.floats(0.02, 0.9))
@settings(max_examples=200, deadline=None)
def test_the_mean_threshold_is_the_lowest_that_risk_control_allows(wrong: list[float], alpha: float) -> None:
    n, values = len(wrong), np.array(wrong)
    if alpha < 1 / (n + 1):
        return
    t = mean_threshold(values, alpha)

    def allowed(threshold: float) -> bool:
        return bool(((values >= threshold).sum() + 1) / (n + 1) <= alpha + 1e-9)

    assert allowed(t)
    lower = [v for v in [0.0, *values[values >= 0]] if v < t]
    assert not any(allowed(v) for v in lower)  # the loss changes at these places only


def test_the_mean_promise_is_kept_and_not_by_being_timid() -> None:
    """Mean over draws of the true risk: alpha - 1/(n + 1) < mean <= alpha. Without the + 1 of the theorem, this fails."""
    n, alpha, repeats = 50, 0.1, 1500
    wrong, rng = outcomes_of(POOL).wrong, np.random.default_rng(0)

    def careless(values: np.ndarray, alpha: float) -> float:
        return float(np.nextafter(np.sort(values)[::-1][int(alpha * len(values))], np.inf))

    kept, broken = [], []
    for _ in range(repeats):
        rows = rng.permutation(len(wrong))
        for threshold, into in ((mean_threshold(wrong[rows[:n]], alpha), kept), (careless(wrong[rows[:n]], alpha), broken)):
            into.append((wrong[rows[n:]] >= threshold).mean())
    error = np.std(kept) / np.sqrt(repeats)
    assert np.floor(alpha * (n + 1)) / (n + 1) == pytest.approx(np.mean(kept), abs=3 * error)
    assert np.mean(kept) <= alpha + 2 * error
    assert np.mean(broken) > alpha + 6 * error


def test_the_promise_about_the_answered_is_kept_with_its_probability() -> None:
    """True risk above alpha in at most delta of the draws; the threshold that looks right in calibration fails far more."""
    n, alpha, delta, repeats = 400, 0.1, 0.1, 300
    pool, rng = outcomes_of(POOL), np.random.default_rng(0)
    failed = careless = 0
    shares = []
    for _ in range(repeats):
        rows = rng.permutation(len(POOL))
        fitting, testing, rest = pool.rows(rows[: n // 4]), pool.rows(rows[n // 4 : n]), pool.rows(rows[n:])
        threshold = answered_threshold(fitting, [testing], alpha, delta)
        if np.isfinite(threshold):
            answered, wrong = rest.at(np.array([threshold]))
            failed += wrong[0] > alpha * answered[0]
            shares.append(answered[0] / len(rest.wrong))
        grid = np.unique(testing.answered)
        answered, wrong = testing.at(grid)
        t = grid[np.argmax(wrong <= alpha * answered)]
        answered, wrong = rest.at(np.array([t]))
        careless += wrong[0] > alpha * answered[0]
    assert failed <= binom.ppf(0.999, repeats, delta)
    assert careless > 3 * repeats * delta
    assert len(shares) > 0.95 * repeats and np.mean(shares) > 0.5  # and it does answer


@pytest.mark.parametrize(("kind", "alpha"), [("mean", 0.05), ("mean", 0.2), ("answered", 0.05), ("answered", 0.2)])
def test_answers_rolled_back_by_a_promise(kind: str, alpha: float) -> None:
    """From the head's table to answers, as a user does it: judged naively."""
    rng, errors, failures = np.random.default_rng(1), [], 0
    for seed in range(12):
        rows = rng.permutation(len(POOL))
        promise = Promise.fit(POOL.subset(rows[:3000]), kind, alpha, seed=seed)  # type: ignore[arg-type]
        asked = POOL.subset(rows[3000:5500])
        nodes, levels, confidence = roll_back(asked, promise)
        lineage = asked.taxonomy.lineage(asked.truth)
        wrong = np.array([node > 0 and node not in path for node, path in zip(nodes, lineage, strict=True)])
        assert (levels[nodes == 0] == -1).all() and (asked.taxonomy.rank[nodes[nodes > 0]] == levels[nodes > 0]).all()
        assert (confidence[nodes > 0] >= promise.threshold).all() and np.isnan(confidence[nodes == 0]).all()
        errors.append(wrong.mean())
        failures += binom.sf(wrong.sum() - 1, (nodes > 0).sum(), alpha) <= 0.05
    if kind == "mean":
        assert abs(np.mean(errors) - alpha) < 3 * np.std(errors) / np.sqrt(12) + 1 / 2000
    else:
        assert failures <= 2


def test_unknown_ranks_cannot_void_the_promise() -> None:
    """A third of the calibration specimens is known to the group only: what their labels were can only be better."""
    found = example(5, 3000, noise=2.0)
    coarse = np.random.default_rng(0).random(3000) < 0.3
    hidden = replace(found, truth=np.where(coarse & (found.truth > 0), found.taxonomy.parent[found.truth], found.truth))
    hidden = replace(hidden, truth=hidden.truth.astype(np.int32))
    strict, full = Promise.fit(hidden, "mean", 0.2), Promise.fit(found, "mean", 0.2)
    assert strict.threshold > full.threshold
    assert any("known to a coarser rank" in note for note in strict.notes) and full.notes == ()


def test_classes_without_calibration_specimens_are_said() -> None:
    found = example(6, 800)
    egg, fibre = found.taxonomy.find("egg"), found.taxonomy.find("fibre")
    part = found.subset((found.truth != egg) & (found.truth != fibre))
    part = replace(part, truth=np.where(np.arange(len(part)) < 5, 0, np.where(np.arange(len(part)) < 8, -1, part.truth)))
    notes = " ".join(Promise.fit(replace(part, truth=part.truth.astype(np.int32))).notes)
    assert "2 of 10 classes have no calibration specimen (egg, fibre)" in notes
    assert (
        "5 calibration specimens have no known taxon" in notes
        and "3 calibration specimens are of taxa that the namer lacks" in notes
    )


def test_impossible_promises_name_the_smallest_possible() -> None:
    found = example(8, 200)
    with pytest.raises(
        BiocosmosError, match=r"0\.001 cannot be promised with 200 calibration specimens, of which 150 .* 0\.00663"
    ):
        Promise.fit(found, "mean", 0.001)
    with pytest.raises(BiocosmosError, match=r"smallest possible is 0\.01524"):
        Promise.fit(found, "answered", 0.01)
    assert Promise.fit(found, "mean", 0.00663).threshold > 0
    assert smallest_alpha("mean", 150) == pytest.approx(1 / 151)
    assert binom.cdf(0, 150, smallest_alpha("answered", 150, 0.1)) == pytest.approx(0.1)
    for wrong in ({"alpha": 0.0}, {"alpha": 1.0}, {"kind": "median"}, {"kind": "answered", "delta": 0.0}):
        with pytest.raises(BiocosmosError, match=r"between 0 and 1|no promise"):
            Promise.fit(found, **wrong)  # type: ignore[arg-type]
    with pytest.raises(BiocosmosError, match="none of the 200 calibration specimens has a known taxon"):
        Promise.fit(replace(found, truth=np.zeros(200, np.int32)))
    hopeless = replace(found, truth=np.full(200, -1, np.int32))
    nothing = Promise.fit(hopeless, "answered", 0.05)
    assert (roll_back(found, nothing).nodes == 0).all() and "nothing is answered" in nothing.notes[-1]
    assert Promise.from_dict(json.loads(json.dumps(nothing.to_dict(), allow_nan=False))) == nothing
    assert (roll_back(hopeless, Promise.fit(hopeless, "mean", 0.05)).nodes > 0).mean() < 0.05  # some may be wrong, so some answer


def test_a_promise_is_saved_and_refuses_another_head() -> None:
    found = example(9, 600).described(digest="aaa")
    promise = Promise.fit(found, "answered", 0.2)
    again = Promise.from_dict(json.loads(json.dumps(promise.to_dict(), allow_nan=False)))
    assert again == promise
    np.testing.assert_array_equal(roll_back(found, again).nodes, roll_back(found, promise).nodes)
    with pytest.raises(BiocosmosError, match="was made for the namer aaa, these predictions are of bbb"):
        roll_back(found.described(digest="bbb"), promise)


def test_the_seed_decides_and_not_the_order_of_rows() -> None:
    found = example(10, 500)
    mixed = found.subset(np.random.default_rng(0).permutation(500))
    assert Promise.fit(found).threshold == pytest.approx(Promise.fit(mixed).threshold)
    assert Promise.fit(found).threshold != Promise.fit(found, seed=1).threshold
    fitting, testing = set_apart(found.ids, np.arange(500), 0)
    assert len(fitting) == 125 and len(np.union1d(fitting, testing)) == 500


def test_one_class_and_a_rank_that_is_empty() -> None:
    tax = Taxonomy.from_table({"status": ["living"], "group": [None], "label": ["egg"]}, ("status", "group", "label"))
    made = example(0, 100, with_levels=False)
    egg = np.int32(tax.find("egg"))
    found = replace(
        made,
        taxonomy=tax,
        classes=np.array([egg]),
        logits=np.zeros((100, 1), np.float32),
        truth=np.full(100, egg),
    )
    answers = roll_back(found, Promise.fit(found))
    assert (answers.nodes == egg).all() and (answers.ranks == 2).all() and (answers.confidence > 0.95).all()


def test_binomial_p_values_are_those_of_hoeffding_and_bentkus_without_the_factor_e() -> None:
    """Golden numbers of facts/hierarchy_novelty.md: Bentkus' bound is e times the binomial p-value."""
    for risk, golden in ((0.02, 1.62077e-23), (0.05, 1.62966e-08), (0.08, 4.78732e-02)):
        q = binom.cdf(int(1000 * risk), 1000, 0.1)
        hoeffding = np.exp(-1000 * (risk * np.log(risk / 0.1) + (1 - risk) * np.log((1 - risk) / 0.9)))
        assert min(hoeffding, np.e * q) == pytest.approx(golden, rel=1e-4)


def test_mapie_finds_the_same_thresholds() -> None:
    """mapie 1.6: conformal risk control on a grid, exact binomial p-values (its binary Bentkus bound), fixed sequence testing."""
    methods = pytest.importorskip("mapie.risk_control.methods", reason="mapie, an oracle of this test, is not installed")
    fwer = pytest.importorskip("mapie.risk_control.fwer_control")
    outcomes = outcomes_of(POOL).rows(np.arange(700))
    grid = np.linspace(0, 1, 2001)
    losses = (outcomes.wrong[:, None] >= grid).astype(float)
    _, bound = methods.get_r_hat_plus(losses, grid, "CRC", None, None, None)
    for alpha in (0.03, 0.1, 0.2):
        theirs = methods.find_best_predict_param(grid, bound, np.array([alpha]))[0]
        assert mean_threshold(outcomes.wrong, alpha) == pytest.approx(theirs, abs=2 / 2000)
        answered, wrong = outcomes.at(grid[:-1])
        p = methods.compute_hoeffding_bentkus_p_value(wrong / answered - 1e-12, answered, alpha, binary=True)[:, 0]
        np.testing.assert_allclose(risk_p_values(outcomes, grid[:-1], alpha), p, rtol=1e-9)
        for order in (p[::-1], p[1000:], np.array([0.5]), np.zeros(3)):
            assert passed_in_sequence(order, 0.1) == len(fwer.control_fwer(order, 0.1, "fixed_sequence"))
