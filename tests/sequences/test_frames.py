"""Frames and boxes: times without nan, the rows of a frame and of a track."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biocosmos.sequences import Boxes, Frames

NAN = float("nan")


def frames_of(numbers: list[int], seconds: list[float], rate: float | None = None) -> Frames:
    return Frames(np.array(numbers, np.int64), np.array(seconds, np.float64), (None,) * len(numbers), frame_rate=rate)


@pytest.mark.parametrize(
    ("numbers", "seconds", "rate", "times"),
    [
        ([1, 2, 4], [NAN, NAN, NAN], None, [0, 1, 3]),  # nothing known: a second a frame
        ([1, 2, 4], [NAN, NAN, NAN], 0.1, [0, 10, 30]),
        ([1, 2, 4], [0.0, 3.0, 61.0], 0.1, [0, 3, 61]),  # what is known counts
        ([1, 2, 4], [0.0, NAN, 9.0], None, [0, 3, 9]),  # between two known
        ([5, 6, 7], [NAN, 4.0, 6.0], None, [2, 4, 6]),  # before the first
        ([5, 6, 8], [4.0, NAN, NAN], 0.5, [4, 6, 10]),  # after the last
        ([], [], None, []),
    ],
)
def test_times(numbers: list[int], seconds: list[float], rate: float | None, times: list[float]) -> None:
    np.testing.assert_allclose(frames_of(numbers, seconds, rate).times(), times)


@given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["a", "b", None])), max_size=30))
def test_rows_of_frames_and_of_tracks(rows: list[tuple[int, str | None]]) -> None:
    rows.sort(key=lambda row: row[0])
    track = np.full(len(rows), None, object)
    track[:] = [name for _, name in rows]
    frame = np.array([place for place, _ in rows], np.int64)
    boxes = Boxes("night", frames_of(list(range(7)), [NAN] * 7), frame, np.ones((len(rows), 4)), track)
    for place in range(7):
        assert list(range(len(rows)))[boxes.at(place)] == [i for i, (own, _) in enumerate(rows) if own == place]
    names = [name for _, name in rows if name is not None]
    found = boxes.tracks()
    assert list(found) == list(dict.fromkeys(names))
    for name, own in found.items():
        assert own.tolist() == [i for i, (_, other) in enumerate(rows) if other == name]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="ascend"):
        frames_of([2, 1], [0, 0])
    with pytest.raises(ValueError, match="sorted"):
        Boxes("a", frames_of([1, 2], [0, 1]), np.array([1, 0]), np.ones((2, 4)))
    with pytest.raises(ValueError, match="not there"):
        Boxes("a", frames_of([1], [0]), np.array([1]), np.ones((1, 4)))
