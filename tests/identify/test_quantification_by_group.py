"""Shares of several samples: intervals that hold the truth, the gate before each, unknown taxa, and what cannot be."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from biocosmos.errors import BiocosmosError
from biocosmos.identify.quantification import Validation, by_group, quantify, unknown
from biocosmos.identify.quantification.methods import em_draws
from quantified_sample import CLASSES, posteriors, specimens


@pytest.fixture(scope="module")
def validation():
    features, truth = specimens(400, 0, shares=np.full(CLASSES, 0.25))
    novelty = np.random.default_rng(1).normal(size=400)
    return Validation(posteriors(features), truth, np.full(CLASSES, 0.25), features, novelty)


def test_each_sample_has_its_shares_and_a_shifted_one_is_only_counted(validation):
    shares = {"a": [0.7, 0.1, 0.1, 0.1], "b": [0.05, 0.05, 0.1, 0.8]}
    parts = [specimens(200, seed, shares=each) for seed, each in enumerate(shares.values(), 5)]
    away = specimens(200, 8, moved=0.8, shares=[0.25] * 4)
    looks = np.concatenate([part[0] for part in (*parts, away)])
    names = np.repeat(["a", "b", "moved"], 200)
    found = by_group(posteriors(looks), names, validation, features=looks)
    assert [each.sample for each in found] == ["a", "b", "moved"] and found.of("b").specimens == 200
    for name, (_, truth) in zip("ab", parts):
        true, one = np.bincount(truth, minlength=CLASSES) / 200, found.of(name)
        assert one.corrected and one.verdict.open and np.abs(one.values - true).sum() / 2 < 0.1
        assert (one.low <= true).all() and (true <= one.high).all() and (one.low <= one.values).all()
    moved = found.of("moved")
    assert moved.method == "cc" and not moved.corrected and "label 5 specimens" in moved.why
    assert moved.values == pytest.approx(quantify("cc", posteriors(away[0])).values)
    assert any("counted, not corrected: moved" in line for line in found.sentences())
    trusted = by_group(posteriors(away[0]), ["x"] * 200, validation, features=away[0], gate=False, draws=0)
    assert trusted.samples[0].method == "emq" and np.isnan(trusted.samples[0].low).all()


@pytest.mark.parametrize("method", ["cc", "pcc", "acc", "pacc"])
def test_the_other_methods_have_intervals_too(validation, method):
    looks, _ = specimens(60, 11, shares=[0.4, 0.3, 0.2, 0.1])
    one = by_group(posteriors(looks), ["s"] * 60, validation, method, features=looks, draws=20).samples[0]
    assert one.method == method and one.values.sum() == pytest.approx(1)
    assert ((one.low <= one.values) & (one.values <= one.high)).all() and (one.high > one.low).any()


def test_a_share_of_unknown_taxa_has_an_interval(validation):
    looks, _ = specimens(300, 12, shares=[0.25] * 4)
    novelty = np.random.default_rng(16).normal(size=300)
    novelty[:90] = 9
    one = by_group(posteriors(looks), ["s"] * 300, validation, features=looks, novelty=novelty).samples[0]
    assert one.unknown[1] <= 0.3 <= one.unknown[2] and one.unknown[0] == pytest.approx(0.3, abs=0.08)
    assert one.values.sum() + one.unknown[0] == pytest.approx(1)
    alone = by_group(posteriors(looks[:90]), ["s"] * 90, validation, features=looks[:90], novelty=novelty[:90]).samples[0]
    assert alone.unknown[0] == 1 and not alone.corrected and "unlike all known" in alone.why


def test_few_specimens_are_counted_and_what_does_not_fit_is_refused(validation):
    looks, _ = specimens(5, 14, shares=[0.25] * 4)
    one = by_group(posteriors(looks), ["s"] * 5, validation, features=looks).samples[0]
    assert one.method == "cc" and "too few" in one.why
    with pytest.raises(BiocosmosError, match="do not go with"):
        by_group(posteriors(looks), ["s"] * 4, validation)
    with pytest.raises(BiocosmosError, match="unknown quantification method"):
        by_group(posteriors(looks), ["s"] * 5, validation, "sld")


@pytest.mark.parametrize("strange", [False, True])
def test_of_many_specimens_em_looks_at_some_and_counting_at_all(validation, monkeypatch, strange):
    grouping = import_module("biocosmos.identify.quantification.by_group")  # the package has a function of this name
    monkeypatch.setattr(grouping, "MOST_ASKED", 50)
    said = posteriors(specimens(300, 17, shares=[0.4, 0.3, 0.2, 0.1])[0])
    seen = []

    def told(method, part, *more, **how):
        seen.append((method, len(part)))
        return quantify(method, part, *more, **how)

    for module in (grouping, unknown):
        monkeypatch.setattr(module, "quantify", told)
    novelty = np.full(300, -9.0) if strange else None
    for method in ("cc", "emq"):
        one = by_group(said, ["s"] * 300, validation, method, novelty=novelty, gate=False, draws=0).samples[0]
        if method == "cc" and not strange:
            assert one.values == pytest.approx(np.bincount(said.argmax(1), minlength=CLASSES) / 300)
    assert seen == [("cc", 300), ("emq", 50)]


def test_samples_drawn_together_are_those_drawn_alone(validation):
    said, rng = validation.posteriors[:50], np.random.default_rng(15)
    counts = rng.multinomial(80, np.full(50, 0.02), size=3)
    together = em_draws(said, validation.prior, counts, close=1e-9, most_steps=5000)
    for row, shares in zip(counts, together):
        assert shares == pytest.approx(quantify("emq", np.repeat(said, row, axis=0), validation.prior).values, abs=1e-4)
