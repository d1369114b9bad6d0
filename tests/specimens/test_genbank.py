"""GenBank flat files: the gene on its own strand, several copies, what the source feature says, and damaged records."""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import pytest
from Bio import SeqIO
from Bio.Seq import Seq
from Bio.SeqFeature import CompoundLocation, SeqFeature, SimpleLocation
from Bio.SeqRecord import SeqRecord

from biocosmos.barcodes.orientation import reverse_complement
from biocosmos.barcodes.simulate import simulate_barcodes
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.readers import detect, read
from biocosmos.specimens.readers.family_names import ranks_of_lineage
from reading import rows_of

A, B, C = (str(barcode).strip("N") for barcode in simulate_barcodes(seed=7, species=3)["barcode"].to_pylist()[::8])
LINEAGE = [
    "Eukaryota",
    "Metazoa",
    "Arthropoda",
    "Insecta",
    "Diptera",
    "Culicoidea",
    "Culicidae",
    "Culicinae",
    "Culicini",
    "Culex",
]
SOURCE = {
    "organism": ["Culex pipiens"],
    "lat_lon": ["48.10 N 11.50 W"],
    "geo_loc_name": ["Germany: Bavaria"],
    "collection_date": ["12-Jul-2010"],
    "collected_by": ["A. Person"],
    "identified_by": ["B. Person"],
    "specimen_voucher": ["ZSM 1"],
    "db_xref": ["taxon:7175", "BOLD:ABC1-10.COI-5P"],
}


def record(
    name: str, sequence: str, organism: str = "Culex pipiens", title: str = "a record", *features: SeqFeature
) -> SeqRecord:
    made = SeqRecord(Seq(sequence), id=f"{name}.1", name=name, description=title)
    made.annotations |= {"molecule_type": "DNA", "organism": organism, "taxonomy": LINEAGE}
    made.features = list(features)
    return made


def feature(start: int, end: int, strand: int, kind: str = "CDS", **qualifiers: str) -> SeqFeature:
    return SeqFeature(
        SimpleLocation(start, end, strand), type=kind, qualifiers={name: [text] for name, text in qualifiers.items()}
    )


def flat(path: Path, *records: SeqRecord, end: str = "\n", more: str = "") -> Path:
    out = io.StringIO()
    SeqIO.write(records, out, "genbank")
    path.write_bytes((out.getvalue() + more).replace("\n", end).encode())
    return path


def genome() -> SeqRecord:
    """Three genes, one of them twice, on both strands, and one that is no COI."""
    whole = "ACGT" * 10 + reverse_complement(A) + "GGCC" * 10 + B + "TTAA" * 10 + C
    at = 40 + len(A) + 40
    return record(
        "MT1",
        whole,
        "Culex pipiens",
        "Culex pipiens mitochondrion, complete genome",
        SeqFeature(SimpleLocation(0, len(whole), 1), type="source", qualifiers=SOURCE),
        feature(40, 40 + len(A), -1, "gene", gene="COX1"),
        feature(40, 40 + len(A), -1, gene="COX1", product="cytochrome c oxidase subunit I"),
        feature(at, at + len(B), 1, product="cytochrome oxidase subunit 1"),
        feature(at + len(B) + 40, len(whole), 1, gene="CYTB", product="cytochrome b"),
    )


def test_the_gene_is_cut_out_on_its_strand_with_what_is_said_of_the_specimen(tmp_path: Path) -> None:
    rows, failures, ranks = rows_of(flat(tmp_path / "x.gb", genome(), end="\r\n"))
    assert [(row["id"], row["barcode"]) for row in rows] == [("MT1.1", A), ("MT1.1#2", B)]
    expected = {
        "label": "Culex pipiens",
        "family": "Culicidae",
        "subfamily": "Culicinae",
        "tribe": "Culicini",
        "genus": "Culex",
        "species": "Culex pipiens",
        "latitude": 48.1,
        "longitude": -11.5,
        "date": "2010-07-12",
        "country": "Germany: Bavaria",
        "specimen_voucher": "ZSM 1",
        "taxid": "7175",
        "bold": "ABC1-10.COI-5P",
        "lineage": ";".join(LINEAGE),
    }
    assert {name: rows[0][name] for name in expected} == expected and set(ranks) >= {"family", "genus", "species"}
    assert "collected_by" not in rows[0] and [f.reason for f in failures] == [
        "columns about people are left out: collected_by, identified_by; --keep-personal keeps them"
    ]
    assert rows_of(tmp_path / "x.gb", keep_personal=True)[0][0]["collected_by"] == "A. Person"
    assert [row["barcode"] for row in rows_of(tmp_path / "x.gb", marker="cytb")[0]] == [C]


def test_what_biopython_extracts_is_what_is_stored(tmp_path: Path) -> None:
    joined = record("J1", A[:300] + "NNNNN" + A[300:])
    joined.features = [
        SeqFeature(
            CompoundLocation([SimpleLocation(0, 300, 1), SimpleLocation(305, len(A) + 5, 1)]),
            type="CDS",
            qualifiers={"gene": ["coxI"]},
        )
    ]
    path = flat(tmp_path / "x.gbk", joined, genome())
    theirs = [
        str(one.extract(each.seq))
        for each in SeqIO.parse(path, "genbank")
        for one in each.features
        if one.type == "CDS" and "cytochrome b" not in one.qualifiers.get("product", ())
    ]
    assert [row["barcode"] for row in rows_of(path)[0]] == theirs == [A, A, B]


def test_a_title_alone_names_the_gene_only_where_no_feature_does(tmp_path: Path) -> None:
    titled = record("T1", A, "Culex sp. 1 JH-2010", "Culex sp. 1 JH-2010 cytochrome oxidase subunit I (COI) gene, partial cds")
    other = record("T2", B, "Culex pipiens", "Culex pipiens 18S ribosomal RNA gene")
    protein = record("T3", C, "Culex pipiens", "Culex pipiens (COI) gene", feature(0, len(C), 1, gene="ND5"))
    rows, failures, _ = rows_of(flat(tmp_path / "x.genbank", titled, other, protein))
    assert [(row["id"], row["label"], row["species"], row["genus"]) for row in rows] == [
        ("T1.1", "Culex sp. 1 JH-2010", None, "Culex")
    ]
    assert [(f.row, f.id) for f in failures if f.severity == "error"] == [(2, "T2.1"), (3, "T3.1")]


def test_a_damaged_record_costs_itself_alone(tmp_path: Path) -> None:
    bad = "LOCUS       BAD1 12 bp DNA\nFEATURES             Location/Qualifiers\n     CDS             join(1..\nORIGIN\n//\n"
    path = flat(tmp_path / "x.gb", genome(), more=bad)
    path.write_bytes(
        path.read_bytes() + flat(tmp_path / "y.gb", record("G2", C, title="(COI)")).read_bytes() + b"LOCUS       CUT1"
    )
    rows, failures, _ = rows_of(path)
    assert [row["id"] for row in rows] == ["MT1.1", "MT1.1#2", "G2.1"]
    assert [(f.row, f.id) for f in failures if f.severity == "error"] == [(2, "BAD1"), (4, "CUT1")]
    (tmp_path / "z.gb").write_text("nothing\n")
    with pytest.raises(BiocosmosError, match="has no record"):
        rows_of(tmp_path / "z.gb")


def test_packed_files_are_read(tmp_path: Path) -> None:
    plain = flat(tmp_path / "x.gb", genome())
    (tmp_path / "y.gb.gz").write_bytes(gzip.compress(plain.read_bytes()))
    assert detect(tmp_path / "y.gb.gz") == "genbank" and len(rows_of(tmp_path / "y.gb.gz")[0]) == 2


def test_without_biopython_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = flat(tmp_path / "x.gb", genome())
    monkeypatch.setitem(sys.modules, "Bio.SeqIO", None)
    with pytest.raises(BiocosmosError, match=r"pip install 'biocosmos\[dna\]'"):
        read(path)


def test_only_binding_endings_give_ranks() -> None:
    assert ranks_of_lineage(LINEAGE[:-1]) == {
        "superfamily": "Culicoidea",
        "family": "Culicidae",
        "subfamily": "Culicinae",
        "tribe": "Culicini",
    }
    assert ranks_of_lineage(["Eukaryota", "Viridiplantae", "Asterales", "Asteraceae", "Asteroideae"]) == {
        "order": "Asterales",
        "family": "Asteraceae",
        "subfamily": "Asteroideae",
    }
    assert ranks_of_lineage(["Bacteria", "Enterobacterales"]) == {} and ranks_of_lineage([]) == {}
    assert ranks_of_lineage(["Metazoa", "Houdini", "Hyracoidea"]) == {}  # an order that ends as superfamilies do
