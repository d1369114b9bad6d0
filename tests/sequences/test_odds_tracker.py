"""Our tracker: what a person expects of moths on a screen, and what holds of every tracker whatever it is shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import biocosmos as bc
from biocosmos.sequences import Boxes, Frames
from biocosmos.sequences.tracking import Tracker, TrackerSettings, track
from biocosmos.sequences.tracking.likeness import Likeness
from biocosmos.sequences.tracking.motion import Motion
from biocosmos.sequences.tracking.settings import METHODS

SIZE = {"width": 1920, "height": 1080}


def _moth(x: float, y: float, size: float = 60) -> list[float]:
    return [x, y, size, size]


def _steps(frames: list[tuple[float, list[list[float]]]], **how: object) -> list[list[int]]:
    tracker = Tracker(TrackerSettings(**how), **SIZE)  # type: ignore[arg-type]
    return [tracker.step(seconds, np.array(boxes)).tolist() for seconds, boxes in frames]


@pytest.mark.parametrize("interval", [3, 15, 60])
def test_resting_moths_keep_their_numbers(interval: int) -> None:
    resting = [_moth(200, 200), _moth(800, 300), _moth(1500, 900)]
    rng = np.random.default_rng(0)
    frames = [(interval * t, (np.array(resting) + rng.normal(0, 2, (3, 4))).tolist()) for t in range(10)]
    said = _steps(frames)
    assert all(row == said[0] for row in said)


def test_one_that_was_hidden_for_two_minutes_is_the_same_and_one_elsewhere_is_new() -> None:
    seen = [(15 * t, [_moth(200, 200), _moth(900, 500)]) for t in range(8)]
    hidden = [(15 * t, [_moth(900, 500)]) for t in range(8, 16)]
    again = [(15 * 16, [_moth(202, 199), _moth(900, 500), _moth(1700, 100, 30)])]
    assert _steps([*seen, *hidden, *again])[-1] == [0, 1, 2]


def test_the_gap_is_told_by_the_clock() -> None:
    """As far away as a walk of a minute: after a minute the same; after a second another, which is told when it is seen again."""
    others = [_moth(150 * column, 900) for column in range(10)]
    for gap, expected in ((60.0, True), (1.0, False)):
        first, later = _steps([(0.0, [_moth(500, 100), *others]), (gap, [_moth(1100, 100), *others])])
        assert (first[0] == later[0]) == expected, gap
        assert first[1:] == later[1:]


def test_one_of_another_size_is_another_animal() -> None:
    frames = [(3.0 * t, [_moth(500, 500, 80), _moth(1200, 500, 40)]) for t in range(6)]
    hidden = [(18.0, [_moth(1200, 500, 40)])]
    small = [(seconds, [_moth(700, 640, 16), _moth(1200, 500, 40)]) for seconds in (21.0, 24.0)]
    assert _steps([*frames, *hidden, *small])[-2:] == [[-1, 1], [2, 1]]


def test_two_that_meet_are_told_by_their_look() -> None:
    rng = np.random.default_rng(0)
    looks = np.eye(8)[:2]
    tracker = Tracker(**SIZE)
    places = np.array([_moth(500, 500), _moth(600, 500)])
    for t in range(30):
        said = tracker.step(15 * t, places, looks + rng.normal(0, 0.05, (2, 8)))
    met = np.array([_moth(540, 500), _moth(560, 500)])
    assert tracker.step(15 * 30, met, looks[::-1]).tolist() == said[::-1].tolist()


def test_labels_of_a_detector_tell_apart() -> None:
    tracker = Tracker(**SIZE)
    places = np.array([_moth(500, 500), _moth(590, 500)])
    for t in range(5):
        said = tracker.step(60 * t, places, labels=["moth", "beetle"])
    assert (
        tracker.step(300, places + np.array([[45, 0, 0, 0], [-45, 0, 0, 0]]), labels=["moth", "beetle"]).tolist() == said.tolist()
    )


def test_unsure_boxes_go_on_and_do_not_begin() -> None:
    tracker = Tracker(TrackerSettings(start=0.5, keep=0.1), **SIZE)
    assert tracker.step(0, np.array([_moth(500, 500)]), confidence=[0.9]).tolist() == [0]
    unsure = np.array([_moth(501, 500), _moth(1500, 500), _moth(500, 501)])
    assert tracker.step(3, unsure, confidence=[0.3, 0.3, 0.05]).tolist() == [0, -1, -1]


def test_what_is_forgotten_comes_back_as_a_new_one() -> None:
    frames = [(0.0, [_moth(500, 500)]), (700.0, [_moth(500, 500)]), (1100.0, [_moth(500, 500)])]
    assert _steps(frames, memory=500.0) == [[0], [1], [1]]


def test_a_walk_is_straight_over_seconds_and_spreads_with_the_root_of_time() -> None:
    motion = Motion()
    seconds = np.array([0.01, 10_000.0, 40_000.0])
    short, long, longer = motion.spread(seconds)
    assert short == pytest.approx(motion.speed**2 * 0.01**2, rel=0.01)
    assert np.sqrt(longer / long) == pytest.approx(2, rel=0.01)


def test_more_alike_never_says_less() -> None:
    likeness = Likeness()
    rng = np.random.default_rng(0)
    for _ in range(50):
        cosine = rng.uniform(0.2, 0.6, (4, 4))
        np.fill_diagonal(cosine, rng.uniform(0.5, 0.9, 4))
        likeness.learn(cosine, np.arange(4), np.arange(4), np.ones(4, bool))
    said = likeness.log_odds(np.linspace(-1, 1, 50))
    assert (np.diff(said) >= 0).all()
    assert said[0] < 0 < said[-1] and said[0] >= np.log(likeness.stray)


@st.composite
def _films(draw: st.DrawFn) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.lists(st.integers(0, 6), min_size=1, max_size=8))
    film = []
    for m in sizes:
        box = np.column_stack([rng.uniform(0, 400, (m, 2)), rng.uniform(5, 80, (m, 2))])
        film.append((box, rng.normal(size=(m, 4)), rng.uniform(0, 1, m)))
    return film


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=15, deadline=None)
@given(film=_films(), data=st.data())
def test_one_to_one_and_whatever_the_order(method: str, film: list, data: st.DataObject) -> None:  # type: ignore[type-arg]
    one, other = (Tracker(TrackerSettings(tracker=method), width=400, height=400) for _ in range(2))
    for t, (box, look, sure) in enumerate(film):
        order = np.array(data.draw(st.permutations(range(len(box)))), np.int64)
        said = one.step(3 * t, box, look, sure)
        assert other.step(3 * t, box[order], look[order], sure[order]).tolist() == said[order].tolist()
        numbered = said[said >= 0]
        assert len(set(numbered.tolist())) == len(numbered)


def test_memory_does_not_grow() -> None:
    tracker = Tracker(TrackerSettings(memory=60.0, most=40), **SIZE)
    rng, known = np.random.default_rng(0), []
    for t in range(300):
        tracker.step(3 * t, np.column_stack([rng.uniform(0, 1000, (10, 2)), np.full((10, 2), 30.0)]), rng.normal(size=(10, 4)))
        known.append(len(tracker._method.known))  # type: ignore[attr-defined]
    assert max(known) <= 50


def test_frames_out_of_order_and_boxes_without_a_size_are_refused() -> None:
    tracker = Tracker()
    tracker.step(10, np.array([_moth(1, 1)]))
    with pytest.raises(bc.BiocosmosError, match="a frame at 10 s comes after one at 10 s: sort frames by time"):
        tracker.step(10, np.array([_moth(1, 1)]))
    with pytest.raises(bc.BiocosmosError, match="box 0 has no size"):
        tracker.step(11, np.array([[1.0, 1, 0, 5]]))
    with pytest.raises(bc.BiocosmosError, match="1 boxes cannot have 2 confidences"):
        tracker.step(12, np.array([_moth(1, 1)]), confidence=[1, 1])
    with pytest.raises(bc.BiocosmosError, match="needs a time"):
        tracker.step(float("nan"), np.array([_moth(1, 1)]))


def test_a_sequence_is_tracked_whole_with_empty_frames_and_broken_boxes() -> None:
    frames = Frames(np.array([1, 2, 3, 7]), np.full(4, np.nan), (None,) * 4, 1920, 1080, 1 / 3)
    frame = np.array([0, 0, 2, 3, 3, 3])
    box = np.array([_moth(900, 500), _moth(200, 200), _moth(200, 201), _moth(901, 500), _moth(200, 200), _moth(5, 5, 0)])
    tracked = track(Boxes("night", frames, frame, box))
    assert tracked.track is not None
    assert tracked.track[[1, 2, 4]].tolist() == [tracked.track[1]] * 3
    assert tracked.track[0] == tracked.track[3] != tracked.track[1]
    assert tracked.track[5] is None
    assert set(tracked.tracks()) == {"1", "2"}


def test_pictures_of_one_second_come_one_after_the_other() -> None:
    from biocosmos.sequences.tracking.run import strictly_ascending

    assert strictly_ascending(np.array([0.0, 0, 0, 30, 30])).tolist() == pytest.approx([0, 1 / 3, 2 / 3, 30, 30.5])


def test_colours_of_crops_tell_apart_and_do_not_turn() -> None:
    from biocosmos.sequences.tracking.colours import colours

    picture = np.full((100, 200, 3), 230, np.uint8)
    picture[20:60, 20:40] = [160, 40, 30]
    picture[60:80, 100:140] = [160, 40, 30]
    picture[20:60, 150:170] = [30, 60, 160]
    vectors = colours(picture, np.array([[20, 20, 20, 40], [100, 60, 40, 20], [150, 20, 20, 40], [500, 0, 20, 20]]))
    assert np.linalg.norm(vectors[:3], axis=1) == pytest.approx([1, 1, 1], abs=1e-6)
    assert vectors[0] @ vectors[1] > 0.99 > 0.7 > vectors[0] @ vectors[2]
    assert np.isnan(vectors[3]).all()
