"""The taxa of a collection and lists of names, looked up in a checklist."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from biocosmos import Collection
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.check_names import check_names

CHECKLIST = (
    "id,parent,rank,name,author,accepted_id\n"
    "1,,kingdom,Animalia,,\n2,,kingdom,Plantae,,\n3,1,family,Sphecidae,,\n4,2,family,Poaceae,,\n"
    "5,3,genus,Ammophila,Kirby,\n6,4,genus,Ammophila,Host,\n7,5,species,Ammophila sabulosa,L.,\n8,,species,Sphex sabulosa,L.,7\n"
)


@pytest.fixture
def checklist(tmp_path: Path) -> Path:
    path = tmp_path / "checklist.csv"
    path.write_text(CHECKLIST)
    return path


def test_a_collection_is_checked_with_its_ranks_and_counts(tmp_path: Path, checklist: Path) -> None:
    collection = Collection.create(tmp_path / "x.cosmos")
    rows = [("Animalia", "Sphecidae", "Ammophila", "Sphex sabulosa"), ("Plantae", "Poaceae", "Ammophila", None)]
    columns = dict(zip(("kingdom", "family", "genus", "species"), map(list, zip(*rows))))
    collection.add(pa.table({"id": ["a", "b"], "text": ["t", "t"], **columns}))
    done = check_names(collection, checklist)
    found = {(row["name"], row["kingdom"]): row for row in done.table.to_pylist()}
    assert found["Ammophila", "Plantae"]["accepted_id"] == "6" and found["Ammophila", "Animalia"]["accepted_id"] == "5"
    synonym = found["Sphex sabulosa", "Animalia"]
    assert (synonym["status"], synonym["accepted"], synonym["rank"], synonym["specimens"]) == (
        "synonym",
        "Ammophila sabulosa",
        "species",
        1,
    )
    assert done.counts == {"matched": 6, "synonym": 1, "ambiguous": 0, "unknown": 0}
    assert check_names(tmp_path / "x.cosmos", checklist).table.equals(done.table)


def test_a_table_of_names_brings_authors_and_parents(tmp_path: Path, checklist: Path) -> None:
    path = tmp_path / "names.csv"
    path.write_text("name;author;kingdom\nAmmophila;;\nAmmophila;Host;\nAmmophila;;Animalia\n;Host;\nFoo bar;;\nAmmophila;;\n")
    done = check_names(path, checklist)
    assert done.table["status"].to_pylist() == ["ambiguous", "matched", "matched", "unknown", "ambiguous"]
    assert done.table["accepted_id"].to_pylist() == [None, "6", "5", None, None]
    assert [(failure.row, failure.reason) for failure in done.failures] == [(4, "no name")]
    path.write_text("name;author\n;x\n")
    with pytest.raises(BiocosmosError, match="has no names"):
        check_names(path, checklist)
