"""The published trackers: their costs computed by hand, and what their settings let them do."""

from __future__ import annotations

import numpy as np
import pytest

from biocosmos.images.boxes import overlap
from biocosmos.sequences.tracking import Tracker, TrackerSettings, costs
from biocosmos.sequences.tracking.assignment import below, one_to_one

OLD = np.array([[0.0, 0, 10, 10]])
NEW = np.array([[3.0, 4, 10, 20]])
DIAGONAL = 100.0
# by hand: shared 7 x 6 = 42, union 100 + 200 - 42 = 258; centres (5, 5) and (8, 14); areas 100 and 200
IOU, DISTANCE, RATIO = 42 / 258, np.hypot(3, 9), 0.5


def test_parts_of_the_costs() -> None:
    assert overlap(OLD, NEW)[0, 0] == pytest.approx(IOU)
    assert costs.distance(OLD, NEW)[0, 0] == pytest.approx(DISTANCE)
    assert costs.area_ratio(OLD, NEW)[0, 0] == RATIO


def test_costs_by_hand() -> None:
    cosine = np.array([[0.8]])
    assert costs.ami(OLD, NEW, DIAGONAL, cosine)[0, 0] == pytest.approx(0.2 + (1 - 0.16) + 0.5 + DISTANCE / 100)
    assert costs.ami(OLD, NEW, DIAGONAL)[0, 0] == pytest.approx((1 - 0.16) + 0.5 + DISTANCE / 100)
    assert costs.insecttracking(OLD, NEW, DIAGONAL)[0, 0] == pytest.approx(1.3 * DISTANCE / 100 + 0.7 * 0.5)
    assert costs.mcc24(OLD, NEW, DIAGONAL, cosine)[0, 0] == pytest.approx(2.5 * DISTANCE / 100 + 0.7 * 0.5 + 1.5 * 0.2)


def test_a_threshold_after_the_assignment_may_lose_what_one_before_keeps() -> None:
    cost = np.array([[0.1, 0.2], [0.2, 5.0]])
    assert [part.tolist() for part in below(cost, 0.3)] == [[0, 1], [1, 0]]
    dear = np.array([[0.1, 0.9], [0.9, 9.0]])  # of least sum: both crosswise, 1.8, and neither is worth it
    assert [part.tolist() for part in below(dear, 0.5)] == [[], []]
    assert [part.tolist() for part in one_to_one(dear, 0.5)] == [[0], [0]]


def _step(tracker: Tracker, seconds: float, *boxes: tuple[float, ...], confidence: float = 0.9) -> list[int]:
    return tracker.step(seconds, np.array(boxes).reshape(-1, 4), confidence=np.full(len(boxes), confidence)).tolist()


def _tracker(name: str) -> Tracker:
    return Tracker(TrackerSettings(tracker=name), width=800, height=600)


def test_sort_forgets_after_a_frame_and_foretells_by_velocity() -> None:
    tracker = _tracker("sort")
    walked = [_step(tracker, t, (100 + 6 * t, 100, 20, 20)) for t in range(6)]
    assert walked == [[0]] * 6
    assert _step(tracker, 6) == []
    assert _step(tracker, 7, (142, 100, 20, 20)) == [0]  # one frame missed
    assert _step(tracker, 8) == _step(tracker, 9) == []
    assert _step(tracker, 10, (160, 100, 20, 20)) == [1]


def test_sort_by_the_gains_of_its_filter() -> None:
    from biocosmos.sequences.tracking.kalman import AreaFilter

    belief = AreaFilter(np.array([0.0, 0, 10, 10]))
    belief.predict()
    # by hand, for x: variance 10 + 10,000 of the velocity + 1 of the process; measured with 1
    belief.update(np.array([4.0, 0, 10, 10]))
    assert belief.box[0] == pytest.approx(4 * 10_011 / 10_012)
    assert belief.predict()[0] == pytest.approx(4 * 10_011 / 10_012 + 4 * 10_000 / 10_012)


def test_bytetrack_goes_on_by_unsure_boxes_and_begins_by_sure_ones() -> None:
    tracker = _tracker("bytetrack")
    assert _step(tracker, 0, (100, 100, 40, 40)) == [0]
    assert _step(tracker, 1, (101, 100, 40, 40), confidence=0.3) == [0]
    assert _step(tracker, 2, (102, 100, 40, 40), (300, 300, 40, 40), confidence=0.3) == [0, -1]
    assert _step(tracker, 3, (300, 300, 40, 40), confidence=0.55) == [-1]  # a new one needs 0.6
    assert _step(tracker, 4, (300, 300, 40, 40)) == [1]
    assert _step(tracker, 5) == []
    assert _step(tracker, 6, (300, 300, 40, 40)) == [2]  # seen once, then lost: it never was


def test_bytetrack_remembers_30_frames_and_the_app_10000() -> None:
    for name, expected in (("bytetrack", 1), ("bytetrack-long", 0)):
        tracker = _tracker(name)
        _step(tracker, 0, (100, 100, 40, 40))
        for t in range(1, 40):
            _step(tracker, t)
        assert _step(tracker, 40, (100, 100, 40, 40)) == [expected]


def test_ami_knows_the_frame_before_only_and_two_boxes_may_want_one() -> None:
    tracker = _tracker("ami")
    assert _step(tracker, 0, (100, 100, 40, 40)) == [0]
    assert sorted(_step(tracker, 3, (101, 100, 40, 40), (104, 100, 40, 40))) == [0, 1]  # both want 0, the nearer gets it
    assert _step(tracker, 6) == []
    assert _step(tracker, 9, (101, 100, 40, 40)) == [2]


def test_insecttracking_remembers_30_seconds_or_5_frames() -> None:
    for times, expected in (((3, 28), [0]), ((3, 6, 9, 12, 15, 18, 31), [1]), ((60, 120), [0])):
        tracker = _tracker("insecttracking")
        _step(tracker, 0, (100, 100, 40, 40))
        for t in times[:-1]:
            _step(tracker, t)
        assert _step(tracker, times[-1], (150, 120, 40, 40)) == expected


def test_mcc24_tells_by_the_look() -> None:
    tracker = _tracker("mcc24")
    box = np.array([[100.0, 100, 40, 40]])
    assert tracker.step(0, box, np.array([[1.0, 0]])).tolist() == [0]
    assert tracker.step(3, box, np.array([[0.0, 1]])).tolist() == [1]
