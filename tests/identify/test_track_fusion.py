"""Fusion of what is said of the crops of a track: by hand, its limits, and a promise that counts animals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import biocosmos as bc
from biocosmos.identify.confidence.promises import is_wrong, roll_back
from biocosmos.identify.predictions import Predictions
from biocosmos.identify.tracks.fusion import STRAY, Fusion, track_truth
from biocosmos.identify.tracks.naming import TrackNaming
from predictions_sample import example


def _in_tracks(
    seed: int = 0, tracks: int = 240, crops: int = 6, shared: float = 0.7
) -> tuple[Predictions, np.ndarray, list[str]]:
    """Crops of tracks whose errors go together: a share of the variance of the noise is that of the track."""
    rng = np.random.default_rng(seed)
    one = example(seed, tracks, noise=0.0, with_levels=False)
    track = np.repeat(np.arange(tracks), rng.integers(1, crops + 1, tracks))
    noise = 1.6 * (
        np.sqrt(shared) * rng.normal(size=one.logits.shape)[track] + np.sqrt(1 - shared) * rng.normal(size=(len(track), 10))
    )
    logits = (one.logits[track] + noise).astype(np.float32)
    rows = one.subset(track)
    made = replace(rows, ids=np.array([f"c{i}" for i in range(len(track))], object), logits=logits)
    return made, track, [f"t{i}" for i in range(tracks)]


def test_by_hand_on_two_crops() -> None:
    """At the first step, living or not: log p of the two crops are averaged, times k = 2 / (1 + r), and made to sum to one."""
    said = example(3, 2, with_levels=False)
    living, dead = (said.taxonomy.find(f"status:{name}") for name in ("living", "non-living"))
    below = np.flatnonzero(said.taxonomy.parent == 0)
    for r in (0.0, 0.25, 1.0):
        fused = Fusion(said.ranks, (r, r, r))(said, np.zeros(2, np.int64), ["one"])
        p = np.exp(said.log_p[:, below].astype(float))
        mean = np.log((1 - STRAY) * p / p.sum(axis=1, keepdims=True) + STRAY / len(below)).mean(axis=0)
        expected = np.exp(2 / (1 + r) * mean)
        expected /= expected.sum()
        got = np.exp(fused.log_p[0, below])
        assert got == pytest.approx(expected, abs=1e-5)
        assert got.sum() == pytest.approx(1, abs=1e-5)
        assert living in below and dead in below


def test_fused_predictions_are_consistent_with_the_tree() -> None:
    said, track, names = _in_tracks()
    fused = Fusion(said.ranks, (0.3, 0.5, 0.1))(said, track, names)
    p = np.exp(fused.log_p.astype(float))
    tree = fused.tree
    for node in tree.nodes:
        children = tree.nodes[1:][fused.taxonomy.parent[tree.nodes[1:]] == node]
        if len(children) and node not in fused.classes:
            assert p[:, children].sum(axis=1) == pytest.approx(p[:, node], abs=1e-4)
    assert fused.ids.tolist() == names


def test_agreeing_independent_crops_grow_surer_and_one_stray_crop_has_no_veto() -> None:
    said = example(1, 1, noise=0.0, with_levels=False)
    truth = int(said.truth[0])
    ten = said.subset(np.zeros(10, np.int64))
    alone, together = (
        np.exp(Fusion(said.ranks, (r, r, r))(ten, np.zeros(10, np.int64), ["one"]).log_p[0, truth]) for r in (1.0, 0.0)
    )
    assert together > alone
    logits = ten.logits.copy()
    logits[0] = -1000
    logits[0, (np.searchsorted(said.classes, truth) + 5) % 10] = 0
    strayed = Fusion(said.ranks, (0.0, 0.0, 0.0))(replace(ten, logits=logits), np.zeros(10, np.int64), ["one"])
    assert strayed.best_path()[0][0].max() == truth


def test_correlation_is_found() -> None:
    found = []
    for shared in (0.0, 0.5, 0.9):
        said, track, names = _in_tracks(5, 400, shared=shared)
        fitted = Fusion.fit(said, track, np.ones(len(names), bool))
        found.append(np.mean(fitted.correlation))
    assert found[0] < found[1] < found[2]


def test_a_taxon_that_is_a_class_too_leaves_the_correlation_below_it() -> None:
    """A truth below such a taxon is a choice of what is below, not of stopping there."""
    said, track, names = _in_tracks(5, 400, shared=0.0)
    above = np.unique(said.taxonomy.parent[said.classes])
    classes = np.union1d(said.classes, above[above > 0]).astype(np.int32)
    logits = np.full((len(said), len(classes)), -4.0, np.float32)
    logits[:, np.searchsorted(classes, said.classes)] = said.logits
    known = np.ones(len(names), bool)
    alone, beside = (Fusion.fit(each, track, known) for each in (said, replace(said, classes=classes, logits=logits)))
    assert beside.correlation == pytest.approx(alone.correlation, abs=0.1)


def test_truth_of_a_track_is_that_of_most_of_its_crops() -> None:
    said = example(0, 5)
    mixed = replace(said, truth=np.array([4, 4, 7, 0, -1], np.int32))
    assert track_truth(mixed, np.array([0, 0, 0, 1, 2]), 3).tolist() == [4, 0, -1]


def test_tracks_are_named_better_than_crops() -> None:
    said, track, names = _in_tracks(7, 500, shared=0.3)
    naming = TrackNaming.fit(said, track, names)
    asked, of, called = _in_tracks(8, 500, shared=0.3)
    fused = naming.fusion(asked, of, called)
    crops = (asked.best_path()[0].max(axis=1) == asked.truth).mean()
    tracks = (fused.best_path()[0].max(axis=1) == fused.truth).mean()
    assert tracks > crops + 0.05


def test_the_promise_on_tracks_holds() -> None:
    """In 40 repetitions with fresh calibration tracks the share of wrong answers is above alpha about delta of the time."""
    asked, of, called = _in_tracks(1000, 2000)
    broken = 0
    for seed in range(40):
        said, track, names = _in_tracks(2 * seed + 1, 200)
        naming = TrackNaming.fit(said, track, names, alpha=0.15, delta=0.1, seed=seed)
        assert naming.promise is not None
        fused = naming.fusion(asked, of, called)
        answers = roll_back(fused, naming.promise)
        answered = answers.nodes > 0
        wrong = is_wrong(fused.taxonomy, answers.nodes, fused.truth)
        broken += bool(answered.any() and wrong[answered].mean() > 0.15)
    assert broken <= 9  # of 40 at 0.1: more has a probability below 1 %


def test_without_held_out_tracks_nothing_is_promised() -> None:
    said, track, names = _in_tracks(0, 30)
    from biocosmos.identify.confidence.calibration import Calibration

    naming = TrackNaming.of_crops(Calibration.none(said.ranks), 0.8, "no night is labelled")
    table = naming.table(said, track, names)
    assert naming.describe() == "nothing is promised of individuals: no night is labelled"
    assert table.num_rows == 30 and table.column_names[0] == "track"
    assert sum(table["crops"].to_pylist()) == len(track)


def test_too_few_tracks_are_told_what_they_can_promise() -> None:
    said, track, names = _in_tracks(0, 12)
    with pytest.raises(bc.BiocosmosError, match="cannot be promised with 12 calibration specimens"):
        TrackNaming.fit(said, track, names, alpha=0.01)
