"""Text tables as people have them: encodings, spreadsheets' habits, packed files, zips, and what is no table at all."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.readers import detect, packed, read
from reading import rows_of

PNG = io.BytesIO()
Image.new("RGB", (8, 6), "teal").save(PNG, "PNG")


def table(folder: Path, content: bytes | str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def zipped(path: Path, files: dict[str, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


# Encodings.

NO_TEXT = ["idna", "undefined", "punycode", "unicode_escape", "rot13", "base64", "hex", "zlib", "mbcs", "x\0"]


def test_windows_1252_has_its_quotes_and_its_euro(tmp_path: Path) -> None:
    text = "id,file,label,remark\ns0,a.png,Bosc’s monitor,5–6 mm\ns1,b.png,Müller’s shrimp,10 €\n"
    for given in ({}, {"encoding": "latin-1"}, {"encoding": "ISO-8859-1"}, {"encoding": "cp1252"}):
        rows, failures, _ = rows_of(table(tmp_path, text.encode("cp1252")), **given)
        assert [(row["label"], row["remark"]) for row in rows] == [("Bosc’s monitor", "5–6 mm"), ("Müller’s shrimp", "10 €")]
        assert failures.errors == 0 and failures.warnings == (0 if given else 1)


def test_a_byte_that_windows_1252_does_not_know_costs_its_row(tmp_path: Path) -> None:
    rows, failures, _ = rows_of(table(tmp_path, b"file,label\na.png,M\xfcller\nb.png,\x81\n"))
    assert [row["label"] for row in rows] == ["Müller"]
    assert [(f.row, f.reason) for f in failures if f.severity == "error"] == [(2, "not valid cp1252 (line 3)")]


def test_one_bad_byte_in_a_utf_8_file_does_not_garble_the_others(tmp_path: Path) -> None:
    rows, failures, _ = rows_of(table(tmp_path, "file,label\na.png,Ångström\nb.png,Müller\nc.png,".encode() + b"\xfc\n"))
    assert [row["label"] for row in rows] == ["Ångström", "Müller"]
    assert [f.reason for f in failures if f.severity == "error"] == ["not valid utf-8 (line 4)"]
    assert any("not all of it is UTF-8 (byte 0xfc in line 4)" in f.reason for f in failures)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_encodings_without_a_mark(tmp_path: Path, encoding: str) -> None:
    text = "file,label\r\na.png,Ångström\r\nb.png,ツ\r\n"
    rows, failures, _ = rows_of(table(tmp_path, text.encode(encoding)))
    assert [row["label"] for row in rows] == ["Ångström", "ツ"]
    assert [f.reason for f in failures] == [f"{encoding.upper()} without a byte-order mark"]
    rows, failures, _ = rows_of(table(tmp_path, text.encode(encoding)), encoding=encoding[:6])
    assert [row["label"] for row in rows] == ["Ångström", "ツ"] and len(failures) == 0


def test_a_wide_file_that_is_cut_is_no_traceback(tmp_path: Path) -> None:
    for encoding in ("utf-16", "utf-32"):
        content = "file,label\na.png,b\nc.png,d".encode(encoding)
        rows, failures, _ = rows_of(table(tmp_path, content[:-1]))
        assert rows[0]["label"] == "b" and failures.errors == 1


@pytest.mark.parametrize(
    "encoding", ["idna", "undefined", "punycode", "unicode_escape", "rot13", "base64", "hex", "zlib", "mbcs", "x\0"]
)
def test_codecs_that_are_no_text_are_refused(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(BiocosmosError, match="encoding"):
        rows_of(table(tmp_path, "file,label\na.png,b\n"), encoding=encoding)


def test_nul_characters(tmp_path: Path) -> None:
    rows, failures, _ = rows_of(table(tmp_path, "file,label\na.png,b\nb.png,c\0d\n"))
    assert [row["id"] for row in rows] == ["a.png"]
    assert [(f.row, f.reason) for f in failures] == [(2, "a NUL character, which no text has (line 3)")]
    with pytest.raises(BiocosmosError, match="not a text table: its first line has NUL"):
        rows_of(table(tmp_path, bytes(5000)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xd0\xcf\x11\xe0rest", "an old Excel workbook: save it as CSV"),
        (b"PAR1rest", "a Parquet file: say --format parquet"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"%PDF-1.4", "a PDF document"),
        (PNG.getvalue(), "a PNG image"),
        (b"", "is empty: it needs a header row"),
        (b"\n\n", "is empty: it needs a header row"),
    ],
)
def test_what_is_no_table_is_called_what_it_is(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(BiocosmosError, match=words):
        rows_of(table(tmp_path, content), format="csv")


def test_a_workbook_that_cannot_be_read_is_asked_for_as_csv(tmp_path: Path) -> None:
    with pytest.raises(BiocosmosError, match="is a workbook: save the sheet as CSV"):
        read(zipped(tmp_path / "t.ods", {"content.xml": "<x/>"}))
    with pytest.raises(BiocosmosError, match="xlsx as a workbook"):
        read(zipped(tmp_path / "t.xlsx", {"xl/workbook.xml": "<x/>"}))


# Spreadsheets.


@pytest.mark.parametrize("first", ["sep=;", "sep=,", "SEP=\t", "sep=^", '"sep=;"', "sep=|", "\ufeffsep=;", "sep=;;;", "sep=~"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_separator_line_of_spreadsheets(tmp_path: Path, first: str, end: str) -> None:
    sign = first.strip('"\ufeff')[4]
    text = end.join(
        [first, sign.join(["id", "file", "label"]), sign.join(["s0", "a.png", "x"]), sign.join(["s1", "b.png", "y"]), ""]
    )
    rows, failures, _ = rows_of(table(tmp_path, text))
    assert [(row["id"], row["label"]) for row in rows] == [("s0", "x"), ("s1", "y")]
    assert len(failures) == 0
    assert [row["id"] for row in rows_of(table(tmp_path, text), separator=sign)[0]] == ["s0", "s1"]


def test_empty_columns_and_rows_at_the_end(tmp_path: Path) -> None:
    rows, failures, _ = rows_of(table(tmp_path, "file,label,,\r\na.png,x,,\r\n,,,\r\n \t,,,\r\nb.png,y,,\r\n,,,\r\n,,,\r\n"))
    assert [(row["id"], row["label"]) for row in rows] == [("a.png", "x"), ("b.png", "y")]
    assert list(rows[0]) == ["id", "image_path", "label"] and len(failures) == 0
    rows, failures, _ = rows_of(table(tmp_path, "file,label,,\na.png,x,,odd\nb.png,y,,\n"))
    assert [row["id"] for row in rows] == ["b.png"]
    assert [f.reason for f in failures] == ["4 fields where the header has 2 (line 2)"]


def test_characters_that_only_python_takes_for_line_ends(tmp_path: Path) -> None:
    rows, failures, _ = rows_of(table(tmp_path, "file;label;note\na.png;x\u2028y;1\x0b2\x0c3\x1c\x85\nb.png;z;\n"))
    assert [(row["label"], row["note"]) for row in rows] == [("x y", "1\x0b2\x0c3\x1c\x85"), ("z", None)]
    assert len(failures) == 0


@pytest.mark.parametrize("separator", ["", ";;", '"', "\n"])
def test_separators_that_separate_nothing(tmp_path: Path, separator: str) -> None:
    with pytest.raises(BiocosmosError, match="separates no fields"):
        rows_of(table(tmp_path, "file,label\na.png,x\n"), separator=separator)


# Names of files are no prose.


def test_blanks_in_names_of_files_and_ids_stay(tmp_path: Path) -> None:
    names = ["two  blanks.png", "Screenshot at 1.01.11\u202fAM.png", "Snimek v\u00a013.05.png", "tab\there.png"]
    for name in names:
        (tmp_path / name).write_bytes(PNG.getvalue())
    text = "file,label\n" + "".join(f"{name},a  b\n" for name in names)
    rows, failures, _ = rows_of(table(tmp_path, text))
    assert [row["image_path"] for row in rows] == [str(tmp_path / name) for name in names]
    assert [row["id"] for row in rows] == names and {row["label"] for row in rows} == {"a b"}
    assert len(failures) == 0


def test_ambiguous_names_are_refused_and_others_found(tmp_path: Path) -> None:
    for name in ("A.png", "a.PNG", "sub/B.PNG"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(PNG.getvalue())
    rows, failures, _ = rows_of(table(tmp_path, "file,label\na.png,x\nSUB\\b.png,y\nC:\\old\\sub\\b.png,z\nnone.png,w\n"))
    assert [Path(str(row["image_path"])).name for row in rows] == ["B.PNG", "B.PNG", "none.png"]
    errors = [f for f in failures if f.severity == "error"]
    assert len(errors) == 1 and errors[0].row == 1 and "'A.png' or 'a.PNG'" in errors[0].reason


# Ids.


def test_rows_of_one_image_get_ids_that_stay_the_same(tmp_path: Path) -> None:
    text = 'file,label,crop\na.png,x,"[0, 0, 2, 2]"\na.png,y,"[2, 2, 2, 2]"\nb.png,x,\na.png,z,\na.png#2,w,\n'
    for _ in range(2):
        rows, _, _ = rows_of(table(tmp_path, text))
        assert [row["id"] for row in rows] == ["a.png", "a.png#2", "b.png", "a.png#3", "a.png#2#2"]
        assert [row["label"] for row in rows] == ["x", "y", "x", "z", "w"]
    rows, _, _ = rows_of(table(tmp_path, "id,file,label\n,a.png,x\nown,a.png,y\n,a.png,z\n"))
    assert [row["id"] for row in rows] == ["a.png", "own", "a.png#2"]


def test_gbif_ids_where_occurrence_ids_repeat(tmp_path: Path) -> None:
    head = "gbifID\tdatasetKey\toccurrenceID\tscientificName\n"
    text = head + "101\tA\t1\tPica pica\n102\tA\t2\tSitta europaea\n103\tB\t1\tCorvus corax\n"
    rows, failures, _ = rows_of(table(tmp_path, text, "0001.csv"))
    assert [(row["id"], row["occurrenceID"]) for row in rows] == [("101", 1), ("102", 2), ("103", 1)]
    assert "gbifID is the id, since occurrenceID may repeat from dataset to dataset" in {f.reason for f in failures}
    rows, failures, _ = rows_of(table(tmp_path, text.replace("\tB\t1\t", "\tB\t3\t"), "0001.csv"))
    assert [row["id"] for row in rows] == ["101", "102", "103"]  # whatever else is in the download
    rows, failures, _ = rows_of(table(tmp_path, text, "0001.csv"), columns={"occurrenceID": "id"})
    assert [row["id"] for row in rows] == ["1", "2", "1"]  # as asked


# Images on the web.


def test_an_inaturalist_export(tmp_path: Path) -> None:
    text = (
        "id,observed_on_string,observed_on,quality_grade,image_url,description,latitude,longitude,scientific_name,"
        "iconic_taxon_name,taxon_kingdom_name,taxon_family_name,taxon_genus_name,taxon_species_name\n"
        "11,2010/3/7,2010-03-07,research,https://static.example.org/1/medium.jpg,a nice one,54.1,12.1,Canis lupus,Mammalia,"
        "Animalia,Canidae,Canis,Canis lupus\n"
        "12,2010/3/8,2010-03-08,casual,,,54.1,12.1,Vulpes vulpes,Mammalia,Animalia,Canidae,Vulpes,Vulpes vulpes\n"
    )
    rows, failures, ranks = rows_of(table(tmp_path, text, "observations-1.csv"))
    assert ranks == ("kingdom", "family", "genus", "species")
    assert [(row["id"], row["species"], row["label"]) for row in rows] == [
        ("11", "Canis lupus", "Canis lupus"),
        ("12", "Vulpes vulpes", "Vulpes vulpes"),
    ]
    assert "text" not in rows[0] and rows[0]["description"] == "a nice one"
    assert rows[0]["image_url"] == "https://static.example.org/1/medium.jpg"
    assert any(f.reason.startswith("1 specimen has its image on the web") for f in failures) and failures.errors == 0


def test_associated_media_is_an_address(tmp_path: Path) -> None:
    text = "occurrenceID,species,associatedMedia\no1,Pica pica,https://a.org/1.jpg | https://a.org/2.jpg\no2,Pica pica,\n"
    rows, failures, _ = rows_of(table(tmp_path, text))
    assert [row["image_url"] for row in rows] == ["https://a.org/1.jpg", None]
    assert any("1 specimen has its image on the web" in f.reason for f in failures)


# Packed tables and zips.


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)])
def test_packed_tables(tmp_path: Path, suffix: str, pack: object) -> None:
    for name, sign in (("t.csv", ","), ("t.tsv", "\t")):
        text = sign.join(["file", "label"]) + "\n" + sign.join(["a.png", "x, y" if sign == "\t" else "x"]) + "\n"
        path = table(tmp_path, pack(text.encode()), name + suffix)  # type: ignore[operator]
        assert detect(path) == "csv"
        rows, failures, _ = rows_of(path)
        assert rows[0]["id"] == "a.png" and rows[0]["image_path"] == str(tmp_path / "a.png") and len(failures) == 0


def test_packed_tables_that_are_damaged_or_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = gzip.compress(b"file,label\n" + b"".join(b"%d.png,x\n" % i for i in range(5000)))
    with pytest.raises(BiocosmosError, match="damaged"):
        rows_of(table(tmp_path, content[: len(content) // 2], "t.csv.gz"))
    monkeypatch.setattr(packed, "FREE_BYTES", 1 << 16)
    with pytest.raises(BiocosmosError, match="unpacks to more than"):
        rows_of(table(tmp_path, gzip.compress(b"file,label\n" + b"a,b\n" * (1 << 20)), "t.csv.gz"))


@pytest.mark.parametrize("format", [None, "csv"])
def test_a_zip_with_one_table(tmp_path: Path, format: str | None) -> None:
    simple = "gbifID\tscientificName\tdecimalLatitude\n1\tPica pica\t54,1\n"
    path = zipped(tmp_path / "0001-23.zip", {"0001-23.csv": simple})
    rows, failures, _ = rows_of(path, format=format)
    assert [(row["id"], row["species"], row["latitude"]) for row in rows] == [("1", "Pica pica", 54.1)]
    assert any("the records are read without" in f.reason for f in failures) and failures.errors == 0
    beside = {"d/occurrence.txt": "occurrenceID,scientificName\no1,Pica pica\n", "EML.xml": "<eml/>", "README.txt": "Read me"}
    beside |= {"__MACOSX/d/._occurrence.txt": "x", "citations.txt": "c"}
    assert [row["id"] for row in rows_of(zipped(tmp_path / "b.zip", beside), format=format)[0]] == ["o1"]


def test_a_zip_with_a_table_and_its_images(tmp_path: Path) -> None:
    files = {"leaves/labels.csv": "file,label\nimages\\A.png,fir\nimages/b.png,oak\n../x.png,ash\nc.png,elm\n"}
    path = zipped(tmp_path / "t.zip", {**files, "leaves/images/a.png": PNG.getvalue(), "images/b.png": PNG.getvalue()})
    rows, failures, _ = rows_of(path)
    assert [(row["id"], row["label"], row["image"] == PNG.getvalue()) for row in rows] == [
        ("images\\A.png", "fir", True),
        ("images/b.png", "oak", True),
    ]
    reasons = [(f.row, f.reason) for f in failures if f.severity == "error"]
    assert [row for row, _ in reasons] == [3, 4] and "leads outside" in reasons[0][1] and "no image 'c.png'" in reasons[1][1]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.csv": "x", "b.csv": "y"}, r"2 tables \(a.csv, b.csv\); unpack it"),
        ({"a.png": "x"}, "has no table"),
        ({}, "has no table"),
    ],
)
def test_zips_of_no_clear_format(tmp_path: Path, files: dict[str, bytes | str], words: str) -> None:
    path = zipped(tmp_path / "t.zip", files)
    with pytest.raises(BiocosmosError, match=words):
        read(path)
    with pytest.raises(BiocosmosError, match=r"unpack it"):
        read(path, format="csv")


# Devices and pipes.


def test_what_has_no_end_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    good = table(tmp_path, "file,label\na.png,x\n", "good.csv")
    for path in (tmp_path / "t.csv", tmp_path / "zero.csv", Path("/dev/zero")):
        for given in ({"format": "csv"}, {"format": "darwin-core"}, {"format": "parquet"}, {"format": "coco"}, {}):
            with pytest.raises(BiocosmosError, match="a device or a pipe"):
                read(path, **given)  # type: ignore[arg-type]
        for name in ("taxonomy", "metadata"):
            with pytest.raises(BiocosmosError, match="a device or a pipe"):
                read(good, **{name: path})  # type: ignore[arg-type]


def test_byte_order_marks_amid_a_text_are_left_out_and_told(tmp_path: Path) -> None:
    source = read(table(tmp_path, "\ufeffid,species,text\n1,Pica pica,a\n\ufeff2,\ufeffPica pica,b\n"))
    assert [(row["id"], row["species"]) for batch in source.batches for row in batch.to_pylist()] == [
        ("1", "Pica pica"),
        ("2", "Pica pica"),
    ]
    assert [f.reason for f in source.failures] == [
        "1 line begins or has cells that begin with a byte-order mark (first line 3): left out"
    ]
