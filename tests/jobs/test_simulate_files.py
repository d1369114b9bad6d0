"""Simulated barcodes as files: read back by Biopython, by vsearch's own rules, and as tables."""

from __future__ import annotations

from pathlib import Path

import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from Bio import SeqIO

from biocosmos.barcodes.simulate import simulate_barcodes
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.simulate import SimulateSettings, simulate

FEW = SimulateSettings(seed=1, species=6)
TABLE = simulate_barcodes(seed=1, species=6)


def test_a_fasta_has_its_lineage_in_the_header(tmp_path: Path) -> None:
    done = simulate(tmp_path / "b.fasta", FEW)
    records = list(SeqIO.parse(tmp_path / "b.fasta", "fasta"))
    assert [str(record.seq) for record in records] == TABLE["barcode"].to_pylist() and done.specimens == len(records) == 48
    first = TABLE.slice(0, 1).to_pylist()[0]
    tax = f"k:Animalia,p:Arthropoda,c:Insecta,o:{first['order']},f:{first['family']},g:{first['genus']}"
    assert records[0].id == f"{first['id']};tax={tax},s:{first['species'].replace(' ', '_')}"
    assert done.taxa["species"] == 6


def test_with_a_table_beside_it_the_headers_are_ids(tmp_path: Path) -> None:
    simulate(tmp_path / "b.fa", FEW, metadata=tmp_path / "b.tsv")
    beside = pc.read_csv(tmp_path / "b.tsv", parse_options=pc.ParseOptions(delimiter="\t"))
    assert [record.id for record in SeqIO.parse(tmp_path / "b.fa", "fasta")] == beside["id"].to_pylist()
    assert beside.drop_columns([]).equals(TABLE.drop_columns(["barcode"]))


def test_a_table_is_what_the_function_gives(tmp_path: Path) -> None:
    simulate(tmp_path / "b.parquet", FEW)
    assert pq.read_table(tmp_path / "b.parquet").equals(TABLE)


@pytest.mark.parametrize(
    ("name", "metadata", "said"), [("b.txt", None, "must end in"), ("b.csv", "m.csv", "--metadata does nothing")]
)
def test_other_names_are_refused(tmp_path: Path, name: str, metadata: str | None, said: str) -> None:
    with pytest.raises(BiocosmosError, match=said):
        simulate(tmp_path / name, FEW, metadata=metadata and tmp_path / metadata)
    assert not list(tmp_path.iterdir())


def test_what_is_to_be_named_is_in_no_other_file(tmp_path: Path) -> None:
    many = SimulateSettings(seed=1, species=40, specimens=800)
    done = simulate(tmp_path / "b.fa", many, unknown=tmp_path / "u.fa")
    known, unknown = ([record.id for record in SeqIO.parse(tmp_path / name, "fasta")] for name in ("b.fa", "u.fa"))
    assert len(known) == done.specimens and len(unknown) == done.unknown and len({*known, *unknown}) == 800
    species = [{each.split("s:")[1] for each in part} for part in (known, unknown)]
    assert species[1] - species[0] and species[1] & species[0] and 100 < len(unknown) < 300


def test_one_file_does_not_replace_another(tmp_path: Path) -> None:
    with pytest.raises(BiocosmosError, match="one file would replace another"):
        simulate(tmp_path / "b.fasta", FEW, unknown=tmp_path / "." / "b.fasta")
    with pytest.raises(BiocosmosError, match="one file would replace another"):
        simulate(tmp_path / "b.fasta", FEW, metadata=tmp_path / "b.tsv", unknown=tmp_path / "b.tsv")
    assert not list(tmp_path.iterdir())
