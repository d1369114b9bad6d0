"""CSV, TSV and Parquet as people have them: any names, separators, encodings, and rows that do not fit."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.readers import read

Rows = list[dict[str, object]]

DNA = "ACGT" * 30


def rows_of(path: Path, **options: object) -> tuple[Rows, Failures, tuple[str, ...]]:
    failures = Failures()
    source = read(path, failures=failures, **options)  # type: ignore[arg-type]
    rows = [row for batch in source.batches for row in batch.to_pylist()]
    return rows, failures, source.ranks


def table(tmp_path: Path, content: bytes | str, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_obvious_columns_are_guessed_and_the_others_kept_with_their_types(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "Catalog Number,File Name,Scientific Name,Family,decimalLatitude,decimalLongitude,eventDate,nucraw,depth,count,code\n"
        f"BM1,a.jpg,Pica hudsonia,Corvidae,45.5,-110,2020-05-01,{DNA},12.5,3,007\n"
        "BM2,sub/b.jpg,Pica pica,Corvidae,,,,,NA,4,12e4\n",
    )
    (tmp_path / "a.jpg").touch()
    rows, failures, ranks = rows_of(path)
    assert failures.errors == 0
    assert [failure.reason for failure in failures] == [
        "1 row: depth is taken for metres; if it is not: --column depth_as_written=depth"
    ]
    assert rows == [
        {
            "id": "BM1",
            "image_path": str(tmp_path / "a.jpg"),
            "label": "Pica hudsonia",
            "barcode": DNA,
            "latitude": 45.5,
            "longitude": -110.0,
            "date": "2020-05-01",
            "family": "Corvidae",
            "genus": "Pica",
            "species": "Pica hudsonia",
            "scientificName": "Pica hudsonia",
            "depth": 12.5,
            "depth_min": 12.5,
            "depth_max": 12.5,
            "count": 3,
            "code": "007",
        },
        {
            "id": "BM2",
            "image_path": str(tmp_path / "sub/b.jpg"),
            "label": "Pica pica",
            "barcode": None,
            "latitude": None,
            "longitude": None,
            "date": None,
            "family": "Corvidae",
            "genus": "Pica",
            "species": "Pica pica",
            "scientificName": "Pica pica",
            "depth": None,
            "depth_min": None,
            "depth_max": None,
            "count": 4,
            "code": "12e4",
        },
    ]
    assert ranks == ("family", "genus", "species")


def test_the_mapping_of_the_user_overrides_the_guess(tmp_path: Path) -> None:
    path = table(tmp_path, "file,label,det,site\na.jpg,box 3,krill,A\n")
    rows, _, ranks = rows_of(path, columns={"det": "label", "site": "station"})
    assert rows == [
        {"id": "a.jpg", "image_path": str(tmp_path / "a.jpg"), "label": "krill", "label_source": "box 3", "station": "A"}
    ]
    assert ranks == ("label",)


def test_a_mapped_column_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    path = table(tmp_path, "file,label\na.jpg,x\n")
    with pytest.raises(BiocosmosError, match="has no column 'taxon'; it has: file, label"):
        read(path, columns={"taxon": "label"})
    with pytest.raises(BiocosmosError, match="2 columns are mapped to 'label'"):
        read(path, columns={"file": "label", "label": "label"})


def test_a_table_without_an_image_column_asks_for_one(tmp_path: Path) -> None:
    path = table(tmp_path, "name,what\na,b\n")
    with pytest.raises(BiocosmosError, match="--column image_path=NAME; its columns: name, what"):
        read(path)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(tmp_path: Path, separator: str) -> None:
    lines = [["file", "label", "lat"], ["a.jpg", "x", "1.5"], ["b.jpg", "y, z" if separator != "," else "y", "2.5"]]
    path = table(tmp_path, "\n".join(separator.join(line) for line in lines))
    rows, failures, _ = rows_of(path)
    assert [(r["label"], r["latitude"]) for r in rows] == [(line[1], float(line[2])) for line in lines[1:]]
    assert len(failures) == 0


def test_a_decimal_comma_is_read_in_a_latitude(tmp_path: Path) -> None:
    rows, failures, _ = rows_of(table(tmp_path, "file;lat;lon\na.jpg;45,25;-3,5\n"))
    assert (rows[0]["latitude"], rows[0]["longitude"]) == (45.25, -3.5)
    assert len(failures) == 0


def test_utf8_utf8_with_mark_and_utf16_are_read_without_a_word(tmp_path: Path) -> None:
    text = "file,label\r\na.jpg,Ångström ツ\r\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        rows, failures, _ = rows_of(table(tmp_path, text.encode(encoding)))
        assert rows[0]["id"] == "a.jpg" and rows[0]["label"] == "Ångström ツ"
        assert len(failures) == 0


def test_latin_1_is_read_with_a_warning_and_without_one_when_declared(tmp_path: Path) -> None:
    path = table(tmp_path, "file,label\na.jpg,x\nb.jpg,Müller\n".encode("latin-1"))
    rows, failures, _ = rows_of(path)
    assert rows[1]["label"] == "Müller"
    assert [(f.severity, f.row) for f in failures] == [("warning", None)]
    assert "byte 0xfc in line 3): read as Windows-1252" in next(iter(failures)).reason
    rows, failures, _ = rows_of(path, encoding="latin-1")
    assert rows[1]["label"] == "Müller" and len(failures) == 0


def test_rows_that_are_not_in_the_declared_encoding_are_failures(tmp_path: Path) -> None:
    path = table(tmp_path, b"file,label\na.jpg,x\nb.jpg,M\xfcller\nc.jpg,y\n")
    rows, failures, _ = rows_of(path, encoding="utf-8")
    assert [r["id"] for r in rows] == ["a.jpg", "c.jpg"]
    assert [(f.row, f.reason) for f in failures] == [(2, "not valid utf-8 (line 3)")]
    with pytest.raises(BiocosmosError, match="unknown encoding 'klingon'"):
        read(path, encoding="klingon")


def test_ragged_rows_are_failures_with_their_number_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        'file,label,note\na.jpg,x,"two\nlines, one ""cell"""\nb.jpg,y\n\nc.jpg,z,n,extra\nd.jpg,w,n,,\ne.jpg,v,n\n',
    )
    rows, failures, _ = rows_of(path)
    assert [(r["id"], r["note"]) for r in rows] == [
        ("a.jpg", 'two\nlines, one "cell"'),
        ("d.jpg", "n"),
        ("e.jpg", "n"),
    ]
    assert [(f.row, f.reason, f.severity) for f in failures] == [
        (2, "2 fields where the header has 3 (line 4)", "error"),
        (3, "4 fields where the header has 3 (line 6)", "error"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty: it needs a header row"),
        (",file,label\n0,a.jpg,x\n", "column 1 has no name .pandas"),
        ("file,,label\na.jpg,1,x\n", "column 2 has no name"),
        ("file,label,label\na.jpg,x,y\n", "'label' occurs twice"),
    ],
)
def test_headers_that_name_no_column_or_two_are_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(BiocosmosError, match=message):
        read(table(tmp_path, content))


def test_blank_ids_labels_and_images(tmp_path: Path) -> None:
    path = table(tmp_path, "id,file,label\n,a.jpg,x\n2,b.jpg,  \n3,,z\n,,z\n5,http://x.org/1.jpg,z\n")
    rows, failures, _ = rows_of(path)
    assert [(r["id"], r["label"]) for r in rows] == [("a.jpg", "x"), ("2", None)]
    assert sorted((f.severity, f.row, f.id, f.reason) for f in failures if f.row != 4) == [
        ("error", 3, "3", "no image, no barcode and no text"),
        ("error", 5, "5", "the image is a web address (http://x.org/1.jpg): download it first"),
        ("warning", 2, "2", "no label: kept, unlabelled"),
    ]
    assert [f.reason for f in failures if f.row == 4] == ["no image, no barcode and no text"]


def test_names_are_taken_apart_only_where_that_is_safe(tmp_path: Path) -> None:
    names = {
        "Pica hudsonia": ("Pica", "Pica hudsonia"),
        "Pica hudsonia (Sabine, 1823)": ("Pica", "Pica hudsonia"),
        "Apis (Apis) mellifera ligustica Spinola, 1806": ("Apis", "Apis mellifera"),
        "Salix × rubens": ("Salix", "Salix × rubens"),
        "Gambusia sp.": ("Gambusia", None),
        "Gambusia cf. affinis": ("Gambusia", None),
        "Chironomidae sp.": (None, None),
        "Copepoda": (None, None),
        "black-billed magpie": (None, None),
        "Coelorinchus_fasciatus": ("Coelorinchus", "Coelorinchus fasciatus"),
    }
    path = table(tmp_path, "file,scientific_name\n" + "".join(f'{i}.jpg,"{name}"\n' for i, name in enumerate(names)))
    rows, failures, ranks = rows_of(path)
    assert ranks == ("genus", "species")
    assert {r["scientificName"]: (r["genus"], r["species"]) for r in rows} == names
    assert [r["label"] for r in rows] == list(names)
    assert [f.reason for f in failures if f.reason.startswith("the name 'black")] == [
        "the name 'black-billed magpie' is not a Latin binomial (it begins in lower case): kept as it is"
    ]


def test_columns_of_genus_epithet_and_species_as_people_fill_them(tmp_path: Path) -> None:
    lines = {
        "Oithona,sp.,": ("Oithona", None, "Oithona sp."),
        "Oithona,sp1,": ("Oithona", None, "Oithona sp1"),
        "Oithona,larvae,": ("Oithona", None, "Oithona larvae"),
        "Oithona,×hybrida,": ("Oithona", "Oithona × hybrida", "Oithona × hybrida"),
        "Polygonia,c-album,": ("Polygonia", "Polygonia c-album", "Polygonia c-album"),
        "Oithona,NA,": ("Oithona", None, "Oithona"),
        "Oithona,,sp.": ("Oithona", None, "Oithona sp."),
        "Oithona,,Oithona sp.": ("Oithona", None, "Oithona sp."),
        "Oithona,,Oithona sp. A": ("Oithona", "Oithona sp. A", "Oithona sp. A"),  # a morphospecies of the source's own
        "Calanus,,C. finmarchicus": ("Calanus", "Calanus finmarchicus", "C. finmarchicus"),
        ',,"Pica pica (Linnaeus, 1758)"': ("Pica", "Pica pica", "Pica pica (Linnaeus, 1758)"),
        ",,sp.": (None, None, "sp."),
    }
    text = "".join(f"{i},t,{line}\n" for i, line in enumerate(lines))
    rows, _, _ = rows_of(table(tmp_path, f"id,text,genus,specificEpithet,species\n{text}"))
    assert [(row["genus"], row["species"], row["label"]) for row in rows] == list(lines.values())


def test_genus_and_epithet_make_the_species(tmp_path: Path) -> None:
    rows, _, _ = rows_of(table(tmp_path, "file,genus,species_epithet\na.jpg,Pica,hudsonia\nb.jpg,Pica,\n"))
    assert [(r["species"], r["label"]) for r in rows] == [("Pica hudsonia", "Pica hudsonia"), (None, "Pica")]
    rows, _, _ = rows_of(table(tmp_path, "file,genus,species\na.jpg,Pica,hudsonia\nb.jpg,,Pica pica\n"))
    assert [(r["genus"], r["species"]) for r in rows] == [("Pica", "Pica hudsonia"), ("Pica", "Pica pica")]


def test_a_barcode_column_that_is_no_dna_keeps_another_name(tmp_path: Path) -> None:
    rows, _, _ = rows_of(table(tmp_path, "file,barcode\na.jpg,BM001234\n"))
    assert rows[0]["barcode_source"] == "BM001234" and "barcode" not in rows[0]


def test_ranks_can_be_named(tmp_path: Path) -> None:
    path = table(tmp_path, "file,status,group,label\na.jpg,living,copepod,calanoid\n")
    assert rows_of(path)[2] == ("label",)
    assert rows_of(path, ranks=("status", "group", "label"))[2] == ("status", "group", "label")
    with pytest.raises(BiocosmosError, match="no column for the rank 'family'"):
        read(path, ranks=("family",))


def test_crops_come_as_lists(tmp_path: Path) -> None:
    path = table(tmp_path, 'file,crop\na.jpg,"[1, 2, 3.5, 4]"\nb.jpg,\nc.jpg,"[1, 2]"\nd.jpg,"[0, 0, 0, 5]"\n')
    rows, failures, _ = rows_of(path)
    assert [r["crop"] for r in rows] == [[1.0, 2.0, 3.5, 4.0], None]
    assert [f.row for f in failures] == [3, 4]


def test_images_may_lie_in_another_folder(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a").mkdir()
    (tmp_path / "pictures" / "a" / "b.jpg").write_bytes(b"x")
    path = table(tmp_path, "file\na\\b.jpg\n")
    rows, _, _ = rows_of(path, images=tmp_path / "pictures")
    assert Path(str(rows[0]["image_path"])) == tmp_path / "pictures" / "a" / "b.jpg"


def test_an_open_quote_spoils_no_more_than_it_must(tmp_path: Path) -> None:
    path = table(tmp_path, 'file,label\na.jpg,x\nb.jpg,"open\nc.jpg,z\n')
    rows, failures, _ = rows_of(path)
    assert rows[0]["id"] == "a.jpg"
    assert len(rows) + len(failures) >= 2


def jpeg(colour: str = "teal") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(out, "JPEG")
    return out.getvalue()


def test_parquet_keeps_types_and_packed_images(tmp_path: Path) -> None:
    data = pa.table(
        {
            "image": pa.array([{"bytes": jpeg(), "path": "a.jpg"}], pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            "key": pa.array(["k1"]),
            "label": pa.array(["krill"]).dictionary_encode(),
            "depths": pa.array([[1.5, 2.5]]),
            "lat": pa.array([12.0], pa.float32()),
            "when": pa.array([17000], pa.date32()),
        }
    )
    pq.write_table(data, tmp_path / "t.parquet")
    source = read(tmp_path / "t.parquet", columns={"key": "id", "when": "date"})
    (batch,) = source.batches
    row = batch.to_pylist()[0]
    assert row["image"] == jpeg() and row["id"] == "k1" and row["label"] == "krill"
    assert row["depths"] == [1.5, 2.5] and row["latitude"] == 12.0 and row["date"] == "2016-07-18"
    assert batch.schema.field("depths").type == pa.list_(pa.float64())
    with pytest.raises(BiocosmosError, match="as Parquet"):
        read(table(tmp_path, "no parquet", "x.parquet"))


def test_a_damaged_part_of_a_parquet_file_spares_the_others(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    data = pa.table({"id": [f"{i:04}" for i in range(40)], "text": [f"text number {i} " * 20 for i in range(40)]})
    pq.write_table(data, path, row_group_size=10, use_dictionary=False)
    raw = bytearray(path.read_bytes())
    at = pq.read_metadata(path).row_group(1).column(1).data_page_offset
    raw[at : at + 30] = b"\xff" * 30
    path.write_bytes(raw)
    rows, failures, _ = rows_of(path)
    assert [r["id"] for r in rows] == [f"{i:04}" for i in [*range(10), *range(20, 40)]]
    assert [(f.row, f.severity) for f in failures] == [(11, "error")]
    assert "rows 11 to 20 are damaged" in next(iter(failures)).reason


def test_long_numbers_lose_no_digit(tmp_path: Path) -> None:
    cells = {"short": ("1", "2.5"), "wide": ("123456789012345678", "1"), "wider": ("12345678901234567890", "1")}
    cells["mixed"] = ("1234567890123456789", "2.5")
    cells["both"] = ("0.5", "1234567890123456")
    lines = [",".join(["file", *cells]), *(",".join(["a.jpg", *(cell[i] for cell in cells.values())]) for i in (0, 1))]
    rows, _, _ = rows_of(table(tmp_path, "\n".join(lines)))
    assert [(r["short"], r["wide"], r["wider"], r["mixed"], r["both"]) for r in rows] == [
        (1.0, 123456789012345678, "12345678901234567890", "1234567890123456789", "0.5"),
        (2.5, 1, "1", "2.5", "1234567890123456"),
    ]
