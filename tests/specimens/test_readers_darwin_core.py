"""Darwin Core Archives: everything meta.xml declares is honoured."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.readers import detect, read
from reading import rows_of

DWC = "http://rs.tdwg.org/dwc/terms/"
TERMS = ("occurrenceID", "scientificName", "family", "decimalLatitude", "decimalLongitude", "eventDate", "individualCount")


def jpeg(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (6, 5), shade).save(out, "JPEG")
    return out.getvalue()


def meta(core_attributes: str, core_fields: str, extensions: str = "", core_type: str = "Occurrence") -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<archive xmlns="http://rs.tdwg.org/dwc/text/" metadata="eml.xml">\n'
        f'<core {core_attributes} rowType="{DWC}{core_type}"><files><location>occurrence.txt</location></files>'
        f'<id index="0"/>{core_fields}</core>{extensions}</archive>'
    )


def fields(start: int = 1, terms: tuple[str, ...] = TERMS) -> str:
    return "".join(f'<field index="{i}" term="{DWC}{term}"/>' for i, term in enumerate(terms, start))


MEDIA = (
    '<extension encoding="UTF-8" fieldsTerminatedBy="\\t" linesTerminatedBy="\\n" fieldsEnclosedBy="" ignoreHeaderLines="1" '
    'rowType="http://rs.gbif.org/terms/1.0/Multimedia"><files><location>multimedia.txt</location></files><coreid index="0"/>'
    '<field index="1" term="http://purl.org/dc/terms/identifier"/><field index="2" term="http://purl.org/dc/terms/type"/>'
    "</extension>"
)
HISTORY = (
    '<extension encoding="UTF-8" fieldsTerminatedBy="," linesTerminatedBy="\\n" fieldsEnclosedBy=\'"\' ignoreHeaderLines="1" '
    f'rowType="{DWC}Identification"><files><location>identification.txt</location></files><coreid index="0"/>'
    f'<field index="1" term="{DWC}scientificName"/><field index="2" term="{DWC}identifiedBy"/></extension>'
)
TABBED = 'encoding="UTF-8" fieldsTerminatedBy="\\t" linesTerminatedBy="\\n" fieldsEnclosedBy="" ignoreHeaderLines="1"'


def archive(path: Path, files: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as out:
        for name, content in files.items():
            out.writestr(name, content)
    return path


def test_core_multimedia_and_identification_history(tmp_path: Path) -> None:
    core = (
        "id\t" + "\t".join(TERMS) + "\n"
        "1\turn:a\tPica hudsonia (Sabine, 1823)\tCorvidae\t45.5\t-110.25\t2020-05-01\t3\n"
        "2\t\tCorvus corax\tCorvidae\t\t\t\t\n"
        '3\turn:c\t5" of "Larus\tLaridae\t1\t2\t\t4\n'
    )
    media = (
        "coreid\tidentifier\ttype\n"
        "2\thttps://example.org/2.jpg\tStillImage\n"
        "1\tsong.mp3\tSound\n"
        "1\timages/1.jpg\tStillImage\n"
        "1\timages/1b.jpg\tStillImage\n"
        "9\timages/9.jpg\tStillImage\n"
    )
    history = 'coreid,scientificName,identifiedBy\n1,"Pica pica","Smith, J."\n1,Pica hudsonia,Jones\n'
    path = archive(
        tmp_path / "a.zip",
        {
            "meta.xml": meta(TABBED, fields(), MEDIA + HISTORY),
            "occurrence.txt": core,
            "multimedia.txt": media,
            "identification.txt": history,
            "images/1.jpg": jpeg(10),
            "images/1b.jpg": jpeg(20),
        },
    )
    assert detect(path) == "darwin-core"
    rows, failures, ranks = rows_of(path)
    assert ranks == ("family", "genus", "species")
    assert [row["id"] for row in rows] == ["urn:a", "2", "urn:c"]
    first = rows[0]
    assert first["image"] == jpeg(10) and first["image_path"] is None
    assert [first[rank] for rank in ranks] == ["Corvidae", "Pica", "Pica hudsonia"]
    assert first["scientificName"] == first["label"] == "Pica hudsonia (Sabine, 1823)"
    assert (first["latitude"], first["longitude"], first["date"], first["individualCount"]) == (45.5, -110.25, "2020-05-01", 3)
    assert [m["identifier"] for m in json.loads(str(first["multimedia"]))] == ["song.mp3", "images/1.jpg", "images/1b.jpg"]
    assert json.loads(str(first["identification"])) == [
        {"scientificName": "Pica pica", "identifiedBy": "Smith, J."},
        {"scientificName": "Pica hudsonia", "identifiedBy": "Jones"},
    ]
    assert rows[1]["image_url"] == "https://example.org/2.jpg" and rows[1]["image"] is None
    assert rows[2]["scientificName"] == '5" of "Larus'
    assert [(f.severity, f.row) for f in failures if "core record '9'" in f.reason] == [("error", 5)]
    assert any(f.reason.startswith("1 specimen has its image on the web") for f in failures)


def test_declared_encoding_separator_quotes_and_line_ends_are_honoured(tmp_path: Path) -> None:
    attributes = (
        'encoding="ISO-8859-1" fieldsTerminatedBy=";" linesTerminatedBy="|\\n" fieldsEnclosedBy="\'" ignoreHeaderLines="0"'
    )
    core = "1;'Müller; ''von''\nzwei';'Gött|'|\n2;plain;|\n"
    path = archive(
        tmp_path / "a.zip",
        {
            "meta.xml": meta(attributes, fields(1, ("recordedBy", "locality"))),
            "occurrence.txt": core.encode("latin-1"),
        },
    )
    rows, failures, _ = rows_of(path)
    assert [(row["id"], row["recordedBy"], row["locality"]) for row in rows] == [
        ("1", "Müller; 'von'\nzwei", "Gött|"),
        ("2", "plain", None),
    ]
    assert len(failures) == 0


def test_default_values_fill_constant_and_blank_fields(tmp_path: Path) -> None:
    defined = (
        f'<field index="1" term="{DWC}country" default="Chile"/><field default="Animalia" term="{DWC}kingdom"/>'
        f'<field index="2" term="{DWC}genus"/>'
    )
    path = archive(
        tmp_path / "a.zip", {"meta.xml": meta(TABBED, defined), "occurrence.txt": "h\th\th\n1\t\tPica\n2\tPeru\tPica\n"}
    )
    rows, _, ranks = rows_of(path)
    assert [(row["country"], row["kingdom"], row["genus"]) for row in rows] == [
        ("Chile", "Animalia", "Pica"),
        ("Peru", "Animalia", "Pica"),
    ]
    assert ranks == ("kingdom", "genus")


def test_rows_that_break_the_declaration_are_failures(tmp_path: Path) -> None:
    core = b"id\tlocality\n1\tok\n2\n3\tone\ttoo many\n4\tM\xfcller\n\n5\tfine\n"
    path = archive(tmp_path / "a.zip", {"meta.xml": meta(TABBED, fields(1, ("locality",))), "occurrence.txt": core})
    rows, failures, _ = rows_of(path)
    assert [row["id"] for row in rows] == ["1", "5"]
    assert [(f.row, f.reason) for f in failures] == [
        (2, "1 fields where 2 are declared (line 3)"),
        (3, "3 fields where 2 are declared (line 4)"),
        (4, "not valid utf-8, the encoding that meta.xml declares (line 5)"),
    ]


def test_occurrences_that_hang_on_events(tmp_path: Path) -> None:
    extension = (
        f'<extension {TABBED} rowType="{DWC}Occurrence"><files><location>occ.txt</location></files><coreid index="0"/>'
        f'<field index="1" term="{DWC}occurrenceID"/><field index="2" term="{DWC}scientificName"/></extension>'
    )
    path = archive(
        tmp_path / "a.zip",
        {
            "meta.xml": meta(TABBED, fields(1, ("decimalLatitude", "eventDate")), extension, "Event"),
            "occurrence.txt": "h\th\th\ne1\t54.5\t2001-02-03\n",
            "occ.txt": "h\th\th\ne1\to1\tCalanus finmarchicus\ne1\to2\tOithona similis\n",
        },
    )
    rows, failures, _ = rows_of(path)
    assert [(r["id"], r["species"], r["latitude"], r["date"]) for r in rows] == [
        ("o1", "Calanus finmarchicus", 54.5, "2001-02-03"),
        ("o2", "Oithona similis", 54.5, "2001-02-03"),
    ]
    assert len(failures) == 0


def test_a_folder_is_an_archive_too_and_pictures_stay_files(tmp_path: Path) -> None:
    (tmp_path / "meta.xml").write_text(meta(TABBED, fields(1, ("genus",)), MEDIA))
    (tmp_path / "occurrence.txt").write_text("id\tgenus\n1\tPica\n2\tPica\n3\tPica\n")
    (tmp_path / "multimedia.txt").write_text("c\ti\tt\n1\t1.jpg\t\n2\t../../outside.jpg\t\n3\tgone.jpg\t\n")
    (tmp_path / "1.jpg").write_bytes(jpeg(7))
    rows, failures, _ = rows_of(tmp_path)
    assert [row["image_path"] for row in rows] == [str(tmp_path / "1.jpg"), None, None]
    assert [(f.id, f.severity, f.reason) for f in failures] == [
        ("2", "warning", "the image name '../../outside.jpg' leads outside the archive: refused; kept without an image"),
        ("3", "warning", "the archive has no image 'gone.jpg'; kept without an image"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<archive", "meta.xml is not XML"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><archive>&x;</archive>', "declares entities: refused"),
        ("<archive></archive>", "must have one core, not 0"),
        (meta(TABBED, fields()), "names the file 'occurrence.txt', which is not in the archive"),
    ],
)
def test_a_damaged_meta_xml_is_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(BiocosmosError, match=message):
        read(archive(tmp_path / "a.zip", {"meta.xml": content}))


def test_an_archive_of_taxa_has_no_specimens(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "a.zip",
        {"meta.xml": meta(TABBED, fields(1, ("genus",)), core_type="Taxon"), "occurrence.txt": "id\tgenus\n1\tPica\n"},
    )
    with pytest.raises(BiocosmosError, match="has Taxon records and no occurrences"):
        read(path)
