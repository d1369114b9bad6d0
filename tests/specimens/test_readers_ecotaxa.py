"""EcoTaxa zips, as the web site writes them and as instruments' software does."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.readers import detect, read
from reading import rows_of

HEADER = (
    "img_file_name\timg_rank\tobject_id\tobject_lat\tobject_lon\tobject_date\tobject_time\tobject_annotation_category\t"
    "object_annotation_status\tobject_annotation_hierarchy\tobject_area\tsample_id\tprocess_note"
)
TYPES = "[t]\t[f]\t[t]\t[f]\t[f]\t[t]\t[t]\t[t]\t[t]\t[t]\t[f]\t[t]\t[t]"
COPEPOD = "living>Eukaryota>Arthropoda>Copepoda"


def png(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (5, 4), shade).save(out, "PNG")
    return out.getvalue()


def line(image: str, id: str, category: str = "Copepoda", state: str = "validated", hierarchy: str = COPEPOD, **more: str) -> str:
    area, note = more.get("area", "12.5"), more.get("note", "")
    return "\t".join([image, "0", id, "43.68", "7.31", "20140523", "92530", category, state, hierarchy, area, "s1", note])


def archive(path: Path, table: bytes, images: dict[str, bytes], name: str = "ecotaxa_export.tsv") -> Path:
    with zipfile.ZipFile(path, "w") as out:
        out.writestr(name, table)
        for image, content in images.items():
            out.writestr(image, content)
    return path


def text(*lines: str) -> bytes:
    return "\r\n".join([HEADER, TYPES, *lines, ""]).encode("latin-1")


def test_a_zip_is_read_with_its_hierarchy_places_and_own_columns(tmp_path: Path) -> None:
    table = text(
        line("a.png", "o1", note='"says ""Ångström"", twice"'),
        line("b.png", "o2", "detritus", "predicted", "not-living>detritus", area=""),
        line("c.png", "o3", "", "", ""),
    )
    path = archive(tmp_path / "export.zip", table, {"a.png": png(1), "b.png": png(2), "c.png": png(3)})
    assert detect(path) == "ecotaxa"
    rows, failures, ranks = rows_of(path)
    assert len(failures) == 0
    assert ranks == ("level_1", "level_2", "level_3", "level_4", "label")
    assert [row["id"] for row in rows] == ["o1", "o2", "o3"]
    assert [row["image"] for row in rows] == [png(1), png(2), png(3)]
    assert [row["label"] for row in rows] == ["Copepoda", "detritus", None]
    assert [rows[0][rank] for rank in ranks] == ["living", "Eukaryota", "Arthropoda", "Copepoda", "Copepoda"]
    assert [rows[1][rank] for rank in ranks] == ["not-living", "detritus", None, None, "detritus"]
    assert rows[0]["process_note"] == 'says "Ångström", twice'
    assert (rows[0]["latitude"], rows[0]["object_lat"], rows[0]["longitude"]) == (43.68, 43.68, 7.31)
    assert rows[0]["date"] == "2014-05-23T09:25:30" and rows[0]["object_date"] == "20140523"
    assert (rows[0]["object_area"], rows[1]["object_area"]) == (12.5, None)
    assert rows[1]["object_annotation_status"] == "predicted"


def test_utf8_with_a_mark_is_read_silently_and_without_one_with_a_warning(tmp_path: Path) -> None:
    body = "\n".join([HEADER, TYPES, line("a.png", "o1", note="Ångström")])
    for encoding, warned in (("utf-8-sig", 0), ("utf-8", 1), ("latin-1", 0)):
        path = archive(tmp_path / f"{encoding}.zip", body.encode(encoding), {"a.png": png(1)})
        rows, failures, _ = rows_of(path)
        assert rows[0]["process_note"] == "Ångström"
        assert failures.warnings == (warned), encoding


def test_what_ecotaxa_refuses_is_recorded_and_the_rest_goes_on(tmp_path: Path) -> None:
    lines = [
        line("a.png", "o1"),
        line("a.png", "o1"),
        line("b.png", "o1"),
        line("gone.png", "o4"),
        line("../../etc/passwd", "o5"),
        line("", "o6"),
        line("c.png", "o7", state=""),
        line("d.png", "o8", state="maybe"),
        line("e.png", "o9", hierarchy="living>>Copepoda"),
        line("f.png", "o10", hierarchy="living>Krill"),
        line("g.png", "o11", area="big"),
        line("h.png", "o12") + "\textra",
        line("big.png", "o13"),
        line("i.png", "", note="no id"),
    ]
    images = {f"{letter}.png": png(i) for i, letter in enumerate("abcdefghi")} | {"big.png": bytes(5000)}
    path = archive(tmp_path / "x.zip", text(*lines), images)
    rows, failures, _ = rows_of(path, max_image_bytes=4000)
    assert [row["id"] for row in rows] == ["o1", "o1#2", "o7", "o8", "o9", "o10", "o11", "i.png"]
    assert [row["level_4"] for row in rows[4:6]] == [None, None]
    assert sorted((f.row, f.reason) for f in failures if f.severity == "error") == [
        (2, "a duplicate row: 'a.png' of object 'o1' came before"),
        (4, "the archive has no image 'gone.png'"),
        (5, "the image name '../../etc/passwd' leads outside the archive: refused"),
        (6, "no image: img_file_name is blank"),
        (12, "14 fields where the header has 13 (line 14)"),
        (13, "big.png: 5,000 bytes once unpacked, more than the limit of 4,000: refused"),
    ]
    warnings = {f.id: f.reason for f in failures if f.severity == "warning"}
    assert "image 2 of the object 'o1'" in warnings["o1"]
    assert "without a state" in warnings["o7"]
    assert "the state 'maybe'" in warnings["o8"]
    assert "with a blank level" in warnings["o9"]
    assert "does not end in 'Copepoda'" in warnings["o10"]
    assert "object_area is declared a number [f], but is 'big'" in warnings["o11"]


def test_columns_without_a_name_or_named_twice_are_left_out_and_recorded(tmp_path: Path) -> None:
    table = "img_file_name\t\tobject_id\tobject_id\na.png\t1\to1\tsame\n".encode("latin-1")
    rows, failures, _ = rows_of(archive(tmp_path / "x.zip", table, {"a.png": png(1)}))
    assert [(row["id"], row["object_id"]) for row in rows] == [("o1", "o1")]
    assert [f.reason for f in failures] == [
        "column 2 has no name: left out",
        "the column 'object_id' occurs twice: the second is left out",
    ]


def test_without_a_type_line_the_types_are_found(tmp_path: Path) -> None:
    table = b"img_file_name\tobject_id\tobject_area\tobject_code\na.png\to1\t3.5\t007\n"
    rows, failures, _ = rows_of(archive(tmp_path / "x.zip", table, {"a.png": png(1)}))
    assert (rows[0]["object_area"], rows[0]["object_code"]) == (3.5, "007")
    assert len(failures) == 0


def test_a_folder_and_tables_in_sub_folders_are_read_too(tmp_path: Path) -> None:
    for site in ("one", "two"):
        (tmp_path / "data" / site).mkdir(parents=True)
        (tmp_path / "data" / site / "a.png").write_bytes(png(9))
        (tmp_path / "data" / site / f"ecotaxa_{site}.tsv").write_bytes(text(line("a.png", f"{site}1")))
    rows, failures, _ = rows_of(tmp_path / "data", format="ecotaxa")
    assert [(row["id"], row["image_path"]) for row in rows] == [
        (f"{site}1", str(tmp_path / "data" / site / "a.png")) for site in ("one", "two")
    ]
    assert len(failures) == 0


def test_a_zip_with_a_path_outside_it_is_refused_there_and_read_elsewhere(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "x.zip",
        text(line("a.png", "o1"), line("../evil.png", "o2"), line("C:/evil.png", "o3")),
        {"a.png": png(1), "../evil.png": png(2), "/abs/evil.png": png(3), "C:/evil.png": png(4), "..\\win.png": png(5)},
    )
    before = sorted(p.name for p in tmp_path.parent.iterdir())
    rows, failures, _ = rows_of(path)
    assert [row["id"] for row in rows] == ["o1"]
    outside = [f.source for f in failures if f.reason == "a path outside the archive: refused"]
    assert len(outside) == 4
    assert {f.id for f in failures if "leads outside" in f.reason} == {"o2", "o3"}
    assert sorted(p.name for p in tmp_path.parent.iterdir()) == before


def test_a_damaged_member_is_a_failure(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.zip", text(line("a.png", "o1"), line("b.png", "o2")), {"a.png": png(1), "b.png": png(2)})
    raw = bytearray(path.read_bytes())
    at = raw.index(png(1))
    raw[at + 20] ^= 0xFF
    path.write_bytes(raw)
    rows, failures, _ = rows_of(path)
    assert [row["id"] for row in rows] == ["o2"]
    assert [f.id for f in failures] == ["o1"] and "cannot be unpacked" in next(iter(failures)).reason


def test_no_zip_and_no_table_are_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK nothing")
    with pytest.raises(BiocosmosError, match=r"cannot read .* as a zip"):
        read(tmp_path / "x.zip", format="ecotaxa")
    with pytest.raises(BiocosmosError, match="no table called ecotaxa"):
        read(archive(tmp_path / "y.zip", b"", {}, name="other.tsv"), format="ecotaxa")
