"""Sequences of camera traps: frames in order of time, pictures in which nothing is, deployments."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import biocosmos
from biocosmos.errors import BiocosmosError
from biocosmos.sequences import read_sequences, sequences_of
from biocosmos.specimens.collection import Collection


def photo(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((50, 100, 3), level, np.uint8)).save(path)


def test_megadetector(tmp_path: Path) -> None:
    times = {"B/2.jpg": "21:00:05", "B/10.jpg": "21:00:05", "A/1.jpg": "05:00:00", "B/1.jpg": "21:00:00", "B/3.jpg": "21:05:00"}
    images = []
    for level, (name, time) in enumerate(times.items()):
        photo(tmp_path / name, level)
        found = [{"category": "1", "conf": 0.9, "bbox": [0.1, 0.2, 0.5, 0.5]}] * (0 if name == "B/3.jpg" else 2)
        images.append({"file": name, "detections": found, "datetime": f"2026:07:01 {time}"})
    path = tmp_path / "detections.json"
    path.write_text(json.dumps({"images": images, "detection_categories": {"1": "animal"}, "info": {}}))
    collection = Collection.create(tmp_path / "c.cosmos")
    collection.add(biocosmos.read(path, empty=True))
    for found in (list(sequences_of(collection)), read_sequences(path)):
        b, a = found
        assert (b.name, a.name) == ("B", "A")  # of the folder, for want of sequences
        assert [Path(str(file)).name for file in b.frames.files] == ["1.jpg", "2.jpg", "10.jpg", "3.jpg"]
        assert b.frames.seconds.tolist() == [0, 5, 5, 300] and b.frames.number.tolist() == [1, 2, 3, 4]
        assert b.frame.tolist() == [0, 0, 1, 1, 2, 2] and len(a) == 2  # nothing in the last
        np.testing.assert_allclose(b.box[0], [10, 10, 50, 25], atol=1e-5)
        assert b.track is None and b.confidence is not None and b.confidence[0] == 0.9
        assert (b.frames.width, b.frames.height) == (100, 50)
    assert [boxes.name for boxes in sequences_of(collection, by="station", where="detection_confidence > 0.5")] == ["B", "A"]


def test_pictures_without_frames_are_no_sequence(tmp_path: Path) -> None:
    photo(tmp_path / "photos" / "a.jpg", 1)
    with pytest.raises(BiocosmosError, match=r"\(folder\) has no frames of a sequence: these formats have: .*mot"):
        read_sequences(tmp_path / "photos")
    with pytest.raises(BiocosmosError, match="no file or folder"):
        read_sequences(tmp_path / "nowhere")


def test_camtrap_dp(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    photo(folder / "media" / "a.jpg", 0)
    photo(folder / "media" / "b.jpg", 1)
    photo(folder / "media" / "c.jpg", 2)
    tables = {
        "deployments": "deploymentID,latitude,longitude,deploymentStart,deploymentEnd\n"
        "d1,1,2,2026-07-01T00:00:00Z,2026-07-02T00:00:00Z\n",
        "media": "mediaID,deploymentID,timestamp,filePath,filePublic,fileMediatype\n"
        + "".join(f"m{i},d1,2026-07-01T10:00:{i}0Z,media/{name}.jpg,true,image/jpeg\n" for i, name in enumerate("cab")),
        "observations": "observationID,deploymentID,mediaID,eventID,eventStart,eventEnd,observationLevel,observationType,"
        "scientificName,bboxX,bboxY,bboxWidth,bboxHeight\n"
        "o1,d1,m2,e1,2026-07-01T10:00:00Z,2026-07-01T10:01:00Z,media,animal,Vulpes vulpes,0.1,0.2,0.5,0.5\n"
        "o2,d1,m0,e1,2026-07-01T10:00:00Z,2026-07-01T10:01:00Z,media,animal,Vulpes vulpes,0.1,0.2,0.5,0.5\n"
        "o3,d1,m1,e1,2026-07-01T10:00:00Z,2026-07-01T10:01:00Z,media,blank,,,,,\n",
    }
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text)
    resources = [{"name": name, "path": f"{name}.csv"} for name in tables]
    (folder / "datapackage.json").write_text(json.dumps({"resources": resources}))
    collection = Collection.create(tmp_path / "c.cosmos")
    collection.add(biocosmos.read(folder, empty=True))
    for (boxes,) in (list(sequences_of(collection)), read_sequences(folder)):
        assert boxes.name == "e1" and boxes.frames.seconds.tolist() == [0, 10, 20]
        assert [Path(str(file)).name for file in boxes.frames.files] == ["c.jpg", "a.jpg", "b.jpg"]
        assert boxes.frame.tolist() == [0, 2] and boxes.ids is not None and boxes.ids.tolist() == ["o2", "o1"]
        assert boxes.label is not None and boxes.label.tolist() == ["Vulpes vulpes"] * 2
    assert [boxes.name for boxes in sequences_of(collection, by="deployment")] == ["d1"]
