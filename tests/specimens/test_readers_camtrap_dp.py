"""Camtrap DP packages, with tables written out as the published standard has them (https://camtrap-dp.tdwg.org, 1.0)."""

from __future__ import annotations

import csv
import io
import json
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.images import read_image
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.readers import detect, read

Rows = list[dict[str, Any]]
DEPLOYMENTS = [
    "deploymentID",
    "locationID",
    "locationName",
    "latitude",
    "longitude",
    "deploymentStart",
    "deploymentEnd",
    "cameraID",
    "habitat",
]
MEDIA = [
    "mediaID",
    "deploymentID",
    "captureMethod",
    "timestamp",
    "filePath",
    "filePublic",
    "fileName",
    "fileMediatype",
    "exifData",
    "mediaComments",
]
OBSERVATIONS = [
    "observationID",
    "deploymentID",
    "mediaID",
    "eventID",
    "eventStart",
    "eventEnd",
    "observationLevel",
    "observationType",
    "scientificName",
    "count",
    "lifeStage",
    "sex",
    "bboxX",
    "bboxY",
    "bboxWidth",
    "bboxHeight",
    "classificationMethod",
    "classifiedBy",
    "classificationProbability",
    "observationComments",
]


def picture(shade: int, orientation: int = 1) -> bytes:
    """100 x 50, white in x 10..30, y 5..25 of the upright picture."""
    width, height = (50, 100) if orientation >= 5 else (100, 50)
    pixels = np.full((height, width, 3), shade, np.uint8)
    pixels[5:25, 10:30] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(np.rot90(pixels, 1)) if orientation == 6 else pixels).save(out, "PNG", exif=exif)
    return out.getvalue()


def lines(header: list[str], records: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


def medium(id: str, at: str, deployment: str = "d1", **more: Any) -> dict[str, Any]:
    known = {"mediaID": id, "deploymentID": deployment, "timestamp": f"2020-05-30T{at}Z", "filePath": f"media/{id}.png"}
    return known | {"filePublic": "true", "fileName": f"{id}.png", "fileMediatype": "image/png"} | more


def seen(id: str, media: str = "", name: str = "", level: str = "media", **more: Any) -> dict[str, Any]:
    known = {"observationID": id, "deploymentID": "d1", "mediaID": media, "observationLevel": level, "scientificName": name}
    return known | {"observationType": "animal" if name else "blank", "eventID": "e1"} | more


def event(id: str, name: str, start: str, end: str, **more: Any) -> dict[str, Any]:
    return seen(id, "", name, "event", eventStart=f"2020-05-30T{start}Z", eventEnd=f"2020-05-30T{end}Z") | more


def package(media: list[Any], observations: list[Any], deployments: list[Any] | None = None, **more: Any) -> dict[str, str]:
    place = {"deploymentID": "d1", "locationName": "beek", "latitude": "51.181", "longitude": "5.655", "habitat": "marsh"}
    resources = [
        {"name": name, "path": f"{name}.csv", "profile": "tabular-data-resource"}
        for name in ("deployments", "media", "observations")
    ]
    taxa = [
        {
            "scientificName": "Anas platyrhynchos",
            "taxonRank": "species",
            "family": "Anatidae",
            "vernacularNames": {"en": "mallard"},
        }
    ]
    described = {
        "resources": resources,
        "profile": "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0.1/camtrap-dp-profile.json",
    }
    return {
        "datapackage.json": json.dumps(described | {"taxonomic": taxa} | more),
        "deployments.csv": lines(DEPLOYMENTS, [place] if deployments is None else deployments),
        "media.csv": lines(MEDIA, media),
        "observations.csv": lines(OBSERVATIONS, observations),
    }


def put(folder: Path, files: dict[str, str], pictures: dict[str, bytes] | None = None) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    for name, data in (pictures or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def rows_of(path: Path, **options: Any) -> tuple[Rows, Failures]:
    failures = Failures()
    source = read(path, failures=failures, **options)
    return [row for batch in source.batches for row in batch.to_pylist()], failures


def reasons(failures: Failures, severity: str = "warning") -> list[str]:
    return [f.reason for f in failures if f.severity == severity]


WHOLE = package(
    [medium(f"m{i}", f"02:57:3{i}") for i in range(4)] + [medium("m4", "20:00:00"), medium("m5", "21:00:00", "d9")],
    [
        seen("o1", "m0", "Anas platyrhynchos", bboxX=0.1, bboxY=0.1, bboxWidth=0.2, bboxHeight=0.4, count=1, sex="female"),
        seen("o2", "m0", "Anas platyrhynchos", count=9, lifeStage="juvenile"),
        seen("o3", "m1", classificationMethod="machine", classificationProbability=0.75),
        seen("o4", "m2", observationType="human"),
        event("e", "Anas platyrhynchos", "02:57:30", "02:57:39"),
        event("f", "Rattus norvegicus", "22:00:00", "22:00:10"),
    ],
)
PICTURES = {f"media/m{i}.png": picture(10 * i) for i in range(6)}


def check_whole(rows: Rows, failures: Failures) -> None:
    assert [(row["id"], row["label"], row["crop"] is not None) for row in rows] == [
        ("o1", "Anas platyrhynchos", True),
        ("o2", "Anas platyrhynchos", False),
        ("o3", "blank", False),
        ("m3", "Anas platyrhynchos", False),
        ("m4", None, False),
        ("m5", None, False),
    ]
    first, second, third, fifth, _, last = rows
    assert first["crop"] == pytest.approx([10, 5, 20, 20])
    assert (first["deployment"], first["sequence"], first["date"], first["time"]) == (
        "d1",
        "e1",
        "2020-05-30T02:57:30+00:00",
        "02:57:30",
    )
    assert (first["latitude"], first["longitude"], first["locationName"], first["habitat"]) == (51.181, 5.655, "beek", "marsh")
    assert (first["genus"], first["species"], first["family"]) == ("Anas", "Anas platyrhynchos", "Anatidae")
    assert (first["count"], second["count"], second["lifeStage"], third["classificationProbability"]) == (1, 9, "juvenile", 0.75)
    assert (fifth["observationLevel"], fifth["sequence"]) == ("event", "e1")
    assert (last["latitude"], last["deployment"]) == (None, "d9")
    assert reasons(failures) == [
        "1 observations of type human: left out, they are no specimens",
        "2 media without an observation: kept, unlabelled",
        "1 specimens have a deployment that is not in its table: kept without its place",
        "1 observations of events have no picture in their time: left out",
    ]


def test_a_folder_gives_observations_with_place_event_and_time(tmp_path: Path) -> None:
    put(tmp_path / "p", WHOLE, PICTURES)
    for path in (tmp_path / "p", tmp_path / "p" / "datapackage.json"):
        assert detect(path) == "camtrap-dp"
        rows, failures = rows_of(path, empty=True)
        check_whole(rows, failures)
        assert (read_image(rows[0]["image_path"], crop=tuple(rows[0]["crop"])).pixels == 255).all()
    assert Collection.create(tmp_path / "x.cosmos").add(read(tmp_path / "p", empty=True)).added == 6


def test_people_vehicles_and_nothing_are_no_specimens(tmp_path: Path) -> None:
    rows, failures = rows_of(put(tmp_path / "p", WHOLE, PICTURES))
    assert [row["id"] for row in rows] == ["o1", "o2", "m3"]
    assert reasons(failures)[:3] == [
        "1 observations of type blank: left out (--empty keeps them)",
        "1 observations of type human: left out, they are no specimens",
        "2 media without an observation: left out (--empty keeps them)",
    ]
    media = [medium("a", "01:00:05"), medium("b", "01:00:30"), medium("c", "01:00:50"), medium("d", "05:00:00")]
    events = [
        event("e1", "Homo sapiens", "01:00:00", "01:00:10", observationType="human"),
        event("e2", "", "01:00:20", "01:00:40", observationType="Vehicle"),
        event("e3", "Vulpes vulpes", "01:00:25", "01:00:35"),
        event("e4", "", "01:00:45", "01:00:55"),
        seen("o", "d", "Homo sapiens", observationType="human"),
    ]
    put(tmp_path / "q", package(media, events), {f"media/{m['mediaID']}.png": picture(9) for m in media})
    rows, failures = rows_of(tmp_path / "q")
    assert [(row["id"], row["label"]) for row in rows] == [("b", "Vulpes vulpes")]
    assert sorted(reasons(failures)) == [
        "1 media of events of type blank: left out (--empty keeps them)",
        "1 media of events of type human: left out, they are no specimens",
        "1 observations of type human: left out, they are no specimens",
    ]
    rows, _ = rows_of(tmp_path / "q", empty=True)
    assert [(row["id"], row["label"]) for row in rows] == [("b", "Vulpes vulpes"), ("c", "blank")]


@pytest.mark.parametrize("folder", ["", "export/"])
def test_a_zip_is_read_without_unpacking(tmp_path: Path, folder: str) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for name, content in {**WHOLE, **PICTURES}.items():
            archive.writestr(folder + name, content)
    assert detect(tmp_path / "p.zip") == "camtrap-dp"
    rows, failures = rows_of(tmp_path / "p.zip", empty=True)
    check_whole(rows, failures)
    assert (
        rows[0]["image"] == PICTURES["media/m0.png"]
        and (read_image(rows[0]["image"], crop=tuple(rows[0]["crop"])).pixels == 255).all()
    )
    assert [path.name for path in tmp_path.iterdir()] == ["p.zip"]


def test_boxes_are_of_the_upright_picture(tmp_path: Path) -> None:
    box = {"bboxX": 10 / 50, "bboxY": 5 / 100, "bboxWidth": 20 / 50, "bboxHeight": 20 / 100}
    put(tmp_path, package([medium("m", "01:00:00")], [seen("o", "m", "Lepus europaeus", **box)]), {"media/m.png": picture(3, 6)})
    ((row,), failures) = rows_of(tmp_path)
    assert (read_image(row["image_path"], crop=tuple(row["crop"])).pixels == 255).all() and len(failures) == 0


def test_pictures_on_the_web_are_found_where_they_were_downloaded_and_else_kept_by_address(tmp_path: Path) -> None:
    media = [
        medium("a", "01:00:00", filePath="https://x.eu/assets/a/file", fileName="IMG_1.JPG"),
        medium("b", "01:00:01", "d2", filePath="https://x.eu/assets/b/file", fileName="IMG_1.JPG"),
        medium("c", "01:00:02", filePath="https://x.eu/assets/c/file", fileName="IMG_2.JPG"),
        medium("d", "01:00:03", filePath="https://x.eu/assets/d/file", fileName="IMG_3.JPG"),
    ]
    observations = [seen(f"o{m['mediaID']}", m["mediaID"], "Vulpes vulpes", deploymentID=m["deploymentID"]) for m in media]
    pictures = {"media/d1/IMG_1.JPG": picture(1), "media/IMG_1.JPG": picture(2), "media/IMG_2.jpg": picture(3)}
    rows, failures = rows_of(put(tmp_path, package(media, observations), pictures))
    found = [None if row["image_path"] is None else str(Path(row["image_path"]).relative_to(tmp_path)) for row in rows]
    assert found == ["media/d1/IMG_1.JPG", None, "media/IMG_2.jpg", None]  # two are called IMG_1: not guessed at
    assert [row["image_url"] for row in rows] == [None, "https://x.eu/assets/b/file", None, "https://x.eu/assets/d/file"]
    assert any("2 specimens have their image on the web" in reason for reason in reasons(failures))


def test_events_that_overlap_and_taxa_that_differ_are_not_guessed_at(tmp_path: Path) -> None:
    media = [medium("a", "01:00:05"), medium("b", "01:00:30"), medium("c", "01:30:00")]
    events = [
        event("e1", "Vulpes vulpes", "01:00:00", "01:00:10"),
        event("e2", "Lepus europaeus", "01:00:04", "01:00:40", eventID="e2"),
        event("e3", "Vulpes vulpes", "01:29:00", "01:31:00", eventID="e3"),
        event("e4", "Vulpes vulpes", "01:29:30", "01:30:30", eventID="e4", sex="male"),
        event("bad", "Vulpes vulpes", "01:29:30", "nonsense"),
    ]
    rows, failures = rows_of(put(tmp_path, package(media, events), {f"media/{m}.png": picture(1) for m in "abc"}))
    assert [(row["id"], row["label"], row["sequence"]) for row in rows] == [
        *(("a", None, "e1"), ("b", "Lepus europaeus", "e2"), ("c", "Vulpes vulpes", "e3")),
    ]
    assert any("its event has several taxa (Lepus europaeus, Vulpes vulpes)" in reason for reason in reasons(failures))
    assert any("without deploymentID, eventStart and eventEnd" in reason for reason in reasons(failures, "error"))


def test_what_cannot_be_used_is_a_row(tmp_path: Path) -> None:
    box = {"bboxX": 0.1, "bboxY": 0.1, "bboxWidth": 5, "bboxHeight": 0.1}
    media = [
        *(
            medium("a", "01:00:00"),
            medium("a", "01:00:01"),
            medium("", "01:00:02"),
            medium("f", "01:00:03", fileMediatype="video/mp4"),
        ),
        *(
            medium("n", "01:00:04", filePath=""),
            medium("u", "01:00:05", filePath="../../../../etc/passwd"),
            medium("g", "01:00:06"),
        ),
    ]
    observations = [
        *(seen("o1", "a", "Vulpes vulpes"), seen("o1", "a", "Vulpes vulpes"), seen("o2", "lost", "Vulpes vulpes")),
        *(seen("o3", "a", "Vulpes vulpes", **box), seen("o4", "f", "Vulpes vulpes"), seen("o5", "n", "Vulpes vulpes")),
        *(seen("o6", "u", "Vulpes vulpes"), seen("o7", "g", "Vulpes vulpes")),
    ]
    rows, failures = rows_of(put(tmp_path, package(media, observations), {"media/a.png": picture(1)}))
    assert [row["id"] for row in rows] == ["o1", "o1-2", "o7"]  # o7 has no file: ingest says so
    told = {f.id: f.reason for f in failures if f.severity == "error"}
    assert "is not in the table of media" in told["o2"] and "shares of the picture" in told["o3"] and "a film" in told["o4"]
    assert (
        "no filePath" in told["o5"]
        and "leads outside" in told["o6"]
        and "a second row" in told["a"]
        and "no mediaID" in told[None]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"datapackage.json": "{"}, "is damaged: it is no JSON object"),
        ({"datapackage.json": "[" * 9999}, "is damaged: it is no JSON object"),
        ({"datapackage.json": "{}"}, "no resource called deployments"),
        ({"media.csv": "id,path\n1,2\n"}, "has no column mediaID"),
        ({"datapackage.json": '{"resources": [{"name": "media", "path": "../../x.csv"}]}'}, "leads outside"),
        ({"datapackage.json": '{"resources": [{"name": "media", "path": "https://a/media.csv"}]}'}, "download it first"),
        ({"datapackage.json": '{"resources": [{"name": "media"}]}'}, "does not name its one file"),
    ],
)
def test_a_damaged_package_is_one_line(tmp_path: Path, change: dict[str, str], message: str) -> None:
    with pytest.raises(BiocosmosError, match=message):
        read(put(tmp_path, {**WHOLE, **change}), format="camtrap-dp")


@pytest.mark.parametrize("seed", range(30))
def test_cells_of_any_kind_are_specimens_or_told(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    files = dict(WHOLE)
    odd = ["", "nan", "-1", "1e999", "x" * 3000, "NULL", '"', "\0", "é", "9" * 400, "../..", "2020-99-99T00:00:00Z", "0.5"]
    for _ in range(4):
        name = rng.choice(["deployments.csv", "media.csv", "observations.csv"])
        rows = [line.split(",") for line in files[name].splitlines()]
        row = rng.randrange(1, len(rows))
        rows[row][rng.randrange(len(rows[row]))] = rng.choice(odd)
        files[name] = "\n".join(",".join(row) for row in rows) + "\n"
    try:
        rows_, failures = rows_of(put(tmp_path, files, PICTURES), empty=True)
    except BiocosmosError as error:
        assert "\n" not in str(error)
    else:
        assert len(rows_) + failures.errors + failures.warnings >= 7 and len({row["id"] for row in rows_}) == len(rows_)
