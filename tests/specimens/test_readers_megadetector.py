"""MegaDetector's results files, both kinds, as they are published; and what goes wrong in them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.images import read_image
from biocosmos.settings import UnusedSetting
from biocosmos.specimens.readers import detect, read

Rows = list[dict[str, Any]]


def photo(path: Path, orientation: int = 1) -> Path:
    """100 x 50 as stored, white in x 10..30, y 5..25 once it is upright."""
    width, height = (50, 100) if orientation >= 5 else (100, 50)
    upright = np.zeros((height, width, 3), np.uint8)
    upright[5:25, 10:30] = 255
    back = {1: upright, 3: upright[::-1, ::-1], 6: np.rot90(upright, 1), 8: np.rot90(upright, -1)}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(back).save(path, exif=exif)
    return path


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def results(*images: Any, **more: Any) -> dict[str, Any]:
    return {
        "info": {"format_version": "1.6", "detector": "md_v5a.0.0.pt"},
        "detection_categories": {"1": "animal", "2": "person", "3": "vehicle"},
        "classification_categories": {"0": "fox", "1": "elk"},
        "images": list(images),
    } | more


def found(file: str, *detections: Any, **more: Any) -> dict[str, Any]:
    return {"file": file, "detections": list(detections)} | more


def animal(conf: float = 0.9, bbox: Any = (0.1, 0.1, 0.2, 0.4), category: Any = "1", **more: Any) -> dict[str, Any]:
    return {"category": category, "conf": conf, "bbox": bbox} | more


def rows_of(path: Path, **options: Any) -> tuple[Rows, Failures]:
    failures = Failures()
    source = read(path, failures=failures, **options)
    return [row for batch in source.batches for row in batch.to_pylist()], failures


def reasons(failures: Failures) -> list[tuple[str, str]]:
    return [(row.severity, row.reason) for row in failures]


def test_animals_become_crops_with_deployment_sequence_and_time(tmp_path: Path) -> None:
    photo(tmp_path / "alp/cam1/a.png")
    photo(tmp_path / "alp/cam1/b.png")
    photo(tmp_path / "c.png")
    classified = animal(classifications=[["1", 0.2], ["0", 0.7], ["9", 0.1]])
    file = write(
        tmp_path / "md.json",
        results(
            found("alp/cam1/a.png", classified, animal(0.15), animal(category="2"), animal(0.5, [0.5, 0, 0.5, 1]),
                  datetime="2024:05:01 06:07:08", seq_id="s1", gain=3),
            found("alp\\cam1\\b.png", animal(category=3), animal(category="7")),
            found("c.png"),
        ),
    )  # fmt: skip
    assert detect(file) == "megadetector"
    rows, failures = rows_of(file)
    first, second = rows
    assert (first["id"], second["id"]) == ("alp/cam1/a.png#1", "alp/cam1/a.png#4")
    assert first["crop"] == pytest.approx([10, 5, 20, 20]) and second["crop"] == pytest.approx([50, 0, 50, 50])
    assert (read_image(first["image_path"], crop=tuple(first["crop"])).pixels == 255).all()
    assert (first["label"], first["classification_confidence"], first["detection"]) == ("fox", 0.7, "animal")
    assert json.loads(first["classifications"]) == [["elk", 0.2], ["fox", 0.7]] and second["label"] is None
    for row in rows:
        assert (row["deployment"], row["station"], row["sequence"]) == ("alp/cam1", "alp", "s1")
        assert (row["date"], row["time"], row["gain"]) == ("2024-05-01T06:07:08", "06:07:08", 3)
    assert reasons(failures) == [
        ("warning", "the classification ['9', 0.1] names no class of the file: left out"),
        ("warning", "1 detections of person: left out"),
        ("warning", "1 detections of the unknown category 7: left out"),
        ("warning", "1 detections of vehicle: left out"),
        ("warning", "1 detections of less confidence than 0.2: left out (--confidence)"),
        ("warning", "1 pictures without an animal: left out (--empty keeps them)"),
    ]


def test_the_time_is_that_of_the_pictures_exif_where_the_file_has_none(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2023:12:31 23:59:58"
    Image.new("RGB", (100, 50)).save(tmp_path / "a.jpg", exif=exif)
    Image.new("RGB", (100, 50)).save(tmp_path / "b.jpg")
    rows, failures = rows_of(write(tmp_path / "md.json", results(found("a.jpg", animal()), found("b.jpg", animal()))))
    assert [(row["date"], row["time"]) for row in rows] == [("2023-12-31T23:59:58", "23:59:58"), (None, None)]
    assert len(failures) == 0


def test_confidence_and_empty_pictures_are_the_users(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        photo(tmp_path / name)
    whole = results(
        found("a.png", animal(0.15), animal(0.6)), found("b.png", animal(0.1)), found("c.png", animal(0.9, category="2"))
    )
    file = write(tmp_path / "md.json", whole)
    assert [row["id"] for row in rows_of(file)[0]] == ["a.png#2"]
    assert [row["id"] for row in rows_of(file, confidence=0)[0]] == ["a.png#1", "a.png#2", "b.png#1"]
    rows, failures = rows_of(file, empty=True, confidence=0.3)
    assert [(row["id"], row["crop"], row["detection"]) for row in rows][1:] == [("b.png", None, "empty")]
    assert not any("without an animal" in reason for _, reason in reasons(failures))
    whole["info"]["detector_metadata"] = {"typical_detection_threshold": 0.7}
    assert rows_of(write(file, whole))[0] == []
    with pytest.raises(UnusedSetting, match="--confidence"):
        read(tmp_path, format="folder", confidence=0.5)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_boxes_are_of_the_upright_picture(tmp_path: Path, orientation: int) -> None:
    photo(tmp_path / "a.png", orientation)
    width, height = (50, 100) if orientation >= 5 else (100, 50)
    box = [10 / width, 5 / height, 20 / width, 20 / height]
    for whole in (
        results(found("a.png", animal(bbox=box))),
        [{"file": "a.png", "detections": [{"category": "animal", "confidence": 0.9, "bbox": [10.0, 5.0, 30.0, 25.0]}]}],
    ):
        (row,), failures = rows_of(write(tmp_path / "md.json", whole))
        assert (read_image(row["image_path"], crop=tuple(row["crop"])).pixels == 255).all() and len(failures) == 0
        assert row["detection"] == "animal"


def test_pictures_that_were_not_looked_at_films_and_missing_files_are_told(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    (tmp_path / "text.png").write_text("no picture")
    whole = results(
        {"file": "broken.jpg", "failure": "Failure image access", "detections": None},
        {"file": "odd.jpg"},
        found("film.mp4", animal(frame_number=3), frame_rate=20, frames_processed=[0, 3]),
        found("gone.png", animal()),
        found("text.png", animal()),
        found("../../../etc/passwd", animal()),
        found("a.png", animal()),
        found("a.png", animal()),
        found("a.png"),
    )
    rows, failures = rows_of(write(tmp_path / "md.json", whole))
    assert [(row["id"], row["crop"] is None) for row in rows] == [("gone.png#1", True), ("a.png#1", False)]
    told = [(row.id, row.reason) for row in failures if row.severity == "error"]
    assert told[0] == ("broken.jpg", "MegaDetector could not look at it: Failure image access")
    assert told[1] == ("odd.jpg", "it has no list of detections")
    assert told[2][0] == "film.mp4" and "a film: 1 detections" in told[2][1]
    assert told[3] == ("text.png#1", "the picture cannot be read, so that its box cannot be cut")
    assert "leads outside the folder" in told[4][1]
    assert [reason for _, reason in told[5:]] == ["this picture has come before: its second record is left out"] * 2


ODD = [None, "x", "", [], {}, True, -1, 2, 1e300, float("nan"), "0.5", [1], "\ud800", "a\0b", 10**30]


@pytest.mark.parametrize("seed", range(40))
def test_whatever_stands_in_place_of_a_value_is_a_specimen_or_told(tmp_path: Path, seed: int) -> None:
    photo(tmp_path / "a.png")
    rng = random.Random(seed)
    detections = [animal(classifications=[["0", 0.5]]) for _ in range(4)]
    whole = results(found("a.png", *detections, datetime="2020:01:01 00:00:00", seq_id="x"))
    for _ in range(3):
        part: Any = rng.choice([whole, whole["images"][0], *detections, whole["info"], whole["detection_categories"]])
        key = rng.choice([key for key in part if key != "images"])
        part[key] = rng.choice(ODD)
        if rng.random() < 0.2:
            del part[key]
    try:
        rows, failures = rows_of(write(tmp_path / "md.json", whole), format="megadetector")
    except BiocosmosError as error:
        assert "\n" not in str(error)
    else:
        assert len(rows) + len(failures) >= 1


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    for text in ("{}", "[]", '"x"', "{", "[[", '{"images": 3}', "[" * 20_000):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(BiocosmosError):
            read(tmp_path / "x.json", format="megadetector")
