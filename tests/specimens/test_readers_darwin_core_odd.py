"""Darwin Core Archives that do not keep to the rules: read right, or refused in one line."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.readers import read
from reading import rows_of

DWC = "http://rs.tdwg.org/dwc/terms/"
GBIF = "http://rs.gbif.org/terms/1.0/"
COLUMNS = ("occurrenceID", "scientificName")
TABBED = 'fieldsTerminatedBy="\\t" linesTerminatedBy="\\n" fieldsEnclosedBy="" ignoreHeaderLines="1"'
ROWS = "occurrenceID\tscientificName\no0\tPica pica\no1\tPica pica\no2\tPica pica\n"
PNG = io.BytesIO()
Image.new("RGB", (8, 6), "teal").save(PNG, "PNG")


def meta(
    columns: tuple[str, ...] = COLUMNS,
    attributes: str = TABBED,
    row_type: str = DWC + "Occurrence",
    identifier: str = '<id index="0"/>',
    file: str = "occurrence.txt",
    more: str = "",
) -> str:
    terms = "".join(f'<field index="{i}" term="{name if ":" in name else DWC + name}"/>' for i, name in enumerate(columns))
    return (
        f'<archive xmlns="http://rs.tdwg.org/dwc/text/"><core encoding="UTF-8" rowType="{row_type}" {attributes}>'
        f"<files><location>{file}</location></files>{identifier}{terms}</core>{more}</archive>"
    )


def archive(folder: Path, said: str, rows: str | bytes = ROWS, **more: str | bytes) -> Path:
    path = folder / "a.zip"
    with zipfile.ZipFile(path, "w") as out:
        for name, content in {"meta.xml": said, "occurrence.txt": rows, **more}.items():
            out.writestr(name, content)
    return path


@pytest.mark.parametrize("value", ["true", "-1", "1000000000", "1.5", "0x1", "٣", "9" * 400])
@pytest.mark.parametrize("place", ["ignoreHeaderLines", "id", "field"])
def test_numbers_of_meta_xml_that_are_none(tmp_path: Path, value: str, place: str) -> None:
    said = {
        "ignoreHeaderLines": meta(attributes=TABBED.replace('Lines="1"', f'Lines="{value}"')),
        "id": meta(identifier=f'<id index="{value}"/>'),
        "field": meta().replace('<field index="1"', f'<field index="{value}"'),
    }[place]
    with pytest.raises(BiocosmosError, match=r"a\.zip: meta\.xml gives .* where a whole number from 0 to .* belongs"):
        read(archive(tmp_path, said))


@pytest.mark.parametrize(
    "row_type",
    [
        DWC + "Occurrence",
        DWC + "occurrence",
        DWC + "OCCURRENCE",
        DWC + "DarwinCore",
        "http://rs.tdwg.org/dwc/xsd/simpledarwincore/SimpleDarwinRecord",
        "http://rs.tdwg.org/dwc/dwcore/DarwinRecord",
        "http://digir.net/schema/conceptual/darwin/2003/1.0/darwincore",
        "Occurrence",
        " dwc:Occurrence ",
    ],
)
def test_row_types_of_any_age_and_case(tmp_path: Path, row_type: str) -> None:
    rows, failures, _ = rows_of(archive(tmp_path, meta(row_type=row_type)))
    assert [row["id"] for row in rows] == ["o0", "o1", "o2"] and len(failures) == 0


@pytest.mark.parametrize("row_type", ["", "http://example.org/terms/Beleg", "http://rs.tdwg.org/dwc/terms/"])
def test_row_types_that_nobody_knows_are_told_by_their_terms(tmp_path: Path, row_type: str) -> None:
    rows, failures, _ = rows_of(archive(tmp_path, meta(row_type=row_type)))
    assert len(rows) == 3 and failures.errors == 0
    assert any("which Darwin Core does not know: read as occurrences" in f.reason for f in failures)


@pytest.mark.parametrize(("declared", "used"), [("\\n", "\r"), ("\\r\\n", "\n"), ("\\r\\n", "\r"), ("\\r", "\n"), ("|", "\n")])
def test_line_ends_other_than_declared(tmp_path: Path, declared: str, used: str) -> None:
    said = meta(attributes=TABBED.replace('"\\n"', f'"{declared}"'))
    rows, failures, _ = rows_of(archive(tmp_path, said, ROWS.replace("\n", used)))
    assert [row["id"] for row in rows] == ["o0", "o1", "o2"] and failures.errors == 0
    assert any("read as they are" in f.reason for f in failures)


def test_a_quote_that_is_declared_and_never_closed(tmp_path: Path) -> None:
    said = meta((*COLUMNS, "locality"), TABBED.replace('EnclosedBy=""', 'EnclosedBy="&quot;"'))
    rows = "occurrenceID\tscientificName\tlocality\n"
    rows += "".join(f"o{i}\tPica pica\t{place}\n" for i, place in enumerate(["Hill", '"Lake', "Wood", '"a\tb"', 'Fen"']))
    read_rows, failures, _ = rows_of(archive(tmp_path, said, rows))
    assert [row["locality"] for row in read_rows] == ["Hill", '"Lake', "Wood", "a\tb", 'Fen"'] and failures.errors == 0


def test_declared_encodings_that_are_none(tmp_path: Path) -> None:
    for encoding in ("klingon", "idna", "undefined", "rot13"):
        with pytest.raises(BiocosmosError, match=r"the encoding that meta\.xml declares"):
            read(archive(tmp_path, meta().replace('encoding="UTF-8"', f'encoding="{encoding}"')))
    said = meta().replace('encoding="UTF-8"', 'encoding="ISO-8859-1"')
    rows, failures, _ = rows_of(archive(tmp_path, said, ROWS.replace("Pica", "Pica ’").encode("cp1252")))
    assert "’" in str(rows[0]["scientificName"]) and failures.errors == 0


def test_ids_of_gbif_where_occurrence_ids_repeat(tmp_path: Path) -> None:
    columns = (GBIF + "gbifID", GBIF + "datasetKey", "occurrenceID", "scientificName")
    text = "gbifID\tdatasetKey\toccurrenceID\tscientificName\n"
    text += "101\tA\t1\tPica pica\n102\tA\t2\tSitta europaea\n103\tB\t1\tCorvus corax\n"
    rows, failures, _ = rows_of(archive(tmp_path, meta(columns), text))
    assert [(row["id"], row["occurrenceID"], row["species"]) for row in rows] == [
        ("101", 1, "Pica pica"),
        ("102", 2, "Sitta europaea"),
        ("103", 1, "Corvus corax"),
    ]
    assert [f.reason for f in failures] == ["gbifID is the id, since occurrenceID may repeat from dataset to dataset"]
    rows, failures, _ = rows_of(archive(tmp_path, meta(columns), text.replace("103\tB\t1", "103\tB\t3")))
    assert [row["id"] for row in rows] == ["101", "102", "103"]  # whatever else is in the download
    without_key = (GBIF + "gbifID", "locality", "occurrenceID", "scientificName")
    rows, _, _ = rows_of(archive(tmp_path, meta(without_key), text.replace("103\tB\t1", "103\tB\t3")))
    assert [row["id"] for row in rows] == ["101", "102", "103"]  # the archive's own id
    rows, _, _ = rows_of(archive(tmp_path, meta(("recordNumber", *without_key[1:])), text.replace("103\tB\t1", "103\tB\t3")))
    assert [row["id"] for row in rows] == ["1", "2", "3"]


def test_associated_media_of_the_web_and_of_the_archive(tmp_path: Path) -> None:
    columns = (*COLUMNS, "associatedMedia")
    media = ["https://a.org/1.jpg | https://a.org/2.jpg", "Pictures\\Own.PNG", "", "lost.png;other.png"]
    text = "x\n" + "".join(f"o{i}\tPica pica\t{one}\n" for i, one in enumerate(media))
    rows, failures, _ = rows_of(archive(tmp_path, meta(columns), text, **{"pictures/own.png": PNG.getvalue()}))
    assert [row["image_url"] for row in rows] == ["https://a.org/1.jpg", None, None, None]
    assert [row["image"] for row in rows] == [None, PNG.getvalue(), None, None]
    said = [f.reason for f in failures]
    assert any("no image 'lost.png'" in one for one in said) and any("1 specimen has its image on the web" in one for one in said)


def test_two_extensions_of_one_kind_are_both_kept(tmp_path: Path) -> None:
    def media(row_type: str, file: str) -> str:
        return (
            f'<extension encoding="UTF-8" rowType="{row_type}" {TABBED}><files><location>{file}</location></files>'
            '<coreid index="0"/><field index="1" term="http://purl.org/dc/terms/identifier"/></extension>'
        )

    more = media(GBIF + "Multimedia", "m.txt") + media("http://rs.tdwg.org/ac/terms/Multimedia", "A.TXT")
    files = {
        "m.txt": "id\tidentifier\no0\thttps://a.org/0.jpg\n",
        "a.txt": "id\tidentifier\no0\tx.jpg\no1\thttps://a.org/1.jpg\n",
    }
    rows, _, _ = rows_of(archive(tmp_path, meta(more=more), **files))
    assert [row["image_url"] for row in rows] == ["https://a.org/0.jpg", "https://a.org/1.jpg", None]
    assert json.loads(str(rows[0]["multimedia"])) == [{"identifier": "https://a.org/0.jpg"}]
    assert json.loads(str(rows[0]["multimedia_2"])) == [{"identifier": "x.jpg"}]


def test_locations_and_meta_xml_in_another_case(tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("d/META.XML", meta(file=".\\Occurrence.TXT"))
        out.writestr("d/occurrence.txt", ROWS)
    assert len(rows_of(path)[0]) == 3


@pytest.mark.parametrize(
    "content",
    [
        b'<?xml version="1.0" encoding="klingon"?><a/>',
        b'<?xml version="1.0" encoding="utf-7"?><a/>',
        b"\xff\xfe<\0",
        b"",
        b"\0" * 99,
    ],
)
def test_meta_xml_that_is_no_xml(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BiocosmosError, match=r"meta\.xml"):
        read(archive(tmp_path, content))  # type: ignore[arg-type]


def test_two_archives_in_one_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "two.zip"
    with zipfile.ZipFile(path, "w") as out:
        for folder in ("x", "y"):
            out.writestr(f"{folder}/meta.xml", meta())
            out.writestr(f"{folder}/occurrence.txt", ROWS)
    with pytest.raises(BiocosmosError, match=r"has 2 Darwin Core Archives in it, such as 'x/meta\.xml' and 'y/meta\.xml'"):
        read(path)


def test_an_occurrence_of_an_event_that_is_not_there_is_told(tmp_path: Path) -> None:
    extension = (
        f'<extension encoding="UTF-8" rowType="{DWC}Occurrence" {TABBED}><files><location>specimens.txt</location></files>'
        f'<coreid index="0"/><field index="1" term="{DWC}occurrenceID"/><field index="2" term="{DWC}scientificName"/></extension>'
    )
    said = meta(("eventID", "eventDate"), row_type=DWC + "Event", more=extension)
    specimens = "eventID\toccurrenceID\tscientificName\ne1\ta\tPica pica\ne9\tb\tPica pica\n\tc\tPica pica\n"
    path = archive(tmp_path, said, "eventID\teventDate\ne1\t2020-05-01\n", **{"specimens.txt": specimens})
    source = read(path)
    rows = [row for batch in source.batches for row in batch.to_pylist()]
    assert [(row["id"], row["date"]) for row in rows] == [("a", "2020-05-01")]
    assert [(f.row, f.reason, f.severity) for f in source.failures] == [
        (2, "belongs to the event 'e9', which is not there", "error"),
        (3, "names no event", "error"),
    ]


def test_a_header_line_that_is_not_declared_is_no_specimen(tmp_path: Path) -> None:
    source = read(archive(tmp_path, meta(attributes=TABBED.replace('Lines="1"', 'Lines="0"'))))
    assert [row["id"] for batch in source.batches for row in batch.to_pylist()] == ["o0", "o1", "o2"]
    (told,) = source.failures
    assert (told.severity, told.reason) == (
        "warning",
        "line 1 names the columns though meta.xml declares no header line: left out",
    )
