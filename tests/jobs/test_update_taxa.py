"""A collection is brought to a new release of a checklist, reviewed, and taken back."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pv
import pytest

from biocosmos import Collection
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.update_taxa import update_taxa
from biocosmos.specimens.care.undo import undo
from biocosmos.tables import write_table

RELEASE = (
    "ID\tparentID\tstatus\trank\tscientificName\n"
    "K\t\taccepted\tkingdom\tAnimalia\nF\tK\taccepted\tfamily\tNewidae\nG\tF\taccepted\tgenus\tAus\nH\tF\taccepted\tgenus\tBus\n"
    "s1\tG\taccepted\tspecies\tAus bus\ns2\tG\taccepted\tspecies\tAus cus\ns3\tH\taccepted\tspecies\tBus dus\n"
    "y1\ts3\tsynonym\tspecies\tAus oldus\ny2\ts2\tsynonym\tspecies\tAus lumpus\n"
    "p1\ts1\tambiguous synonym\tspecies\tAus splitus\np2\ts3\tambiguous synonym\tspecies\tAus splitus\n"
)
SPECIES = ["Aus bus", "Aus oldus", "Aus cus", "Aus lumpus", "Aus splitus", "Aus nusquam", "Aus oldus", None]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    path = tmp_path / "NameUsage.tsv"
    path.write_text(RELEASE)
    return path


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    made = Collection.create(tmp_path / "x.cosmos")
    rows = len(SPECIES)
    columns = {"family": ["Oldidae"] * rows, "genus": ["Aus"] * rows, "species": SPECIES}
    made.add(pa.table({"id": [str(i) for i in range(rows)], "text": ["t"] * rows, **columns}))
    return made


def names(collection: Collection) -> list[tuple[str | None, ...]]:
    table = collection.table(["id", "family", "genus", "species"]).sort_by("id")
    return list(zip(*(table[name].to_pylist() for name in ("family", "genus", "species"))))


def test_what_would_change_is_said_and_nothing_is_changed(collection: Collection, release: Path) -> None:
    before = names(collection)
    done = update_taxa(collection, release)
    actions = {row["taxon"]: (row["action"], row["use"], row["specimens"]) for row in done.review.to_pylist()}
    assert actions == {
        "Aus": ("move", "G", 1),
        "Aus bus": ("move", "s1", 1),
        "Aus oldus": ("rename", "s3", 2),
        "Aus cus": ("move", "s2", 1),
        "Aus lumpus": ("review", None, 1),
        "Aus splitus": ("review", None, 1),
        "Aus nusquam": ("review", None, 1),
    }
    assert "lumped" in next(row["reason"] for row in done.review.to_pylist() if row["taxon"] == "Aus lumpus")
    assert done.change.specimens == 5 and done.change.entry is None
    assert names(collection) == before and "kingdom" not in collection.ranks


def test_applied_with_a_review_and_undone(collection: Collection, release: Path, tmp_path: Path) -> None:
    before = names(collection)
    path = write_table(update_taxa(collection, release).review, tmp_path / "review.csv")
    rows = pv.read_csv(path).to_pylist()
    decided = {"Aus lumpus": "s2", "Aus splitus": "Bus dus", "Aus nusquam": "nothing", "Aus bus": ""}
    for row in rows:
        row["use"] = decided.get(row["taxon"], row["use"])
    write_table(pa.Table.from_pylist(rows), path)
    done = update_taxa(collection, release, review=path, apply=True, by="Ada", note="2026")
    assert names(collection) == [
        ("Oldidae", "Aus", "Aus bus"),  # blank in the review: left alone
        ("Newidae", "Bus", "Bus dus"),
        ("Newidae", "Aus", "Aus cus"),
        ("Newidae", "Aus", "Aus cus"),
        ("Newidae", "Bus", "Bus dus"),
        ("Oldidae", "Aus", "Aus nusquam"),
        ("Newidae", "Bus", "Bus dus"),
        ("Newidae", "Aus", None),
    ]
    assert collection.ranks == ("kingdom", "family", "genus", "species")
    assert [failure.reason for failure in done.failures] == [
        "'nothing' is no one taxon of the checklist, by id or name: Aus nusquam stays as it is"
    ]
    told = {row["path"].split(" > ")[-1]: (row["action"], row["use"]) for row in done.review.to_pylist()}
    assert told["Aus bus"] == ("keep", None) and told["Aus lumpus"] == ("rename", "s2") and told["Aus splitus"][0] == "rename"
    assert told["Aus nusquam"] == ("review", None) and done.counts["review"] == 1  # the counts too are of what was decided
    assert "Aus nusquam stays as it is" in str(collection.failures.to_pylist())
    entry = done.change.entry
    assert entry is not None and (entry.by, entry.verb, entry.note) == ("Ada", "taxa update", "2026")
    again = update_taxa(collection, release)
    assert (again.counts["rename"], again.change.specimens) == (0, 1)  # only the taxon that the review left alone
    undo(collection)
    assert names(collection) == before


def test_a_review_that_is_none_is_refused(collection: Collection, release: Path, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("taxon,use\nAus bus,s1\n")
    with pytest.raises(BiocosmosError, match="no column 'path'"):
        update_taxa(collection, release, review=tmp_path / "other.csv")
    (tmp_path / "review.csv").write_text("path;rank;use\nNobody;species;s1\n")
    done = update_taxa(collection, release, review=tmp_path / "review.csv")
    assert [failure.reason for failure in done.failures] == ["no specimen bears the taxon 'Nobody'"]


def test_a_genus_that_becomes_one_that_only_species_bear_is_a_lump(tmp_path: Path, release: Path) -> None:
    release.write_text(RELEASE + "y3\tG\tsynonym\tgenus\tCus\n")
    made = Collection.create(tmp_path / "lump.cosmos")
    columns = {"family": ["Oldidae"] * 2, "genus": ["Aus", "Cus"], "species": ["Aus bus", None]}
    made.add(pa.table({"id": ["0", "1"], "text": ["t"] * 2, **columns}))
    (row,) = [row for row in update_taxa(made, release).review.to_pylist() if row["taxon"] == "Cus"]
    assert row["action"] == "review" and "lumped" in row["reason"]
