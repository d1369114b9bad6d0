"""Tables with barcodes: BOLD's old and new, its spreadsheet, BCDM, BIOSCAN, Canadian Invertebrates, and people's own."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biocosmos import Collection
from biocosmos.barcodes.orientation import reverse_complement
from biocosmos.barcodes.rules import Rules
from biocosmos.barcodes.simulate import simulate_barcodes
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.readers import detect, read
from reading import rows_of

A, B, C = (str(barcode).strip("N") for barcode in simulate_barcodes(seed=6, species=3)["barcode"].to_pylist()[::8])
LINE = "Animalia\tArthropoda\tInsecta\tDiptera\tCulicidae\t"
BCDM = (
    "processid\tsampleid\trecord_id\tbin_uri\tkingdom\tphylum\tclass\torder\tfamily\tsubfamily\tgenus\tspecies\t"
    "identification\tidentification_rank\tidentified_by\tcollectors\tcollection_date_start\tcountry/ocean\tcoord\tnuc\t"
    "nuc_basecount\tmarker_code\n"
    f"X1-20\tS1\t1\tBOLD:AAA1\t{LINE}Culicinae\tCulex\tCulex pipiens\tCulex pipiens\t"
    f"species\tA. Person\tB. Person\t2020-05-01\tGermany\t(48.1, 11.5)\t--{A.lower()}\t658\tCOI-5P\n"
    f"X2-20\tS2\t2\tBOLD:AAA2\t{LINE}\tCulex\tCulex sp. 2\tCulex sp. 2\tspecies\t\t\t"
    f"\tKenya\t\t{reverse_complement(B)}\t658\tCOI-5P\n"
    f"X2-20\tS2\t2\tBOLD:AAA2\t{LINE}\tCulex\tCulex sp. 2\tCulex sp. 2\tspecies\t\t\t"
    f"\tKenya\t\t{C}\t500\tITS\n"
)


def put(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_bcdm_is_read_cleaned_and_without_people(tmp_path: Path) -> None:
    path = put(tmp_path / "BOLD_Public.tsv", BCDM)
    rows, failures, ranks = rows_of(path, marker="COI-5P")
    assert ranks == ("kingdom", "phylum", "class", "order", "family", "subfamily", "genus", "species")
    first, second = rows
    assert (first["id"], first["barcode"], first["species"], first["dna_bin"]) == ("X1-20", A, "Culex pipiens", "BOLD:AAA1")
    assert (first["latitude"], first["longitude"], first["date"]) == (48.1, 11.5, "2020-05-01")
    assert (second["barcode"], second["species"], second["label"], second["genus"]) == (B, None, "Culex sp. 2", "Culex")
    assert not {"identified_by", "collectors"} & set(first)
    assert [(f.severity, f.reason.split(":")[0]) for f in failures] == [
        ("warning", "columns about people are left out"),
        ("warning", "of other markers than COI-5P, 1 left out"),
        ("warning", "1 row has a name that is no certain species"),
        ("warning", "1 barcode of the other strand"),
    ]
    kept, _, _ = rows_of(path, marker="COI-5P", keep_personal=True, provisional=True)
    assert (kept[0]["identified_by"], kept[0]["collectors"], kept[1]["species"]) == ("A. Person", "B. Person", "Culex sp. 2")
    with pytest.raises(BiocosmosError, match="no column of markers"):
        rows_of(put(tmp_path / "t.csv", f"id,nuc\na,{A}\n"), marker="COI-5P")


def test_canadian_invertebrates_and_bioscan_have_one_name_for_the_bin(tmp_path: Path) -> None:
    text = f"processid,bin_uri,phylum,genus,species,nucleotides,split\nP1,BOLD:AAA1,Arthropoda,Culex,Culex pipiens,{A}NN,train\n"
    rows, _, _ = rows_of(put(tmp_path / "canadian.csv", text))
    assert (rows[0]["id"], rows[0]["dna_bin"], rows[0]["barcode"], rows[0]["split"]) == ("P1", "BOLD:AAA1", A, "train")
    header = "sampleid\tprocessid\turi\tname\tphylum\tfamily\tgenus\tspecies\tnucraw\timage_file\tchunk_number\n"
    path = put(
        tmp_path / "bioscan1m.tsv",
        header + f"S1\tP1\tBOLD:AAA2\tPhoridae\tArthropoda\tPhoridae\tnot_classified\t\t{B}\t1.jpg\t1\n",
    )
    rows, _, _ = rows_of(path)
    assert detect(path) == "bioscan" and (rows[0]["dna_bin"], rows[0]["barcode"], rows[0]["genus"]) == ("BOLD:AAA2", B, None)
    five = f"processid,taxon,phylum,dna_bin,dna_barcode,split\nP1,Culex,Arthropoda,BOLD:AAA3,{C}NNNN,train\n"
    rows, _, _ = rows_of(put(tmp_path / "bioscan5m.csv", five))
    assert (rows[0]["dna_bin"], rows[0]["barcode"], rows[0]["label"]) == ("BOLD:AAA3", C, "Culex")


def test_a_refused_barcode_costs_the_row_only_where_nothing_else_is_there(tmp_path: Path) -> None:
    text = f"id,text,nuc\na,seen,MKVLEFPQ\nb,,MKVLEFPQ\nc,,{A}\nd,,{'N' * 200}\n"
    rows, failures, _ = rows_of(put(tmp_path / "t.csv", text + f"e,,{B}\nf,,{C}\ng,,{A[:400]}\n"))
    assert [(row["id"], row["barcode"]) for row in rows] == [("a", None), ("c", A), ("e", B), ("f", C), ("g", A[:400])]
    told = [(f.severity, f.row, f.id, f.reason) for f in failures]
    assert told[0][:3] == ("warning", 1, "a") and told[0][3].endswith("a protein: kept without its barcode")
    assert told[1][:3] == ("error", 2, "b") and told[1][3].endswith("a protein")
    assert told[2] == ("error", 4, "d", "the sequence is nothing but unknown bases (200 N)")
    assert len(told) == 3


def test_parquet_and_frames_are_cleaned_too(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": ["a", "b", "c"],
            "label": ["x", "y", "z"],
            "barcode": [A.lower() + "--", None, "ACGT"],
            "collector": ["p", "q", "r"],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    rows, failures, _ = rows_of(tmp_path / "t.parquet")
    assert [(row["id"], row["barcode"]) for row in rows] == [("a", A)] and "collector" not in rows[0]
    assert [(f.id, f.severity) for f in failures if f.id] == [("b", "error"), ("c", "error")]
    collection = Collection.create(tmp_path / "c.cosmos")
    collection.add(read(table, rules=Rules(min_length=4)))
    assert collection.table(["barcode"])["barcode"].to_pylist() == [A, "ACGT"]


def test_a_collection_reads_its_own_export_as_it_was(tmp_path: Path) -> None:
    collection = Collection.create(tmp_path / "c.cosmos")
    collection.add(pa.table({"id": ["a", "b"], "label": ["x", "y"], "barcode": [A, B]}))
    collection.table(["id", "label", "barcode"]).to_pandas().to_csv(tmp_path / "t.csv", index=False)
    again = collection.add(read(tmp_path / "t.csv"))
    assert (again.added, again.known, len(again.failures)) == (0, 2, 0)


# ------------------------------------------------------------------ workbooks


def bold_workbook(path: Path) -> Path:
    """BOLD's spreadsheet: titles in two rows, the header in the third, four sheets joined by their ids."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    sheets = {
        "Voucher Info": (["Sample ID", "Field ID", "Institution Storing"], [["S1", 17, "Museum"], ["S2", 18, "Museum"]]),
        "Taxonomy": (
            ["Sample ID", "Phylum", "Class", "Order", "Family", "Genus", "Species", "Identifier", "Identifier Email"],
            [
                ["S2", "Arthropoda", "Insecta", "Diptera", "Culicidae", "Culex", "Culex torrentium", "A. Person", "a@b.org"],
                ["S1", "Arthropoda", "Insecta", "Diptera", "Culicidae", "Culex", "Culex pipiens", "A. Person", "a@b.org"],
            ],
        ),
        "Collection Data": (
            ["Sample ID", "Collectors", "Country/Ocean", "Lat", "Lon"],
            [["S1", "B. Person", "Germany", 48.1, 11.5]],
        ),
    }
    for title, (header, rows) in sheets.items():
        sheet = book.create_sheet(title)
        for row in (["Specimen data of BOLD"], [None, title], header, *rows):
            sheet.append(row)
    book.save(path)
    return path


def test_the_spreadsheet_of_bold_is_one_table(tmp_path: Path) -> None:
    book = bold_workbook(tmp_path / "bold.xlsx")
    fasta = put(tmp_path / "x.fasta", f">S1\n{A}\n>S2\n{B}\n")
    rows, failures, ranks = rows_of(fasta, metadata=book)
    assert ranks == ("phylum", "class", "order", "family", "genus", "species")
    assert [(row["id"], row["species"], row["Field ID"], row["latitude"]) for row in rows] == [
        ("S1", "Culex pipiens", 17, 48.1),
        ("S2", "Culex torrentium", 18, None),
    ]
    assert [f.reason for f in failures] == [
        "columns about people are left out: Identifier, Identifier Email, Collectors; --keep-personal keeps them"
    ]
    with pytest.raises(BiocosmosError, match="no column that is surely an image file, barcode or text"):
        read(book)  # no sequence stands in it


def test_a_workbook_of_one_sheet_is_a_table(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (
        ["My barcodes"],
        [],
        ["id", "species", "COI sequence", "size", ""],
        ["a", "Culex pipiens", A, 3.0],
        [],
        ["b", None, B],
    ):
        book.active.append(row)
    book.save(tmp_path / "own.xlsx")
    rows, failures, _ = rows_of(tmp_path / "own.xlsx")
    assert [(row["id"], row["species"], row["barcode"], row["size"]) for row in rows] == [
        ("a", "Culex pipiens", A, 3),
        ("b", None, B, None),
    ]
    assert detect(tmp_path / "own.xlsx") == "xlsx" and failures.errors == 0


def test_sheets_that_are_no_one_table_are_refused(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["id", "nuc"])
    book.create_sheet("second").append(["a", "b"])
    book.save(tmp_path / "two.xlsx")
    with pytest.raises(BiocosmosError, match=r"has 2 sheets .Sheet, second. without a process or sample id"):
        read(tmp_path / "two.xlsx")
    openpyxl.Workbook().save(tmp_path / "empty.xlsx")
    with pytest.raises(BiocosmosError, match="no sheet with a header"):
        read(tmp_path / "empty.xlsx")
