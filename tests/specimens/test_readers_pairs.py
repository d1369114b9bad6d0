"""Readers of iSatNat and iSoundNat, in the layouts that TaxaBind's loaders ask for, with spoilt rows; and tables by mapping."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.readers import detect


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (90, 120, 60)).save(path)
    return path


def annotations(folder: Path) -> Path:
    """Four images of two species: one where JSON writes 52, one without a place, one without a satellite image."""
    where: list[dict[str, Any]] = [
        {"id": 11, "latitude": 52.05, "longitude": -4.9},
        {"id": 12, "latitude": 52, "longitude": 5.5},
        {"id": 13, "latitude": None, "longitude": None},
        {"id": 14, "latitude": -33.45, "longitude": -70.67},
    ]
    images = []
    for row in where:
        name = f"train_mini/0001_Animalia_Parus_major/{row['id']}.jpg"
        picture(folder / name)
        images.append({"file_name": name, "width": 8, "height": 8, "date": "2019-06-04 12:00:00+00:00", **row})
    ranks = {"kingdom": "Animalia", "genus": "Parus", "name": "Parus major", "common_name": "Great Tit"}
    told = {
        "images": images,
        "categories": [{"id": 1, **ranks}],
        "annotations": [{"id": row["id"], "image_id": row["id"], "category_id": 1} for row in where],
    }
    (folder / "train_mini.json").write_text(json.dumps(told))
    picture(folder / "satellite" / "11_52.05_-4.9.jpeg")
    picture(folder / "satellite" / "12_52_5.5.jpeg")
    return folder / "train_mini.json"


def rows(source: bc.Source) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in pa.Table.from_batches(source.batches).to_pylist()}


def test_isatnat_is_found_and_each_place_has_its_satellite_image(tmp_path: Path) -> None:
    path = annotations(tmp_path / "inat")
    assert detect(path) == detect(path.parent) == "isatnat"
    source = bc.read(path)
    found = {id_.rpartition("#")[2]: row for id_, row in rows(source).items()}
    assert [Path(found[id_]["satellite_path"]).name for id_ in ("11", "12")] == ["11_52.05_-4.9.jpeg", "12_52_5.5.jpeg"]
    assert found["13"]["satellite_path"] is None and found["14"]["satellite_path"] is None
    assert found["11"]["latitude"] == 52.05 and found["11"]["label"] == "Parus major" and found["11"]["genus"] == "Parus"
    said = " ".join(failure.reason for failure in source.failures)
    assert "1 specimens have no place" in said and "1 of 3 satellite images are not in" in said
    assert "14_-33.45_-70.67.jpeg for one" in said
    collection = bc.Collection.create(tmp_path / "sat.cosmos")
    collection.add(bc.read(path))
    assert sum(value is not None for value in collection.table(["satellite_path"])["satellite_path"].to_pylist()) == 2


def test_isatnat_with_satellite_images_elsewhere_or_nowhere(tmp_path: Path) -> None:
    path = annotations(tmp_path / "inat")
    (path.parent / "satellite").rename(tmp_path / "elsewhere")
    assert detect(path) == "coco"
    assert (
        sum(
            row["satellite_path"] is not None
            for row in rows(bc.read(path, format="isatnat", beside=tmp_path / "elsewhere")).values()
        )
        == 2
    )
    with pytest.raises(BiocosmosError, match=r"no folder of satellite images beside it .* name it with --beside"):
        bc.read(path, format="isatnat")


def test_isoundnat_is_found_and_spoilt_rows_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "sounds of birds"
    for id_ in (1, 2):
        picture(folder / "images" / f"{id_}.jpg")
    for name in ("sounds_mp3/1.mp3", "sounds/3.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"RIFF")
    table = folder / "train.csv"
    lines = ["1,Parus major,m4a", "2,Parus major,wav", "3,Sylvia atricapilla,wav", "4,Parus ater,mp3", ",Parus ater,mp3"]
    table.write_text("\n".join(["id,scientific_name,sound_format", *lines]) + "\n")
    assert detect(table) == "isoundnat"
    source = bc.read(table)
    found = rows(source)
    assert sorted(found) == ["1", "2", "3"]
    assert [row["audio_path"] and Path(row["audio_path"]).name for row in found.values()] == ["1.mp3", None, "3.wav"]
    assert [row["image_path"] and Path(row["image_path"]).name for row in found.values()] == ["1.jpg", "2.jpg", None]
    errors = [failure for failure in source.failures if failure.severity == "error"]
    assert [failure.reason for failure in errors] == ["neither 4.jpg nor a sound 4 is there", "no id"]
    said = " ".join(failure.reason for failure in source.failures)
    assert "1 of 5 pictures are not there" in said and "1 of 5 sounds are not there" in said


def test_a_table_of_all_modalities_is_taken_by_its_mapping(tmp_path: Path) -> None:
    """TaxaBench-8k: its columns could not be looked up, so that they are told."""
    picture(tmp_path / "a.jpg")
    table = tmp_path / "bench.csv"
    table.write_text("key,photo,above,heard,bio1,lat,lon\n7,a.jpg,s.jpg,s.mp3,11.5,52.05,5.05\n")
    found = rows(bc.read(table, columns={"above": "satellite_path", "heard": "audio_path", "key": "id"}))["7"]
    assert (found["satellite_path"], found["audio_path"], found["bio1"]) == ("s.jpg", "s.mp3", 11.5)
    collection = bc.Collection.create(tmp_path / "bench.cosmos")
    collection.add(bc.read(table, columns={"above": "satellite_path", "heard": "audio_path", "key": "id"}))
    assert collection.table(["audio_path"])["audio_path"].to_pylist() == [str(tmp_path / "s.mp3")]


def test_odd_ids_and_degrees_end_in_words(tmp_path: Path) -> None:
    path = annotations(tmp_path / "inat")
    told = json.loads(path.read_text())
    told["images"][0] |= {"latitude": "52.05", "longitude": "-4.9"}
    told["images"][1] |= {"latitude": float("nan"), "longitude": 5.5}
    told["images"][3]["latitude"] = "north"
    told["annotations"][3]["id"] = "../../" + "x" * 300 + "\x00"
    path.write_text(json.dumps(told))
    found = rows(bc.read(path))
    assert [row["satellite_path"] is not None for row in found.values()] == [True, False, False]
    table = tmp_path / "odd.csv"
    lines = ["../../inat/train_mini/0001_Animalia_Parus_major/11,Parus major,../wav", "y" * 300 + ",Parus ater,mp3"]
    table.write_text("\n".join(["id,scientific_name,sound_format", *lines]) + "\n")
    (tmp_path / "images").mkdir()
    source = bc.read(table)
    assert not list(source.batches) and len([failure for failure in source.failures if failure.severity == "error"]) == 2
