"""EcoTaxa zips, as the web site writes them and as instruments' software does."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
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


def table_of(*rows: list[str]) -> bytes:
    return "".join("\t".join(row) + "\n" for row in rows).encode("latin-1")


def one(tmp_path: Path, header: list[str], types: list[str] | None, *rows: list[str], **images: bytes) -> tuple:
    """The rows of a zip whose images are those the rows name."""
    at = [name.strip('"\t ').lower() for name in header].index("img_file_name")
    pictures = {row[at].strip(): png(i) for i, row in enumerate(rows)} | images
    lines = [header, *([types] if types else []), *rows]
    return rows_of(archive(tmp_path / "x.zip", table_of(*lines), pictures))


@pytest.mark.parametrize("written", [str.upper, str.title, str.swapcase, lambda name: f" {name} ", lambda name: f'"\t{name}"'])
def test_names_of_columns_are_read_in_any_case_and_with_blanks_around_them(tmp_path: Path, written: Callable[[str], str]) -> None:
    header = ["img_file_name", "object_id", "object_annotation_category", "object_annotation_status", "object_lat", "object_date"]
    rows, failures, _ = one(
        tmp_path, [written(n) for n in header], ["[t]"] * 6, ["a.png", "o1", "Oithona", "validated", "18.5", "20140420"]
    )
    assert len(failures) == 0
    assert (rows[0]["id"], rows[0]["label"], rows[0]["latitude"], rows[0]["date"]) == ("o1", "Oithona", 18.5, "2014-04-20")
    assert set(header) <= set(rows[0])


@pytest.mark.parametrize("token", ["[n]", "[H]", "[N]", "[i]", "[]", "[float]", "[timestamp]"])
def test_an_unknown_type_leaves_the_second_line_a_line_of_types(tmp_path: Path, token: str) -> None:
    header, types = ["img_file_name", "object_id", "object_area", "object_code"], ["[t]", "[t]", token, "[t]"]
    rows, failures, _ = one(tmp_path, header, types, ["a.png", "o1", "5.5", "7"], ["b.png", "o2", "6", "8"])
    assert [row["object_area"] for row in rows] == [5.5, 6.0]
    assert [row["object_code"] for row in rows] == ["7", "8"]
    assert [(f.severity, token in f.reason) for f in failures] == [("warning", True)]


@pytest.mark.parametrize("types", ["t t f t", "[|t|] [t] [|F|] _", "[t] _ [f] _", "t [t] f _"])
def test_a_line_of_types_is_known_however_carelessly_it_is_written(tmp_path: Path, types: str) -> None:
    header = ["img_file_name", "object_id", "object_area", "object_code"]
    line = [cell.replace("|", " ").replace("_", "") for cell in types.split()]
    rows, failures, _ = one(tmp_path, header, line, ["a.png", "o1", "5.5", "7"], ["b.png", "o2", "6", "8"])
    assert len(failures) == 0
    assert [row["object_area"] for row in rows] == [5.5, 6.0] and [row["object_code"] for row in rows] == ["7", "8"]


def test_numbers_with_a_decimal_comma_are_numbers_and_a_pair_is_none(tmp_path: Path) -> None:
    header = ["img_file_name", "object_id", "object_lat", "object_area", "object_tile"]
    rows, failures, _ = one(
        tmp_path,
        header,
        ["[t]", "[t]", "[f]", "[f]", "[t]"],
        ["a.png", "o1", "18,5", "1.234,5", "3,4"],
        ["b.png", "o2", "-7,25", "1,234,567.5", "5,6"],
        ["c.png", "o3", "43°40 30", "1e3", ""],
    )
    assert [row["latitude"] for row in rows] == [18.5, -7.25, pytest.approx(43.675)] == [row["object_lat"] for row in rows]
    assert [row["object_area"] for row in rows] == [1234.5, 1234567.5, 1000.0]
    assert [row["object_tile"] for row in rows] == ["3,4", "5,6", None]
    assert [f.severity for f in failures] == ["warning"]
    untyped, _, _ = one(tmp_path, header, None, ["a.png", "o1", "18,5", "2,5", "x"], ["b.png", "o2", "1,5", "3,5", "y"])
    assert [row["object_area"] for row in untyped] == [2.5, 3.5]
    pairs, _, _ = one(tmp_path, header, None, ["a.png", "o1", "18.5", "2,5", "x"], ["b.png", "o2", "1.5", "3,5", "y"])
    assert [row["object_area"] for row in pairs] == ["2,5", "3,5"]


@pytest.mark.parametrize(
    ("day", "clock", "read", "warned"),
    [
        ("20140523", "92530", "2014-05-23T09:25:30", 0),
        ("2014-05-23", "09:25:30", "2014-05-23T09:25:30", 0),
        ("23.05.2014", "", "2014-05-23", 0),
        ("20141399", "", "20141399", 1),
        ("20140230", "101010", "20140230", 1),
        ("20140523", "250000", "2014-05-23", 1),
        ("3/7/2014", "", "3/7/2014", 1),
        ("NaN", "", "NaN", 1),
        ("", "101010", None, 0),
    ],
)
def test_dates_no_calendar_has_are_warned_of(tmp_path: Path, day: str, clock: str, read: str | None, warned: int) -> None:
    header = ["img_file_name", "object_id", "object_date", "object_time"]
    rows, failures, _ = one(tmp_path, header, ["[t]"] * 4, ["a.png", "o1", day, clock])
    assert rows[0]["date"] == read
    assert (failures.errors, failures.warnings) == (0, warned)


def test_columns_that_ecotaxa_would_mix_up_or_refuse_are_all_kept(tmp_path: Path) -> None:
    header = ["img_file_name", "object_id", "object_area", "Object_Area", "label", "width", ""]
    rows, failures, _ = one(tmp_path, header, None, ["a.png", "o1", "1", "2", "mine", "7", ""])
    assert (rows[0]["object_area"], rows[0]["object_area_2"]) == (1, 2)
    assert (rows[0]["label_source"], rows[0]["width_source"]) == ("mine", 7)
    assert (failures.errors, failures.warnings) == (0, 3)


def test_a_label_that_repeats_the_end_of_its_hierarchy_is_one_taxon(tmp_path: Path) -> None:
    from biocosmos import Collection
    from biocosmos.specimens.census import count_taxa

    calanus = f"{COPEPOD}>Calanus"
    table = text(
        line("a.png", "o1"), line("b.png", "o2", "Calanus", hierarchy=calanus), line("c.png", "o3", "Krill", hierarchy="")
    )
    path = archive(tmp_path / "export.zip", table, {"a.png": png(1), "b.png": png(2), "c.png": png(3)})
    collection = Collection.create(tmp_path / "x.cosmos")
    collection.add(read(path))
    listed = count_taxa(collection)
    assert dict(zip(listed["taxon"].to_pylist(), listed["specimens"].to_pylist())) == {
        "living": 2, "Eukaryota": 2, "Arthropoda": 2, "Copepoda": 2, "Calanus": 1, "Krill": 1,
    }  # fmt: skip
    assert len(set(listed["taxon"].to_pylist())) == listed.num_rows
    assert collection.count(within="Copepoda") == 2 and collection.count(within="Calanus") == 1
    assert collection.count(within="label:Copepoda") == 1  # the class as the annotator gave it
    assert count_taxa(collection, rank="label")["taxon"].to_pylist() == ["Calanus", "Copepoda", "Krill"]


@pytest.mark.parametrize("text", ["1e400", "-1e400", "inf", "-Infinity"])
def test_a_number_beyond_all_numbers_is_left_blank_with_a_warning(tmp_path: Path, text: str) -> None:
    header = ["img_file_name", "object_id", "object_area"]
    rows, failures, _ = one(tmp_path, header, ["[t]", "[t]", "[f]"], ["a.png", "o1", text], ["b.png", "o2", "1e300"])
    assert [row["object_area"] for row in rows] == [None, 1e300]
    assert [row.reason for row in failures] == [f"object_area is declared a number [f], but is {text!r}: left blank"]
