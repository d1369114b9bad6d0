"""The table of individuals: every column by hand."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from biocosmos.errors import BiocosmosError
from biocosmos.sequences import Boxes, Frames, individuals, write_tracks


def night() -> Boxes:
    frames = Frames(
        np.array([1, 2, 4, 5]), np.array([0.0, 10.0, 30.0, 45.5]), ("1.jpg", "2.jpg", "4.jpg", None), 640, 480,
        start=datetime(2026, 7, 1, 23, 59, 50),
    )  # fmt: skip
    box = np.array([[0, 0, 10, 20], [3, 4, 10, 20], [100, 100, 30, 30], [3, 4, 12, 22], [7, 7, 7, 7]], np.float64)
    track = np.array(["a", "a", "b", "a", None], object)
    return Boxes(
        "night", frames, np.array([0, 1, 1, 3, 3]), box, track, np.array([0.5, 0.9, np.nan, 0.7, 0.1]),
        np.array(["moth", "fly", None, "moth", "moth"], object), np.array([1.0, 0.5, np.nan, np.nan, 1.0]),
        np.array(["i0", "i1", "i2", "i3", "i4"], object),
    )  # fmt: skip


def test_a_row_for_every_individual() -> None:
    first, second = individuals(night()).to_pylist()
    assert first == {
        "sequence": "night", "track": "a", "label": "moth", "label_share": pytest.approx(2 / 3),
        "first_seen": "2026-07-01T23:59:50", "last_seen": "2026-07-02T00:00:35.500000", "duration": 45.5,
        "first_frame": 1, "last_frame": 5, "frames": 3, "frames_missed": 1,
        "detection_confidence": pytest.approx(0.7), "visibility": 0.75,
        "x": 5.0, "y": 10.0, "distance": pytest.approx(5 + 2**0.5), "width": 10.0, "height": 20.0,
        "image_path": "2.jpg", "specimen": "i1",
    }  # fmt: skip
    assert second["track"] == "b" and second["label"] is None and second["label_share"] is None
    assert second["detection_confidence"] is None and second["visibility"] is None and second["duration"] == 0
    assert second["image_path"] == "2.jpg" and second["frames"] == 1 and second["frames_missed"] == 0


def test_times_by_frame_rate_alone_are_durations_only() -> None:
    frames = Frames(np.array([1, 3]), np.full(2, np.nan), (None, None), frame_rate=0.5)
    boxes = Boxes("a", frames, np.array([0, 1]), np.ones((2, 4)), np.array(["t", "t"], object))
    (row,) = individuals(boxes).to_pylist()
    assert row["duration"] == 4.0 and row["first_seen"] is None
    unknown = Frames(np.array([1, 3]), np.full(2, np.nan), (None, None))
    (row,) = individuals(Boxes("a", unknown, boxes.frame, boxes.box, boxes.track)).to_pylist()
    assert row["duration"] is None


def test_further_columns_and_files(tmp_path: Path) -> None:
    more = pa.table({"sequence": ["night", "other"], "track": ["b", "a"], "label": ["Noctua", "x"], "promise": [0.9, 0.1]})
    table = individuals([night()], more=more)
    assert table["label"].to_pylist() == [None, "Noctua"] and table["promise"].to_pylist() == [None, 0.9]
    with pytest.raises(BiocosmosError, match="column 'track'"):
        individuals(night(), more=pa.table({"sequence": ["night"]}))
    with pytest.raises(BiocosmosError, match="two rows"):
        individuals(night(), more=pa.concat_tables([more, more]))
    path = write_tracks(tmp_path / "individuals.csv", night())
    assert pyarrow.csv.read_csv(path)["frames"].to_pylist() == [3, 1]
    none = Boxes("empty", Frames(np.zeros(0, np.int64), np.zeros(0), ()), np.zeros(0, np.int64), np.zeros((0, 4)))
    assert individuals(none).num_rows == 0
