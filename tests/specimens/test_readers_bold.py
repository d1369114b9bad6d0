"""Tables of BOLD, the old and the new, and people's own tables of barcodes."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from biocosmos import Collection
from biocosmos.specimens.readers import read
from reading import rows_of

DNA = "AACATTATATTTTATTTTTGGTGCTTGAGC" * 4
CLASSIC = (
    "processid,sampleid,recordID,bin_uri,phylum_name,class_name,order_name,family_name,subfamily_name,genus_name,species_name,"
    "lat,lon,image_urls,markercode,nucleotides\n"
    f"ABC001-10,S1,77,BOLD:AAA1,Arthropoda,Insecta,Diptera,Culicidae,Culicinae,Culex,Culex pipiens,48.1,11.5,"
    f"http://b.org/1.jpg|http://b.org/2.jpg,COI-5P,{DNA}\n"
    f"ABC002-10,S2,78,,Arthropoda,Insecta,Diptera,Culicidae,,,,,,,COI-5P,{DNA}--A\n"
    "ABC003-10,S3,79,,Arthropoda,Insecta,Diptera,,,,,,,,,\n"
).replace(",", "\t")
NEW = (
    "processid;sampleid;specimenid;bin_uri;kingdom;phylum;class;order;family;genus;species;identification;coord;nuc\n"
    f"X1;S1;9001;BOLD:AAA1;Animalia;Arthropoda;Insecta;Diptera;Culicidae;Culex;Culex pipiens;Culex pipiens;(48.1, -11.5);{DNA}\n"
    f"X2;S2;9002;;Animalia;Arthropoda;Insecta;Diptera;Culicidae;;;Culicidae;-3.25,17;{DNA}\n"
    f"X3;S3;9003;;Animalia;Arthropoda;;;;;;Arthropoda;near Munich;{DNA}\n"
).replace(";", "\t")


def put(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_the_classic_table(tmp_path: Path) -> None:
    rows, failures, ranks = rows_of(put(tmp_path / "bold_data.tsv", CLASSIC))
    assert ranks == ("phylum", "class", "order", "family", "subfamily", "genus", "species")
    first, second = rows
    assert (first["id"], first["label"], first["species"], first["subfamily"]) == (
        "ABC001-10",
        *["Culex pipiens"] * 2,
        "Culicinae",
    )
    assert (second["id"], second["label"], second["family"], second["genus"]) == ("ABC002-10", "Culicidae", "Culicidae", None)
    assert (first["barcode"], second["barcode"]) == (DNA, DNA + "A")
    assert (first["latitude"], first["longitude"], second["latitude"]) == (48.1, 11.5, None)
    assert first["image_url"] == "http://b.org/1.jpg" and first["image_urls"] == "http://b.org/1.jpg|http://b.org/2.jpg"
    assert [(f.severity, f.id, f.reason) for f in failures] == [
        ("error", "ABC003-10", "no image, no barcode and no text"),
        ("warning", None, "1 specimen has its image on the web: the address is kept as image_url, nothing was fetched"),
    ]


def test_the_table_of_version_5(tmp_path: Path) -> None:
    rows, failures, ranks = rows_of(put(tmp_path / "bold.tsv", NEW))
    assert ranks == ("kingdom", "phylum", "class", "order", "family", "genus", "species")
    assert [(row["id"], row["label"]) for row in rows] == [("X1", "Culex pipiens"), ("X2", "Culicidae"), ("X3", "Arthropoda")]
    assert [(row["latitude"], row["longitude"]) for row in rows] == [(48.1, -11.5), (-3.25, 17.0), (None, None)]
    assert rows[0]["barcode"] == DNA and rows[0]["coord"] == "(48.1, -11.5)" and rows[0]["specimenid"] == 9001
    assert [f.reason for f in failures] == ["latitude 'near Munich' is not a number of degrees within 90: left blank"]


def test_a_missing_image_costs_no_barcode(tmp_path: Path) -> None:
    there = tmp_path / "there.png"
    Image.new("RGB", (8, 8), "red").save(there)
    text = (
        f"tube,Barcode,Photo,COI sequence,label\n1,T-1,{there},{DNA},x\n2,T-2,gone.jpg,{DNA},x\n3,T-3,,{DNA},x\n"
        "4,T-4,gone.jpg,,x\n5,T-5,,,x\n"
    )
    source = read(put(tmp_path / "own.csv", text), columns={"tube": "id", "Photo": "image_path"})
    collection = Collection.create(tmp_path / "own.cosmos")
    summary = collection.add(source)
    stored = collection.dataset.to_table(columns=["id", "barcode", "image_path"]).to_pylist()
    assert [(row["id"], row["barcode"]) for row in stored] == [("1", DNA), ("2", DNA), ("3", DNA)]
    assert [row["image_path"] for row in stored] == [str(there), None, None]
    told = {f.id: (f.severity, f.reason) for f in summary.failures if f.id}
    assert told["2"] == ("warning", "there is no image file 'gone.jpg': kept with its barcode alone")
    assert told["3"] == ("warning", "the name of the image is blank: kept with its barcode alone")
    assert told["4"][0] == "error" and told["5"] == ("error", "no image, no barcode and no text")


def test_a_sequence_column_that_is_not_dna_throughout_is_no_barcode(tmp_path: Path) -> None:
    rows, _, _ = rows_of(put(tmp_path / "own.csv", f"id,text,COI sequence\n1,t,{DNA}\n2,t,see lab book\n"))
    assert "barcode" not in rows[0] and DNA in rows[0].values()


def test_the_family_name_of_a_person_is_no_taxon(tmp_path: Path) -> None:
    _, _, ranks = rows_of(put(tmp_path / "own.csv", "id,text,Family Name,species\n1,t,Smith,Pica pica\n"))
    assert ranks == ("species",)
