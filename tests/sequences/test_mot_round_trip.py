"""MOTChallenge in and out: a ground truth goes through a collection and comes back the same."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import biocosmos
from biocosmos.errors import BiocosmosError
from biocosmos.sequences import Boxes, Frames, read_sequence, read_sequences, sequences_of, write_mot
from biocosmos.specimens.collection import Collection

WIDTH, HEIGHT = 640, 480
SEQINFO = f"[Sequence]\nname=night\nimDir=img1\nframeRate=0.1\nseqLength=9\nimWidth={WIDTH}\nimHeight={HEIGHT}\nimExt=.jpg\n"


def rows_of(path: Path) -> list[list[float]]:
    return [[float(cell) for cell in line.split(",")] for line in path.read_text().splitlines()]


@st.composite
def truths(draw: st.DrawFn) -> list[list[float]]:
    """Rows of a gt, sorted by frame: boxes inside the picture, numbers of two digits, tracks once a frame."""
    rows: list[list[float]] = []
    for frame in range(1, 10):
        for track in sorted(draw(st.sets(st.integers(1, 4), max_size=3))):
            x, y = draw(st.integers(100, 40_000)) / 100, draw(st.integers(100, 30_000)) / 100
            w, h = draw(st.integers(1, 20_000)) / 100, draw(st.integers(1, 15_000)) / 100
            rows.append([frame, track, x, y, w, h, 1, draw(st.integers(1, 3)), draw(st.integers(0, 10**6)) / 10**6])
    return rows


def lay_out(folder: Path, rows: list[list[float]]) -> Path:
    (folder / "gt").mkdir(parents=True, exist_ok=True)
    (folder / "seqinfo.ini").write_text(SEQINFO)
    (folder / "gt" / "gt.txt").write_text("".join(",".join(f"{cell:.6f}" for cell in row) + "\n" for row in rows))
    return folder


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(truths())
def test_a_truth_is_read_and_written_the_same(tmp_path: Path, rows: list[list[float]]) -> None:
    boxes = read_sequence(lay_out(tmp_path / "in" / "night", rows))
    np.testing.assert_allclose(boxes.box, np.array(rows).reshape(-1, 9)[:, 2:6] - [1, 1, 0, 0])
    assert boxes.frames.number.tolist() == list(range(1, 10))  # empty frames too
    write_mot(tmp_path / "out", boxes)
    again = rows_of(tmp_path / "out" / "night" / "gt" / "gt.txt")
    kinds = sorted({row[7] for row in rows})
    if len(kinds) == 1:  # a single class without a name is no label
        rows = [[*row[:7], 1, row[8]] for row in rows]
    np.testing.assert_allclose(np.array(again).reshape(-1, 9), np.array(rows).reshape(-1, 9), rtol=0, atol=1e-9)


def test_a_truth_through_a_collection(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = []
    for frame in (1, 2, 3, 5, 8):  # 4, 6, 7 and 9 are empty
        for track in range(1, 5):
            x, y, w, h = random.uniform([1, 1, 5, 5], [500, 300, 140, 180]).round(3)
            rows.append([frame, track, x, y, w, h, 1, track % 2 + 1, round(random.random(), 6)])
    tree = lay_out(tmp_path / "tree" / "night", rows).parent
    for k in range(3):
        lay_out(tree / f"other{k}", rows[: k + 1])
    collection = Collection.create(tmp_path / "night.cosmos")
    summary = collection.add(biocosmos.read(tree, empty=True))
    assert summary.added == len(rows) + 4 + (1 + 8) + (2 + 8) + (3 + 8) and not summary.failures.errors
    found = {boxes.name: boxes for boxes in sequences_of(collection)}
    assert list(found) == ["night", "other0", "other1", "other2"]
    night = found["night"]
    assert night.frames.number.tolist() == list(range(1, 10)) and night.frames.frame_rate == 0.1
    assert (night.frames.width, night.frames.height) == (WIDTH, HEIGHT)
    assert night.ids is not None and night.ids[0] == "night/000001#1"
    write_mot(tmp_path / "out", found.values())
    again = np.array(rows_of(tmp_path / "out" / "night" / "gt" / "gt.txt"))
    np.testing.assert_allclose(again, np.array(rows), rtol=0, atol=1e-9)  # boxes of float32, three digits of pixels
    assert (tmp_path / "out" / "night" / "seqinfo.ini").read_text() == SEQINFO
    some = list(sequences_of(collection, where="track = '2' OR empty"))
    assert [len(boxes) for boxes in some] == [5, 0, 1, 1] and some[0].frames.number.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    with pytest.raises(BiocosmosError, match="camera"):
        next(sequences_of(collection, by="camera"))


def test_moments_and_names_of_classes_come_back(tmp_path: Path) -> None:
    start = datetime(2026, 7, 1, 22, 0, 0)
    label = np.array(["moth", "fly", "moth"], object)
    track = np.array(["noctua-1", "b", "noctua-1"], object)
    for seconds in ([0.0, 10.5, 61.0], [0.0, 10.0, 20.0]):
        frames = Frames(np.array([1, 2, 3]), np.array(seconds), (None,) * 3, 100, 100, start=start)
        boxes = Boxes("a", frames, np.array([0, 0, 2]), np.full((3, 4), 5.0), track, label=label)
        write_mot(tmp_path, boxes)
        again = read_sequence(tmp_path / "a")
        assert again.label is not None and again.label.tolist() == label.tolist()
        assert list(again.tracks()) == ["1", "2"]  # names that are no numbers are numbered
        np.testing.assert_allclose(again.frames.seconds, seconds)
        assert again.frames.start == start
        assert (tmp_path / "a" / "times.csv").exists() == (seconds[1] == 10.5)
    moved = Frames(np.array([4, 5]), np.array([0.0, 2.0]), (None,) * 2, start=start)
    write_mot(tmp_path / "moved", Boxes("b", moved, np.array([0]), np.ones((1, 4)), track[:1]))
    late = read_sequence(tmp_path / "moved").frames
    assert late.start == start - timedelta(seconds=6) and late.seconds[3] == 6.0  # frames 1 to 3 are known of


def test_detections_and_results(tmp_path: Path) -> None:
    frames = Frames(np.array([1, 2]), np.full(2, np.nan), (None, None), 100, 100, frame_rate=2.0)
    place, box = np.array([0, 0, 1]), np.array([[0, 0, 5, 5], [10, 10, 5.5, 5], [20, 20, 5, 5.25]])
    confidence = np.array([0.9, 0.123456789, np.nan])
    found = Boxes("a", frames, place, box, confidence=confidence)
    (written,) = write_mot(tmp_path, found)
    assert written == tmp_path / "a" / "det" / "det.txt"
    assert written.read_text().splitlines()[1] == "1,-1,11,11,5.5,5,0.123456789,-1,-1,-1"
    again = read_sequence(tmp_path / "a")
    assert again.track is None and again.confidence is not None
    np.testing.assert_allclose(again.confidence, [0.9, 0.123456789, -1])
    with pytest.raises(BiocosmosError, match="without tracks"):
        write_mot(tmp_path, found, kind="gt")
    tracked = Boxes("a", frames, place, box, np.array(["3", "4", "3"], object), confidence)
    (results,) = write_mot(tmp_path / "r", tracked, kind="results")
    back = read_sequence(results)
    assert results == tmp_path / "r" / "a.txt" and back.track is not None and back.track.tolist() == ["3", "4", "3"]
    alone = write_mot(tmp_path / "one.txt", tracked)
    assert alone == [tmp_path / "one.txt"] and len(rows_of(alone[0])[0]) == 9
    with pytest.raises(BiocosmosError, match="name a folder"):
        write_mot(tmp_path / "two.txt", [tracked, tracked])
    with pytest.raises(BiocosmosError, match="different names"):
        write_mot(tmp_path, [tracked, tracked])
    with pytest.raises(BiocosmosError, match="no kind"):
        write_mot(tmp_path, tracked, kind="truth")


def test_raw_numbers_are_those_of_the_file(tmp_path: Path) -> None:
    rows = [[1, 1, -5.5, 10, 20, 20, 0, 7, 0.25], [1, 2, 10, 10, 0, 20, 1, 1, 1], [2, 1, 900, 10, 20, 20, 1, 1, 1]]
    folder = lay_out(tmp_path / "night", rows)
    raw = read_sequence(folder, raw=True)
    assert raw.raw is not None and raw.raw.tolist() == rows
    assert raw.box[0].tolist() == [-6.5, 9, 20, 20]
    assert len(read_sequence(folder)) == 0
    with pytest.raises(BiocosmosError, match="MOTChallenge"):
        read_sequences(tmp_path / "none.json", raw=True)
