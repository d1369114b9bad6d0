"""COCO files that others read as COCO, and that come back as the specimens they were."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from biocosmos.specimens.readers import detect
from biocosmos.specimens.writers import write
from reading import rows_of


def photo(size: tuple[int, int] = (40, 30), turned: bool = False) -> bytes:
    out = io.BytesIO()
    exif = Image.Exif()
    if turned:
        exif[0x0112] = 6
    Image.effect_noise(size, 50).convert("RGB").save(out, "JPEG", exif=exif)
    return out.getvalue()


@pytest.fixture
def specimens(tmp_path: Path) -> pa.Table:
    """Two boxes of one photo, a turned photo, a whole photo that lies elsewhere, a packed one."""
    (tmp_path / "data" / "in").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for path, turned in (("data/in/a.jpg", False), ("data/in/b.jpg", True), ("elsewhere/c.jpg", False)):
        (tmp_path / path).write_bytes(photo(turned=turned))
    paths = ["data/in/a.jpg", "data/in/a.jpg", "data/in/b.jpg", "elsewhere/c.jpg", None]
    return pa.table(
        {
            "id": ["x 1", "x/2", "ü", "4", "5"],
            "image_path": [None if path is None else str(tmp_path / path) for path in paths],
            "image": pa.array([None, None, None, None, photo((20, 20))], pa.large_binary()),
            "crop": pa.array([[1, 2, 10.5, 8], [0.1, 0.2, 40 - 0.1, 29], [3, 5, 20, 30], None, None], pa.list_(pa.float32(), 4)),
            "label": ["Calanus", "Calanus", "egg", None, "egg"],
            "level_1": ["living", "living", "living", None, "other"],
            "level_2": ["Calanus", "Calanus", None, None, None],
            "latitude": [1.5, None, -3.25, None, None],
            "date": ["2020-06-13", None, None, None, None],
            "area": [7.0, None, 2.0, 1.0, None],
            "note": ['quotes " and \n lines', None, None, None, None],
            "nothing": pa.array([None] * 5, pa.string()),
        }
    )


RANKS = ("level_1", "level_2", "label")


def test_specimens_come_back_as_they_were(tmp_path: Path, specimens: pa.Table) -> None:
    done = write(specimens, tmp_path / "data" / "out.json", format="coco", ranks=RANKS)
    assert done.rows == 4 and [f.severity for f in done.failures] == ["warning"] * 2
    assert "without a name, which COCO has no annotation for: 1" in [*done.failures][1].reason
    assert detect(tmp_path / "data" / "out.json") == "coco"
    rows, failures, ranks = rows_of(tmp_path / "data" / "out.json")
    assert ranks == RANKS and len(failures) == 0  # not even a warning
    rows = sorted(rows, key=lambda row: specimens["id"].to_pylist().index(row["id"]))  # the one without a name comes last
    want = specimens.to_pylist()
    for name in ("id", "crop", "label", "level_1", "level_2", "latitude", "date", "note"):
        assert [row.get(name) for row in rows] == [row[name] for row in want], name
    assert [row["image_path"] for row in rows[:3]] == [row["image_path"] for row in want[:3]]
    assert Path(str(rows[3]["image_path"])).read_bytes() == (tmp_path / "elsewhere" / "c.jpg").read_bytes()
    assert Path(str(rows[4]["image_path"])).read_bytes() == want[4]["image"]
    assert "nothing" not in rows[0]


def test_the_file_is_coco_as_its_tools_want_it(tmp_path: Path, specimens: pa.Table) -> None:
    write(specimens, tmp_path / "data" / "out.json", ranks=RANKS)
    coco = json.loads((tmp_path / "data" / "out.json").read_text(encoding="utf-8"))
    images = {image["id"]: image for image in coco["images"]}
    categories = {category["id"]: category for category in coco["categories"]}
    assert len(images) == 4 == len({image["file_name"] for image in coco["images"]})
    sizes = [(image["width"], image["height"]) for image in coco["images"]]
    assert sizes == [(40, 30), (30, 40), (40, 30), (20, 20)]  # the second as EXIF turns it
    assert images[1]["file_name"] == "in/a.jpg"
    for number, box in enumerate(coco["annotations"], 1):
        assert box["id"] == number and box["image_id"] in images and box["iscrowd"] == 0
        assert box["category_id"] in categories
        x, y, width, height = box["bbox"]
        assert x >= 0 and y >= 0 and x + width <= images[box["image_id"]]["width"] + 1e-3 and height > 0
    assert coco["annotations"][3]["bbox"] == [0, 0, 20, 20]  # the whole image
    assert [(c["name"], c.get("supercategory")) for c in coco["categories"]] == [
        ("Calanus", "living"),
        ("egg", "living"),
        ("egg", "other"),
    ]
    assert "NaN" not in (tmp_path / "data" / "out.json").read_text(encoding="utf-8")


def test_a_machines_names_are_said_to_be_a_machines(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": ["a", "b"],
            "image": pa.array([photo(), photo()], pa.large_binary()),
            "family": ["F", "F"],
            "family_confidence": [0.9, 0.4],
            "taxon": ["F", None],
            "rank": ["family", None],
            "confidence": [0.9, None],
            "novelty": [0.1, float("inf")],
            "method": ["linear"] * 2,
        }
    )
    done = write(table, tmp_path / "out.json")
    coco = json.loads((tmp_path / "out.json").read_text())
    (sure,) = coco["annotations"]
    assert (sure["score"], sure["identificationVerificationStatus"], sure["category_id"]) == (0.9, "PredictedByMachine", 1)
    assert len(coco["images"]) == 2 and sure["novelty"] == 0.1
    assert [f.reason[:36] for f in done.failures][-1] == "specimens without a name, which COCO"


def test_a_collection_without_names_is_images_alone(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo())
    table = pa.table({"id": ["a", "b"], "image_path": [str(tmp_path / "a.jpg")] * 2, "depth": [1.0, 2.0]})
    done = write(table, tmp_path / "out.json")
    coco = json.loads((tmp_path / "out.json").read_text())
    assert (coco["annotations"], coco["categories"], len(coco["images"])) == ([], [], 1)
    assert done.rows == 0 and "annotation for: 2;" in next(iter(done.failures)).reason
    rows, failures, _ = rows_of(tmp_path / "out.json")
    assert [(row["id"], row.get("label")) for row in rows] == [("a", None)] and len(failures) == 0


def test_a_number_that_json_lacks_is_told(tmp_path: Path) -> None:
    table = pa.table({"id": ["a"], "image": pa.array([photo()], pa.large_binary()), "label": ["x"], "depth": [float("inf")]})
    done = write(table, tmp_path / "out.json")
    assert "depth is inf, which JSON has no number for: left out" in [f.reason for f in done.failures]


def test_what_has_no_readable_image_is_recorded(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": ["a", "b", "c"],
            "image_path": [str(tmp_path / "gone.jpg"), None, str(tmp_path / "ok.jpg")],
            "label": ["x", "x", "x"],
            "barcode": [None, "ACGT" * 30, None],
        }
    )
    (tmp_path / "ok.jpg").write_bytes(photo())
    done = write(table, tmp_path / "out.json")
    assert done.rows == 1 and [(f.id, f.severity) for f in done.failures] == [("a", "error"), ("b", "error")]


@settings(max_examples=40, deadline=None)
@given(
    boxes=st.lists(
        st.tuples(st.floats(0, 30, width=32), st.floats(0, 20, width=32), st.floats(0.5, 9, width=32)), min_size=1, max_size=5
    ),
    text=st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=9),
)
def test_any_box_and_text_survives(
    tmp_path_factory: pytest.TempPathFactory, boxes: list[tuple[float, float, float]], text: str
) -> None:
    folder = tmp_path_factory.mktemp("coco")
    (folder / "a.jpg").write_bytes(photo())
    crops: list[Any] = [[x, y, size, size] for x, y, size in boxes]
    table = pa.table(
        {
            "id": [f"{i}" for i in range(len(boxes))],
            "image_path": [str(folder / "a.jpg")] * len(boxes),
            "crop": pa.array(crops, pa.list_(pa.float32(), 4)),
            "label": ["egg"] * len(boxes),
            "note": [f"{text}z"] * len(boxes),
        }
    )
    write(table, folder / "out.json")
    rows, _, _ = rows_of(folder / "out.json")
    assert [row["crop"] for row in rows] == table["crop"].to_pylist()  # float32, to the last bit
    assert [row["note"] for row in rows] == table["note"].to_pylist()
