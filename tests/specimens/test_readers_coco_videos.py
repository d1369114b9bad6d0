"""COCO of videos: frames and tracks as specimens, by the two spellings in use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import biocosmos
from biocosmos.errors import Failures
from biocosmos.sequences import read_sequences, sequences_of
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.readers import read

IMAGES = [("v1/000.jpg", 1, 0), ("v1/001.jpg", 1, 1), ("v1/003.jpg", 1, 3), ("v2/000.jpg", 2, 0)]


def dataset(folder: Path, frame: str, track: str) -> Path:
    """Two videos; in the first a track over a gap and one that comes twice in a frame, in the second nothing."""
    images = []
    for number, (name, video, place) in enumerate(IMAGES, 1):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (100, 50)).save(folder / name)
        images.append({"id": number, "file_name": name, "video_id": video, frame: place, "width": 100, "height": 50})
    boxes = [
        (1, 7, [1, 2, 10, 10]),
        (1, 8, [50, 20, 10, 10]),
        (3, 7, [3, 2, 10, 10]),
        (3, 7, [4, 4, 10, 10]),
        (1, -1, [9, 9, 9, 9]),
    ]
    annotations = [
        {"id": i, "image_id": image, track: own, "category_id": 1, "bbox": box, "visibility": 0.5, "score": 0.25, "video_id": 1}
        for i, (image, own, box) in enumerate(boxes, 1)
    ]
    videos = [{"id": 1, "name": "pond", "fps": 5}, {"id": 2, "name": "meadow"}]
    whole = {"videos": videos, "images": images, "annotations": annotations, "categories": [{"id": 1, "name": "newt"}]}
    path = folder / "videos.json"
    path.write_text(json.dumps(whole))
    return path


@pytest.mark.parametrize(("frame", "track"), [("frame_id", "instance_id"), ("frame_index", "track_id")])
def test_frames_and_tracks(tmp_path: Path, frame: str, track: str) -> None:
    path, failures = dataset(tmp_path, frame, track), Failures()
    rows: list[dict[str, Any]] = [row for batch in read(path, empty=True, failures=failures).batches for row in batch.to_pylist()]
    assert [(row["sequence"], row["frame"], row["track"], row["empty"]) for row in rows] == [
        ("pond", 0, "7", False),
        ("pond", 0, "8", False),
        ("pond", 3, "7", False),
        ("pond", 0, None, False),
        ("pond", 1, None, True),
        ("meadow", 0, None, True),
    ]
    first = rows[0]
    assert first["visibility"] == 0.5 and first["detection_confidence"] == 0.25 and first["frame_rate"] == 5.0
    assert first["label"] == "newt" and first["crop"] == [1, 2, 10, 10] and frame not in first and track not in first
    reasons = [(row.severity, row.row, row.reason) for row in failures]
    assert ("error", 4, "the track '7' has a second box in frame 3 (first in row 3): left out") in reasons
    pond, meadow = read_sequences(path, format="coco-video")
    assert (pond.name, meadow.name, len(pond), len(meadow)) == ("pond", "meadow", 4, 0)
    assert pond.frames.number.tolist() == [0, 1, 3] and pond.frame.tolist() == [0, 0, 0, 2]
    (tmp_path / "v1" / "003.jpg").unlink()
    lost = read_sequences(path, failures=failures)[0]
    assert lost.frames.files[2] is None and len(lost) == 4 and lost.frames.files[0] is not None
    assert any(row.reason.startswith("1 frame has no picture on disk, first ") for row in failures)
    dataset(tmp_path, frame, track)
    collection = Collection.create(tmp_path / "c.cosmos")
    collection.add(biocosmos.read(path, empty=True))
    kept = next(iter(sequences_of(collection)))
    assert kept.box.tolist() == pond.box.tolist() and (kept.frames.width, kept.frames.height) == (100, 50)
    assert kept.frames.frame_rate == 5.0 and kept.tracks().keys() == {"7", "8"}


def test_coco_of_pictures_keeps_empty_ones_too(tmp_path: Path) -> None:
    path = dataset(tmp_path, "frame_id", "track_id")
    plain = json.loads(path.read_text())
    for image in plain["images"]:
        del image["video_id"]
    path.write_text(json.dumps(plain))
    rows = [row for batch in read(path, empty=True).batches for row in batch.to_pylist()]
    assert [row["empty"] for row in rows] == [None] * 5 + [True, True] and "sequence" not in rows[0]
    failures = Failures()
    assert sum(batch.num_rows for batch in read(path, failures=failures).batches) == 5
    assert "2 images have no annotation: left out (--empty keeps them)" in [row.reason for row in failures]
