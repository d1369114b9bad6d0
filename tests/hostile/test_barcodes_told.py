"""What is said of odd files of barcodes is what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

import biocosmos as bc
from biocosmos.barcodes.cleaning import Cleaning
from biocosmos.barcodes.rules import Rules
from biocosmos.barcodes.simulate import simulate_barcodes
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.adapters.formats import ToolFile
from biocosmos.jobs.identify import identify_collection
from biocosmos.jobs.search import search_collection
from biocosmos.jobs.settings import SearchSettings

ROWS = simulate_barcodes(seed=5, species=4)


@pytest.fixture(scope="module")
def coi(tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    collection = bc.Collection.create(tmp_path_factory.mktemp("told") / "coi.cosmos")
    collection.add(bc.read(ROWS))
    bc.embed(collection, "kmer:5")
    return collection


def test_the_cause_is_told_and_not_the_encoding(coi: bc.Collection, tmp_path: Path) -> None:
    path = tmp_path / "noise.fasta"
    path.write_bytes(bytes(range(128, 256)) * 9)
    with pytest.raises(BiocosmosError, match=r"no sequence of 1 file could be read: .*FASTA begins with '>'"):
        identify_collection(coi, images=[path])
    with pytest.raises(BiocosmosError, match=r"none of the barcodes can be compared .*FASTA begins with '>'"):
        search_collection(coi, SearchSettings(fasta=(str(path),)))


def test_the_gravest_reason_is_the_commonest_error() -> None:
    failures = Failures()
    for _ in range(3):
        failures.add("changed", stage="read", severity="warning")
    assert failures.gravest() == "changed"
    failures.add("left out", stage="read")
    assert failures.gravest() == "left out"


def test_rows_of_one_id_that_differ_are_told(tmp_path: Path) -> None:
    barcodes = ROWS["barcode"].to_pylist()
    (tmp_path / "x.fasta").write_text("".join(f">a{i}\n{barcodes[i]}\n" for i in range(3)))
    rows = ["id\tspecies", "a0\tAus bus", "a0\tAus cus", "a1\tAus bus", "a1\tAus bus", "a2\tAus bus"]
    (tmp_path / "m.tsv").write_text("\n".join(rows) + "\n")
    collection = bc.Collection.create(tmp_path / "x.cosmos")
    summary = collection.add(bc.read(tmp_path / "x.fasta", metadata=tmp_path / "m.tsv"))
    assert collection.table(["id", "species"])["species"].to_pylist() == ["Aus bus"] * 3
    told = [row.reason for row in summary.failures]
    assert told == ["1 id has several rows with other values in m.tsv, of which the first is used: a0"]


@pytest.mark.parametrize(("sequence", "protein"), [("n?t!!" * 30, False), ("12345" * 30, False), ("mkvlefpqrst" * 12, True)])
def test_not_every_letter_is_of_a_protein(sequence: str, protein: bool) -> None:
    told = str(Cleaning(Rules()).clean([sequence])[0].refused)
    assert told.startswith("the sequence has letters that stand for no nucleotide") and told.endswith(": a protein") == protein


@pytest.mark.parametrize(
    ("cell", "why"),
    [((2, "150"), "150"), ((2, "nan"), "nan"), ((11, "nan"), "bits: 'nan'"), ((3, "x"), "no number where blast6")],
)
def test_a_line_with_the_right_columns_and_wrong_numbers_is_explained(tmp_path: Path, cell: tuple[int, str], why: str) -> None:
    cells = ["q", "t", "99.5", "600", "5", "0", "1", "600", "1", "600", "1e-100", "900"]
    (tmp_path / "good.b6").write_text("\t".join(cells) + "\n")
    assert ToolFile.of(tmp_path / "good.b6").format == "blast6"
    cells[cell[0]] = cell[1]
    (tmp_path / "bad.b6").write_text("\t".join(cells) + "\n")
    with pytest.raises(BiocosmosError, match=f"its first line has 12 columns, .* \\(.*{why}.*\\); make one"):
        ToolFile.of(tmp_path / "bad.b6")
