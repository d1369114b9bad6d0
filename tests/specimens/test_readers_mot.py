"""MOTChallenge trees as specimens, and what goes wrong in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.sequences import read_sequences
from biocosmos.specimens.readers import detect, read

Rows = list[dict[str, Any]]
SEQINFO = "[Sequence]\nimDir=img1\nframeRate=0.1\nseqLength={length}\nimWidth=64\nimHeight=48\n"


def sequence(folder: Path, gt: str | None = None, det: str | None = None, *, length: int = 4, pictures: Any = ()) -> Path:
    """A folder of a sequence."""
    for kind, text in (("gt", gt), ("det", det)):
        if text is not None:
            (folder / kind).mkdir(parents=True, exist_ok=True)
            (folder / kind / f"{kind}.txt").write_text(text)
    (folder / "seqinfo.ini").write_text(SEQINFO.format(length=length))
    for number in pictures:
        (folder / "img1").mkdir(exist_ok=True)
        Image.fromarray(np.full((48, 64, 3), number, np.uint8)).save(folder / "img1" / f"{number:06d}.png")
    return folder


def rows_of(path: Path, **options: Any) -> tuple[Rows, Failures]:
    failures = Failures()
    source = read(path, failures=failures, **options)
    return [row for batch in source.batches for row in batch.to_pylist()], failures


def told(failures: Failures) -> list[tuple[str, int | None, str]]:
    return [(row.severity, row.row, row.reason) for row in failures]


def test_boxes_of_tracks_are_specimens(tmp_path: Path) -> None:
    folder = sequence(tmp_path / "night", "1,3,11,21,10,5,1,1,0.5\n2,3,12,21,10,5,1,1,1\n", pictures=range(1, 5))
    assert detect(folder) == detect(tmp_path) == detect(folder / "gt" / "gt.txt") == "mot"
    rows, failures = rows_of(folder, empty=True)
    assert not failures
    assert [row["id"] for row in rows] == ["night/000001#3", "night/000002#3", "night/000003", "night/000004"]
    first, last = rows[0], rows[3]
    assert first["crop"] == [10, 20, 10, 5] and first["track"] == "3" and first["visibility"] == 0.5 and first["empty"] is False
    assert first["image_path"] == str(folder / "img1" / "000001.png") and first["label"] is None
    assert last["empty"] is True and last["crop"] is None and last["frame"] == 4 and last["image_path"] is not None
    without, failures = rows_of(folder)
    assert len(without) == 2 and told(failures) == [("warning", None, "2 frames without a box: left out (--empty keeps them)")]


def test_what_goes_wrong_is_told_with_its_row_and_the_rest_goes_on(tmp_path: Path) -> None:
    lines = {
        "2,1,10,10,20,20,1,1,1": None,
        "1,1,10,10,20,20,1,1,1": "1 row",  # out of order
        "1,1,12,12,20,20,1,1,1": "the track '1' has a second box in frame 1 (first in row 2): left out",
        "1,2,-5,10,20,20,1,1,1": "the box '-5, 10, 20, 20' reaches outside the picture: clipped",
        "1,3,500,10,20,20,1,1,1": "the box [499.0, 9.0, 20.0, 20.0] lies outside the image of 64 x 48",
        "2,3,50,10,0,20,1,1,1": "the box [49.0, 9.0, 0.0, 20.0] has no area",
        "x,3,50,10,5,20,1,1,1": "not numbers by commas: 'x,3,50,10,5,20,1,1,1'",
        "3,4,50,10,5,nan,1,1,1": "a number that is not finite",
        "1.5,4,50,10,5,9,1,1,1": "1.5 is no number of a frame",
        "-2,4,50,10,5,9,1,1,1": "-2 is no number of a frame",
        "4,2": "2 columns where frame, id, left, top, width and height are needed",
        "5,1,10,10,20,20,1,1,1": None,  # a gap, and beyond the four frames of seqinfo.ini
        "5,9,10,10,20,20,0,1,1": None,  # not to be counted
        "6,1,10,10,20,20,1,1,7": None,  # no visibility
    }
    folder = sequence(tmp_path / "night", "\n".join(lines) + "\n", pictures=[1, 2, 5])
    rows, failures = rows_of(folder)
    found = told(failures)
    for row, reason in enumerate(lines.values(), 1):
        if reason is not None and reason != "1 row":
            assert reason in [said for _, own, said in found if own == row], reason
    for reason in (
        "1 row is marked as not to be counted: left out",
        "1 row is of a visibility that is not from 0 to 1: taken as unknown",
        "2 rows are of frames beyond the 4 of seqinfo.ini: kept",
        "1 track is in one frame only: '2'",
        "1 track is not in every frame, first '1' between frames 2 and 5",
        f"the picture of frame 6 is not in {folder / 'img1'}: its boxes are kept without",
        "2 frames without a box: left out (--empty keeps them)",
    ):
        assert reason in [said for *_, said in found], reason
    assert any("stand behind those of a later frame: sorted by frame" in said for *_, said in found)
    assert [(row["frame"], row["track"]) for row in rows] == [(1, "1"), (1, "2"), (2, "1"), (5, "1"), (6, "1")]
    assert rows[1]["crop"] == [0, 9, 14, 20]
    assert rows[4]["image_path"] is None and rows[4]["frame_box"] == [9, 9, 20, 20] and rows[4]["visibility"] is None
    assert failures.errors == 8
    boxes = read_sequences(folder)[0]
    assert boxes.frames.number.tolist() == [1, 2, 3, 4, 5, 6] and boxes.frames.files[5] is None


def test_a_sequence_that_cannot_be_read_leaves_the_others(tmp_path: Path) -> None:
    sequence(tmp_path / "a", "no table at all\n")
    sequence(tmp_path / "b", "1,1,2,2,3,3,1,1,1\n")
    rows, failures = rows_of(tmp_path)
    assert [row["sequence"] for row in rows] == ["b"] and failures.errors == 2  # the row, and that there is no other
    assert [boxes.name for boxes in read_sequences(tmp_path)] == ["b"]
    with pytest.raises(BiocosmosError, match="no row of MOTChallenge"):
        rows_of(tmp_path / "a")
    (tmp_path / "none").mkdir()
    with pytest.raises(BiocosmosError, match=r"no folder with gt/gt.txt or det/det.txt"):
        rows_of(tmp_path / "none", format="mot")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[Sequence]\nframeRate=abc\n", "frameRate is 'abc', no number that can be: taken as unknown"),
        ("[Sequence]\nimWidth=-3\n", "imWidth is '-3', no number that can be: taken as unknown"),
        ("[Sequence]\nstartTime=yesterday\n", "startTime is 'yesterday', no moment as 2026-07-01T22:00:00: taken as unknown"),
        ("[Other]\na=1\n", "has no section [Sequence]: nothing is taken from it"),
        ("name=x\n", "cannot be read: File contains no section headers."),
        ("[Sequence]\nimDir=../..\n", None),  # leads outside: img1 is taken
    ],
)
def test_seqinfo_that_is_wrong_is_told(tmp_path: Path, text: str, problem: str | None) -> None:
    folder = sequence(tmp_path / "a", "1,1,2,2,3,3,1,1,1\n", pictures=[1])
    (folder / "seqinfo.ini").write_text(text)
    rows, failures = rows_of(folder)
    assert rows[0]["image_path"] == str(folder / "img1" / "000001.png")
    reasons = [said for *_, said in told(failures) if "one frame only" not in said]
    assert reasons == ([] if problem is None else [problem])


def test_detections_benchmarks_and_maps(tmp_path: Path) -> None:
    det = "1,-1,11,21,10,5,0.9\n1,-1,31,21,10,5,-0.2\n"
    ten = "3,-1,11,21,10,5,0.9,-1,-1,-1\n"
    root = tmp_path / "MOT17-train"
    for name in ("MOT17-02-DPM", "MOT17-02-FRCNN", "MOT17-02-SDP", "extra"):
        sequence(root / name, "1,1,2,2,3,3,1,1,1\n2,1,2,2,3,3,1,3,1\n", det if name != "extra" else ten)
    rows, failures = rows_of(tmp_path)
    assert {row["sequence"] for row in rows} == {"MOT17-02-SDP", "extra"}
    assert [row["label"] for row in rows] == ["pedestrian", "car", "1", "3"]  # names of the benchmark, else the numbers
    reason = "2 sequences of MOT17 repeat the ground truth of -SDP for another detector: left out"
    assert reason in [said for *_, said in told(failures)]
    rows, _ = rows_of(tmp_path, format="mot-detections")
    assert [(row["id"], row["detection_confidence"]) for row in rows][:2] == [
        ("MOT17-02-SDP/000001#1", 0.9),
        ("MOT17-02-SDP/000001#2", -0.2),
    ]
    assert all(row["track"] is None for row in rows)
    (tmp_path / "seqmaps").mkdir()
    (tmp_path / "seqmaps" / "MOT17-train.txt").write_text("name\nextra\ngone\n")
    rows, failures = rows_of(tmp_path)
    assert {row["sequence"] for row in rows} == {"extra"}
    reasons = [said for *_, said in told(failures)]
    assert "the sequence 'gone' of the seqmap is not there" in reasons and "3 sequences are in no seqmap: left out" in reasons
    pictures = tmp_path / "elsewhere" / "MOT17" / "train" / "extra"
    pictures.mkdir(parents=True)
    sequence(pictures, pictures=[1, 2])
    rows, _ = rows_of(tmp_path / "MOT17-train", images=tmp_path / "elsewhere")
    assert rows[-1]["image_path"] == str(pictures / "img1" / "000002.png") and rows[-1]["crop"] is not None


def test_ten_columns_of_a_truth_are_no_class(tmp_path: Path) -> None:
    sequence(tmp_path / "a", "1,1,2,2,3,3,1,-1,-1,-1\n1,2,2,2,3,3,1,8.5,3.2,0\n")
    (boxes,) = read_sequences(tmp_path)
    assert boxes.label is None and boxes.visibility is None and len(boxes) == 2


def test_species_and_moments_beside_it(tmp_path: Path) -> None:
    folder = sequence(tmp_path / "a", "1,1,2,2,3,3,1,1,1\n2,1,2,2,3,3,1,1,1\n2,2,2,2,3,3,1,1,1\n")
    (folder / "species.csv").write_text("track,label,genus,species\n1,Noctua pronuba,Noctua,Noctua pronuba\n")
    (folder / "times.csv").write_text("frame,date,time\n1,2026-07-01,22:00:00\nx,2026-07-01,22:00:10\n2,2026-07-01,22:00:30.5\n")
    rows, failures = rows_of(folder)
    assert [(row["label"], row["genus"], row["date"]) for row in rows] == [
        ("Noctua pronuba", "Noctua", "2026-07-01T22:00:00"),
        ("Noctua pronuba", "Noctua", "2026-07-01T22:00:30.500000"),
        (None, None, "2026-07-01T22:00:30.500000"),
    ]
    assert ("warning", 2, "frame 'x' with '2026-07-01T22:00:10' is no frame with its moment: left out") in told(failures)
    assert read_sequences(folder)[0].frames.seconds.tolist()[:2] == [0, 30.5]


def test_boxes_of_unknown_pictures_and_for_scorers_are_as_told(tmp_path: Path) -> None:
    rows = "1,1,-4,3,20,20,1,1,1\n2,1,60,3,20,20,1,1,1\n"
    (tmp_path / "TUD").mkdir()
    (tmp_path / "TUD" / "gt.txt").write_text(rows)  # as motmetrics' package has them: no folder gt, no seqinfo.ini
    failures = Failures()
    (boxes,) = read_sequences(tmp_path, failures=failures)
    assert boxes.name == "TUD" and boxes.box.tolist() == [[-5, 2, 20, 20], [59, 2, 20, 20]]
    assert ("warning", 1, "the box '-4, 3, 20, 20' reaches outside the picture: kept, its size is not known") in told(failures)
    assert read_sequences(tmp_path / "TUD" / "gt.txt")[0].name == "TUD"
    folder = sequence(tmp_path / "night", rows)  # 64 x 48
    assert read_sequences(folder)[0].box.tolist() == [[0, 2, 15, 20], [59, 2, 5, 20]]
    assert read_sequences(folder, clip=False)[0].box.tolist() == [[-5, 2, 20, 20], [59, 2, 20, 20]]
