"""Shares of a sample: published values, the simplex, and that only EM and the adjusted counts are right under another prior."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from biocosmos.errors import BiocosmosError
from biocosmos.identify.quantification import METHODS, corrected, quantify, quantify_open
from biocosmos.identify.quantification.methods import confusion_of, on_simplex
from biocosmos.identify.quantification.unknown import threshold_of

PRIOR = np.array([0.5, 0.3, 0.2])
ROWS = np.array(
    [
        [0.9, 0.1, 0],
        [0.6, 0.3, 0.1],
        [0.2, 0.7, 0.1],
        [0.1, 0.8, 0.1],
        [0.3, 0.3, 0.4],
        [0.05, 0.15, 0.8],
        [0.1, 0.6, 0.3],
        [0.2, 0.2, 0.6],
    ]
)
CONFUSION = np.array([[0.8, 0.15, 0.1], [0.15, 0.75, 0.2], [0.05, 0.1, 0.7]])


def test_em_is_saerens():
    assert quantify("emq", ROWS, PRIOR, most_steps=1).values == pytest.approx([0.306250, 0.393750, 0.300000], abs=1e-6)
    assert not quantify("emq", ROWS, PRIOR, most_steps=1).converged
    found = quantify("emq", ROWS, PRIOR, close=1e-12)
    assert found.converged and found.values == pytest.approx([0.086196, 0.556718, 0.357086], abs=1e-6)


def test_adjusted_counts_stay_on_the_simplex():
    assert on_simplex(CONFUSION, [0.25, 0.375, 0.375]) == pytest.approx([0.190323, 0.335484, 0.474194], abs=1e-6)
    assert on_simplex(CONFUSION, [0.85, 0.1, 0.05]) == pytest.approx([1, 0, 0], abs=1e-9)  # the inverse says 1.08, -.08, .01


def test_counting():
    assert quantify("cc", ROWS).values == pytest.approx([2 / 8, 3 / 8, 3 / 8])
    assert quantify("pcc", ROWS).values == pytest.approx(ROWS.mean(0))


SYSTEMS = st.integers(2, 6).flatmap(
    lambda n: st.tuples(arrays(float, (n, n), elements=st.floats(0.01, 1)), arrays(float, n, elements=st.floats(0, 1)))
)


@settings(max_examples=50)
@given(
    st.integers(2, 6).flatmap(
        lambda n: st.tuples(arrays(float, (n, n), elements=st.floats(0.01, 1)), arrays(float, n, elements=st.floats(0, 1)))
    )
)
def test_no_point_of_the_simplex_lies_nearer(case):
    matrix, counted = case
    best = on_simplex(matrix, counted)
    assert best.min() >= 0 and best.sum() == pytest.approx(1)
    least = np.sum((matrix @ best - counted) ** 2)
    rng = np.random.default_rng(0)
    for other in rng.dirichlet(np.ones(len(counted)), 200):
        nearer = best + 0.1 * (other - best)
        assert np.sum((matrix @ nearer - counted) ** 2) >= least - 1e-7


def invented(shares, number, seed):
    """Specimens of three classes with normal features, and their exact posteriors under PRIOR."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, number, p=shares)
    seen = rng.normal(truth, 0.8)
    likely = np.exp(-((seen[:, None] - np.arange(3)) ** 2) / (2 * 0.8**2)) * PRIOR
    return likely / likely.sum(1, keepdims=True), truth


def test_under_another_prior_em_and_adjusted_counts_are_right_and_counting_is_not():
    real = np.array([0.05, 0.15, 0.8])
    validation, truth = invented(PRIOR, 20_000, 0)
    sample, names = invented(real, 20_000, 1)
    error = {}
    for method in METHODS:
        confusion = confusion_of(validation, truth, soft=method == "pacc") if method.endswith("acc") and method != "cc" else None
        error[method] = np.abs(quantify(method, sample, PRIOR, confusion=confusion).values - real).sum() / 2
    assert max(error["acc"], error["pacc"], error["emq"]) < 0.05 < 0.08 < min(error["cc"], error["pcc"])
    anew = corrected(sample, PRIOR, quantify("emq", sample, PRIOR).values)
    assert (anew.argmax(1) == names).mean() > (sample.argmax(1) == names).mean() + 0.05
    assert np.allclose(anew.sum(1), 1)


def test_a_share_of_unknown_specimens():
    sample, _ = invented(np.array([0.2, 0.3, 0.5]), 5000, 2)
    novelty = np.random.default_rng(3).normal(size=7000)
    novelty[5000:] += 5
    strange = np.concatenate([sample, np.full((2000, 3), 1 / 3)])
    cut = threshold_of(np.random.default_rng(4).normal(size=5000))
    shares, unknown = quantify_open("emq", strange, novelty, cut, PRIOR)
    assert unknown == pytest.approx(2 / 7, abs=0.02) and shares.values == pytest.approx([0.2, 0.3, 0.5], abs=0.04)
    assert quantify_open("emq", strange, novelty, -100.0, PRIOR)[1] == 1


@pytest.mark.parametrize(
    ("method", "said", "prior", "told"),
    [
        ("sld", ROWS, PRIOR, "unknown quantification method"),
        ("emq", ROWS[:0], PRIOR, "no specimens"),
        ("emq", ROWS * 2, PRIOR, "no distributions"),
        ("emq", ROWS, None, "shares of the specimens"),
        ("emq", ROWS, [1, 0, 0], "share above 0"),
        ("acc", ROWS, PRIOR, "needs the confusion"),
    ],
)
def test_what_cannot_be_quantified_is_told(method, said, prior, told):
    with pytest.raises(BiocosmosError, match=told):
        quantify(method, said, prior)


def test_quapy_says_the_same():
    """Moreo, Esuli and Sebastiani 2021, where it is installed: its values of ROWS are in the tests above too."""
    aggregative = pytest.importorskip("quapy.method.aggregative")
    kept = np.maximum(ROWS, 1e-6)
    found = aggregative.EMQ.EM(PRIOR, kept / kept.sum(1, keepdims=True), epsilon=1e-9)[0]
    assert quantify("emq", ROWS, PRIOR, close=1e-10).values == pytest.approx(found, abs=1e-4)
    assert quantify("emq", ROWS, PRIOR).values == pytest.approx(found, abs=1e-4)
