"""Boxes as detectors and annotators write them: turned photos, odd numbers, doubled ids, names of other computers."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.images import read_image
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.readers import read

Rows = list[dict[str, Any]]
WIDE, HIGH = 60, 40  # of every photo as stored
RED = (30, 5, 20, 10)  # where it is red, in stored pixels


def photo(path: Path, orientation: int = 1, format: str = "PNG") -> Path:
    """A black photo with one red box, which EXIF may turn."""
    stored = np.zeros((HIGH, WIDE, 3), np.uint8)
    x, y, w, h = RED
    stored[y : y + h, x : x + w] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    out = io.BytesIO()
    Image.fromarray(stored).save(out, format, exif=exif)
    path.write_bytes(out.getvalue())
    return path


def upright(orientation: int) -> tuple[int, int, int, int]:
    """Where the red box is once the photo is upright: looked for, not computed."""
    stored = np.zeros((HIGH, WIDE), bool)
    x, y, w, h = RED
    stored[y : y + h, x : x + w] = True
    turned = {
        1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1],
        5: stored.T, 6: np.rot90(stored, -1), 7: stored[::-1, ::-1].T, 8: np.rot90(stored),
    }[orientation]  # fmt: skip
    rows, columns = np.nonzero(turned)
    left, top = columns.min(), rows.min()
    return int(left), int(top), int(columns.max() - left + 1), int(rows.max() - top + 1)


def write(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def coco(images: Any, annotations: Any, categories: Any = ({"id": 1, "name": "fox"},)) -> dict[str, Any]:
    return {"images": images, "annotations": annotations, "categories": categories}


def rows_of(path: Path, **options: Any) -> tuple[Rows, Failures]:
    failures = Failures()
    source = read(path, failures=failures, **options)
    return [row for batch in source.batches for row in batch.to_pylist()], failures


def is_red(row: dict[str, Any]) -> bool:
    pixels = read_image(row["image_path"], crop=tuple(row["crop"])).pixels
    return bool((pixels == (255, 0, 0)).all()) and pixels.shape[0] * pixels.shape[1] == RED[2] * RED[3]


def reasons(failures: Failures, severity: str = "warning") -> list[str]:
    return [row.reason for row in failures if row.severity == severity]


# ---------------------------------------------------------------- photos that EXIF turns


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("frame", ["stored", "upright"])
def test_the_crop_shows_what_the_box_was_drawn_round_whichever_way_the_photo_is_turned(
    tmp_path: Path, orientation: int, frame: str
) -> None:
    photo(tmp_path / "a.png", orientation)
    size = (WIDE, HIGH) if frame == "stored" or orientation < 5 else (HIGH, WIDE)
    box = RED if frame == "stored" else upright(orientation)
    image = {"id": 1, "file_name": "a.png", "width": size[0], "height": size[1]}
    file = write(tmp_path / "x.json", coco([image], [{"id": 1, "image_id": 1, "category_id": 1, "bbox": box}]))
    (row,), failures = rows_of(file, boxes=frame)
    assert is_red(row)
    (row,), failures = rows_of(file)
    if orientation >= 5:  # width and height tell
        assert is_red(row)
        assert reasons(failures) == (
            ["1 boxes are of photos as stored, which EXIF turns: turned with them"] if frame == "stored" else []
        )
    elif orientation > 1:  # they cannot
        assert [reason for reason in reasons(failures) if "may be of it as stored or upright" in reason]
        assert row["crop"] == list(map(float, box))


def test_photos_whose_sides_cannot_tell_follow_the_others_of_their_file(tmp_path: Path) -> None:
    photo(tmp_path / "down.png", 3)
    photo(tmp_path / "side.png", 6)
    images = [{"id": i, "file_name": name, "width": WIDE, "height": HIGH} for i, name in enumerate(["down.png", "side.png"])]
    boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": RED} for i in range(2)]
    rows, failures = rows_of(write(tmp_path / "x.json", coco(images, boxes)))
    assert all(map(is_red, rows)) and "2 boxes are of photos as stored" in reasons(failures)[0]


def test_a_size_that_is_not_the_files_is_told_once(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    image = {"id": 1, "file_name": "a.png", "width": 600, "height": 400}
    boxes = [{"id": i, "image_id": 1, "category_id": 1, "bbox": RED} for i in range(3)]
    rows, failures = rows_of(write(tmp_path / "x.json", coco([image], boxes)))
    assert len(rows) == 3
    assert reasons(failures) == ["the image is said to have 600 x 400 pixels, its file has 60 x 40: its boxes may be off"]


# ---------------------------------------------------------------- ids and names


def test_annotations_with_the_same_id_are_all_there(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    boxes = [{"id": 7, "image_id": 1, "category_id": 1, "bbox": [i, i, 5, 5]} for i in range(3)]
    boxes += [{"image_id": 1, "category_id": 1, "bbox": [9, 9, 5, 5]}, {"id": "7", "image_id": "1", "category_id": 1.0}]
    rows, failures = rows_of(write(tmp_path / "x.json", coco([{"id": 1, "file_name": "a.png"}], boxes)))
    assert [row["id"] for row in rows] == ["a.png#7", "a.png#7-2", "a.png#7-3", "a.png#4", "a.png#7-4"]
    assert {row["label"] for row in rows} == {"fox"}
    assert len([reason for reason in reasons(failures) if "a further annotation with the id 7" in reason]) == 3


def test_an_id_of_two_images_or_two_categories_is_not_guessed_at(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        photo(tmp_path / name)
    images = [{"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}, {"id": 2, "file_name": "b.png"}]
    categories = [{"id": 1, "name": "fox"}, {"id": 1, "name": "hare"}, {"id": 2, "name": "owl"}, "no category", {"name": "x"}]
    boxes = [{"id": i, "image_id": i, "category_id": i, "bbox": RED} for i in (1, 2)]
    boxes.append({"id": 3, "image_id": 2, "category_id": 1, "bbox": RED})
    rows, failures = rows_of(write(tmp_path / "x.json", coco(images, boxes, categories)))
    assert [(row["id"], row["label"]) for row in rows] == [("b.png#2", "owl"), ("b.png#3", None)]
    assert [reason for reason in reasons(failures, "error") if "is that of 2 images (a.png, b.png)" in reason]
    assert [reason for reason in reasons(failures) if "several names (fox, hare)" in reason]
    assert len([reason for reason in reasons(failures, "error") if "is not an object with an id" in reason]) == 2


def test_names_of_other_computers_are_found_by_their_end_and_never_lead_outside(tmp_path: Path) -> None:
    photo(tmp_path / "a" / "set" / "images" / "Ä b.png")
    photo(tmp_path / "secret.png")
    names = ["images\\Ä b.png", "D:\\work\\images\\A\u0308 b.png", "/home/anna/set/images/Ä b.png"]
    bad = [str(tmp_path / "secret.png"), "../../../secret.png", "..\\..\\..\\secret.png", "a\0b.png", "x\ud800.png"]
    images = [{"id": i, "file_name": name} for i, name in enumerate([*names, *bad])]
    boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": RED} for i in range(len(images))]
    rows, failures = rows_of(write(tmp_path / "a" / "set" / "x.json", coco(images, boxes)))
    assert [Path(row["image_path"]).name for row in rows if Path(row["image_path"]).is_file()] == ["Ä b.png"] * 3
    assert len([reason for reason in reasons(failures, "error") if "leads outside the folder: refused" in reason]) == 4
    assert not [row for row in rows if "secret" in row["image_path"]]


# ---------------------------------------------------------------- numbers that are none

DEEP = "[" * 10_000 + "]" * 10_000
ODD = [
    None, "7", "x", "", [], [1], {}, {"a": 1}, True, -1, 0, 0.5, 7.0, 1e300, 2**70, float("nan"), float("inf"), "\ud800", "a\0b",
    "x" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_whatever_stands_in_place_of_a_number_is_a_row_or_a_failure(tmp_path: Path, seed: int) -> None:
    photo(tmp_path / "a.png")
    rng = random.Random(seed)
    whole = coco(
        [{"id": i, "file_name": "a.png", "width": 60, "height": 40, "date": "2020"} for i in range(3)],
        [{"id": i, "image_id": i % 3, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0} for i in range(6)],
        [{"id": 1, "name": "fox", "supercategory": "beast"}],
    )
    for _ in range(4):
        part = rng.choice(list(whole.values()))
        at = rng.randrange(len(part))
        if rng.random() < 0.2:
            part[at] = rng.choice(ODD)
        elif isinstance(part[at], dict) and part[at]:
            key = rng.choice(list(part[at]))
            if key == "bbox" and isinstance(part[at][key], list) and rng.random() < 0.7:
                part[at][key] = [rng.choice([*ODD, 5]) for _ in range(rng.choice([3, 4, 4, 4, 5]))]
            elif rng.random() < 0.3:
                del part[at][key]
            else:
                part[at][key] = rng.choice(ODD)
    rows, failures = rows_of(write(tmp_path / "x.json", whole))
    assert len({row["id"] for row in rows}) == len(rows)
    assert len(rows) + len([f for f in failures if f.severity == "error"]) >= 6


def test_thousands_of_digits_and_of_brackets(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    digits = "9" * 10_000
    text = '{"images": [{"id": 1, "file_name": "a.png", "width": %s}], "annotations": [{"id": %s, "image_id": 1, "area": %s}]}'
    (row,), _ = rows_of(write(tmp_path / "x.json", text % (digits, digits, digits)))
    assert row["area"] == digits and row["id"] == f"a.png#{digits}"
    for deep in ('{"images": [%s], "annotations": [1]}', '{"info": %s}', '{"annotations": [{"id": 1, "x": %s}], "images": [1]}'):
        with pytest.raises(BiocosmosError, match="nested too deep"):
            rows_of(write(tmp_path / "x.json", deep % DEEP))


def test_a_thousand_different_fields_are_not_a_thousand_columns(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    boxes = [{"id": i, "image_id": 1, "category_id": 1, f"f{i}": i, "": 1, " ": 2} for i in range(1000)]
    rows, failures = rows_of(write(tmp_path / "x.json", coco([{"id": 1, "file_name": "a.png"}], boxes)))
    assert len(rows) == 1000 and len(rows[0]) < 520
    assert [reason for reason in reasons(failures) if "more than 500 different fields" in reason]


NAMES = [
    "_rowid",
    "a.b",
    "`x`",
    " ",
    "embedding/x",
    "content_hash",
    "width",
    "\ud800",
    "x\0y",
    "id",
    "label",
    "LABEL",
    "crop",
    "date",
]
NAMES += ["latitude", "genus", "species", "barcode", "text", "image", "image_path", "split", "x" * 400]


@pytest.mark.parametrize("part", ["images", "annotations", "categories"])
def test_fields_of_any_name_go_into_a_collection(tmp_path: Path, part: str) -> None:
    photo(tmp_path / "a.png")
    whole = coco(
        [{"id": 1, "file_name": "a.png"}],
        [{"id": i, "image_id": 1, "category_id": 1} for i in range(4)],
        [{"id": 1, "name": "fox"}],
    )
    own = {"id", "file_name", "image_id", "category_id"}
    values = [odd for odd in ODD if odd != "a\0b"]  # a NUL is refused when it is stored
    for i, element in enumerate(whole[part]):
        element |= {name: values[(i + place) % len(values)] for place, name in enumerate(NAMES) if name not in own}
    collection = Collection.create(tmp_path / "x.cosmos")
    assert collection.add(read(write(tmp_path / "x.json", whole))).added == 4
    assert set(collection.table(["label"])["label"].to_pylist()) == {"fox"}


def test_coco_camera_traps_have_deployment_sequence_and_time(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    image = {"id": "x", "file_name": "a.png", "location": 26, "seq_id": "6f08", "datetime": "2012-04-06 12:05:47", "frame_num": 1}
    categories = [{"id": 0, "name": "empty"}, {"id": 1, "name": "fox"}]
    boxes = [{"id": "p", "image_id": "x", "category_id": 1, "bbox": RED}, {"id": "q", "image_id": "x", "category_id": 0}]
    rows, failures = rows_of(write(tmp_path / "x.json", coco([image], boxes, categories)))
    assert [(row["id"], row["label"]) for row in rows] == [("a.png#p", "fox"), ("a.png#q", "empty")] and len(failures) == 0
    for row in rows:
        assert (row["deployment"], row["sequence"], row["date"], row["time"]) == ("26", "6f08", "2012-04-06T12:05:47", "12:05:47")
        assert row["frame_num"] == 1 and not {"location", "seq_id", "datetime"} & set(row)
    for odd in ({"a": 1}, [2], None, 3.5, "sometimes"):
        strange = image | {"location": odd, "seq_id": odd, "datetime": odd}
        assert len(rows_of(write(tmp_path / "x.json", coco([strange], boxes, categories)))[0]) == 2
