"""Novelty behind any namer: known specimens are flagged as often as was asked, never more."""

from __future__ import annotations

import numpy as np
import pytest

from biocosmos.identify.confidence.held_out import HeldOut, Part
from biocosmos.identify.confidence.promises import set_apart
from biocosmos.identify.novelty.alarm import sound_alarm
from biocosmos.identify.novelty.detector import Detector
from biocosmos.identify.novelty.registry import DETECTORS, make_detector
from biocosmos.identify.predictions import Predictions
from predictions_sample import example

KNOWN, HELD = np.arange(200), np.arange(200, 300)
BY_PREDICTIONS = [name for name in DETECTORS if name not in ("odin", "barcode-distance", "own-mass")]


def scene(seed: int) -> tuple[HeldOut, np.ndarray, Predictions]:
    """Held-out specimens with what their namer knew, the rows that detectors may be fitted on, and fresh known specimens."""
    pool = example(seed, 1100)
    held = HeldOut((Part(pool.subset(HELD), pool.subset(KNOWN)),), "made up", True)
    fitting, _ = set_apart(held.predictions.ids, np.arange(len(held)), seed)
    return held, fitting, pool.subset(np.arange(300, 1100))


@pytest.mark.parametrize("name", ["combined", "rank-outliers", "knn"])
def test_known_specimens_are_flagged_at_the_rate_asked_for(name: str) -> None:
    """Scored on the specimens that also fit the scales, 6.6 % were flagged where 5 % was asked."""
    rates = []
    for seed in range(40):
        held, fitting, fresh = scene(seed)
        alarm, deepest, notes = sound_alarm(held, fitting, name, 0.05)
        _, p, _ = alarm.judge(fresh)
        rates.append(float((p <= 0.05).mean()))
        assert not notes and len(deepest) == len(held)
    error = float(np.std(rates, ddof=1)) / len(rates) ** 0.5
    assert np.mean(rates) <= 0.05 + 2 * error and np.mean(rates) >= 0.02


@pytest.mark.parametrize("name", BY_PREDICTIONS)
def test_a_detector_is_the_same_from_its_arrays(name: str) -> None:
    pool = example(3, 400)
    fitted = make_detector(name).fit(pool.subset(np.arange(200)), pool.subset(np.arange(200, 300)))
    arrays = {key: np.array(array) for key, array in fitted.arrays().items()}
    again: Detector = make_detector(name).restored(arrays, pool.subset(np.arange(0)))
    asked = pool.subset(np.arange(300, 400))
    np.testing.assert_array_equal(again.scores(asked), fitted.scores(asked))


def test_too_few_held_out_specimens_flag_nothing_and_say_so() -> None:
    pool = example(1, 220)
    held = HeldOut((Part(pool.subset(np.arange(200, 215)), pool.subset(KNOWN)),), "made up", True)
    alarm, deepest, notes = sound_alarm(held, np.arange(4), "knn", 0.05)
    scores, p, _ = alarm.judge(pool.subset(np.arange(215, 220)))
    assert np.isfinite(scores).all() and (p > 0.05).all() and (deepest == 2).all()
    assert notes == [
        "no specimen is flagged as novel: a false alarm rate of 0.05 needs more than 11 held-out specimens, with which 0.0833 is "
        "the smallest possible"
    ]
