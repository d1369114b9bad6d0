"""Taxa renamed, merged and split: ranks and labels agree afterwards, and nothing else has changed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.records import Source

RANKS = ("kingdom", "family", "genus", "species")
ROWS = [
    # id, kingdom, family, genus, species, label
    ("a1", "Animalia", "Culicidae", "Aedes", "Aedes aegypti", "Aedes aegypti"),
    ("a2", "Animalia", "Culicidae", "Aedes", "Aedes albopictus", "albo, female"),
    ("a3", "Animalia", "Culicidae", "Aedes", None, "Aedes"),
    ("s1", "Animalia", "Culicidae", "Stegomyia", "Stegomyia aegypti", "Stegomyia aegypti"),
    ("s2", "Animalia", "Culicidae", "Stegomyia", None, "Stegomyia"),
    ("c1", "Animalia", "Culicidae", "Culex", "Culex pipiens", "Culex pipiens"),
    ("m1", "Animalia", "Sulidae", "Morus", "Morus bassanus", "Morus bassanus"),
    ("m2", "Plantae", "Moraceae", "Morus", "Morus alba", "Morus alba"),
    ("n1", None, None, None, None, "Stegomyia"),
    ("n2", None, None, None, None, "stone"),
]


@pytest.fixture
def gnats(tmp_path: Path) -> bc.Collection:
    collection = bc.Collection.create(tmp_path / "gnats.cosmos")
    rows = [dict(zip(("id", *RANKS, "label"), row)) for row in ROWS]
    collection.add(Source("gnats", "test", [pa.RecordBatch.from_pylist(rows)], RANKS))
    return collection


def names(collection: bc.Collection) -> dict[str, tuple[object, ...]]:
    """id -> (kingdom, family, genus, species, label)."""
    rows = collection.table(["id", *RANKS, "label"]).to_pylist()
    return {row["id"]: tuple(row[name] for name in (*RANKS, "label")) for row in rows}


BEFORE = {id_: tuple(rest) for id_, *rest in ROWS}


def after(**changed: tuple[object, ...]) -> dict[str, tuple[object, ...]]:
    return {**BEFORE, **changed}


def test_a_new_name_at_any_rank_and_the_label_that_said_the_old_one(gnats: bc.Collection) -> None:
    gnats.relabel("Aedes albopictus", "Aedes scutellaris")
    assert names(gnats) == after(a2=("Animalia", "Culicidae", "Aedes", "Aedes scutellaris", "albo, female"))
    gnats.undo()
    gnats.relabel("Culicidae", "Culicids")
    assert {row[1] for row in names(gnats).values()} == {"Culicids", "Sulidae", "Moraceae", None}
    gnats.undo()
    assert names(gnats) == BEFORE


def test_names_below_a_renamed_genus_follow_it(gnats: bc.Collection) -> None:
    summary = gnats.relabel("Culex", "Culiseta")
    assert names(gnats) == after(c1=("Animalia", "Culicidae", "Culiseta", "Culiseta pipiens", "Culiseta pipiens"))
    assert summary.notes == ["1 name below a renamed genus followed it: 'Culex pipiens' is 'Culiseta pipiens'"]


def test_a_merger_joins_the_taxon_that_is_there(gnats: bc.Collection) -> None:
    gnats.relabel("Stegomyia", "Aedes")
    assert names(gnats) == after(
        s1=("Animalia", "Culicidae", "Aedes", "Aedes aegypti", "Aedes aegypti"),
        s2=("Animalia", "Culicidae", "Aedes", None, "Aedes"),
        n1=("Animalia", "Culicidae", "Aedes", None, "Aedes"),  # without a place, its label alone said which taxon
    )
    assert len(gnats.taxonomy.homonyms()) == 2, "the two Morus, and no second Aedes"


def test_a_move_to_a_coarser_rank_leaves_the_ranks_between_empty(gnats: bc.Collection) -> None:
    gnats.relabel("Culex pipiens", "Culicidae")
    assert names(gnats)["c1"] == ("Animalia", "Culicidae", None, None, "Culicidae")
    with pytest.raises(
        BiocosmosError, match=r"finer names already \('Aedes albopictus'\): relabel those, or choose with --where"
    ):
        gnats.relabel("genus:Aedes", "Aedes aegypti")
    gnats.relabel("genus:Aedes", "Aedes aegypti", where="species IS NULL")
    assert names(gnats)["a3"] == ("Animalia", "Culicidae", "Aedes", "Aedes aegypti", "Aedes aegypti")


def test_homonyms_are_told_apart_by_their_path(gnats: bc.Collection) -> None:
    with pytest.raises(BiocosmosError, match="'Morus' is ambiguous, 2 fit"):
        gnats.relabel("Morus", "Sula")
    gnats.relabel("Sulidae/Morus", "Sulidae/Sula")
    assert names(gnats) == after(m1=("Animalia", "Sulidae", "Sula", "Sula bassanus", "Sula bassanus"))
    gnats.relabel("Plantae/Morus", "Animalia/Sulidae/Morus")
    assert names(gnats)["m2"] == ("Animalia", "Sulidae", "Morus", "Morus alba", "Morus alba")
    with pytest.raises(BiocosmosError, match="cannot stand at the rank family below"):
        gnats.relabel("Sulidae", "Animalia/Sulidae/Sula/Boobies")


def test_a_taxon_is_split_by_a_condition_or_by_ids(gnats: bc.Collection) -> None:
    gnats.relabel("Aedes", "Ochlerotatus", where="species IS NULL")
    assert names(gnats) == after(a3=("Animalia", "Culicidae", "Ochlerotatus", None, "Ochlerotatus"))
    gnats.relabel("Aedes", table={"id": ["a1", "a2", "c1", "x"], "new": ["Finlaya", "Culex", "Culex", "Culex"]})
    found = names(gnats)
    assert found["a1"] == ("Animalia", "Culicidae", "Finlaya", "Finlaya aegypti", "Finlaya aegypti")
    assert found["a2"] == ("Animalia", "Culicidae", "Culex", "Culex albopictus", "Culex")
    assert found["c1"] == BEFORE["c1"]
    assert {row["id"]: row["reason"] for row in gnats.failures.to_pylist()} == {
        "c1": "the specimen is not in 'Aedes': it was left as it is",
        "x": "no specimen has this id",
    }


def test_a_table_of_renames_is_seen_from_how_things_were_before(gnats: bc.Collection, tmp_path: Path) -> None:
    table = tmp_path / "renames.csv"
    table.write_text("Old name;New name\nAedes;Culex\nCulex;Aedes\nBombus;Apis\nMorus;Sula\nSulidae;Boobies\n;x\nstone;\n")
    summary = gnats.relabel(table=table)
    found = names(gnats)
    assert found["a1"] == ("Animalia", "Culicidae", "Culex", "Culex aegypti", "Culex aegypti")
    assert found["c1"] == ("Animalia", "Culicidae", "Aedes", "Aedes pipiens", "Aedes pipiens")
    assert found["m1"][1] == "Boobies" and found["m2"] == BEFORE["m2"]
    told = [(row.row, row.reason.split(":")[0]) for row in summary.failures]
    assert told[0] == (6, "neither an id nor an old name") and told[1] == (7, "the new name is blank")
    assert told[2][0] == 3 and told[2][1].startswith("no taxon 'Bombus'") and "'Morus' is ambiguous" in told[3][1]
    gnats.undo()
    assert names(gnats) == BEFORE
    for bad, problem in (
        ("old,new\nAedes,A\nAedes,B\n", "both 'A' and 'B'"),
        ("name,why\nx,y\n", "needs the columns 'old' and 'new'"),
    ):
        table.write_text(bad)
        try:
            reasons = [row.reason for row in gnats.relabel(table=table).failures]
        except BiocosmosError as error:
            reasons = [str(error)]
        assert problem in reasons[0]


def test_a_label_that_is_no_taxon_is_renamed_and_takes_the_place_of_a_taxon_that_is_there(gnats: bc.Collection) -> None:
    gnats.relabel("stone", "pebble")
    assert names(gnats) == after(n2=(None, None, None, None, "pebble"))
    gnats.relabel("pebble", "Culex pipiens")
    assert names(gnats)["n2"] == ("Animalia", "Culicidae", "Culex", "Culex pipiens", "Culex pipiens")


def test_what_makes_no_sense_is_one_line(gnats: bc.Collection) -> None:
    for old, new, problem in [
        ("Aedes", "Aedes", "is called so already"),
        ("Aedes", " ", "the new name of 'Aedes' is blank"),
        ("Aedess", "Culex", "did you mean Aedes"),
        ("Aedes", "culex", "one 'Culex': write it so"),
        ("Life", "Culex", "the whole tree"),
        ("Aedes", "Life", "the whole tree"),
        ("Aedes", "tribe:Aedini", "the collection has no rank tribe"),
        ("Aedes", "A\0", "is no name"),
        ("Aedes", None, "say which taxon"),
    ]:
        with pytest.raises(BiocosmosError, match=problem) as caught:
            gnats.relabel(old, new)
        assert "\n" not in str(caught.value)
    with pytest.raises(BiocosmosError, match="no specimen of 'Aedes' is meant"):
        gnats.relabel("Aedes", "Culex", where="kingdom = 'Plantae'")
    assert names(gnats) == BEFORE and gnats.history() == []


def test_letter_case_of_a_name_can_be_mended(gnats: bc.Collection) -> None:
    gnats.relabel("Aedes", "aedes")
    gnats.relabel("aedes", "Aedes")
    assert names(gnats) == BEFORE


def test_a_collection_with_labels_alone(tmp_path: Path) -> None:
    collection = bc.Collection.create(tmp_path / "c.cosmos")
    rows = [{"id": str(i), "label": label} for i, label in enumerate(["fly", "fly", "wasp", None])]
    collection.add(Source("labels", "test", [pa.RecordBatch.from_pylist(rows)]))
    collection.relabel("fly", "wasp")
    assert collection.table(["label"])["label"].to_pylist() == ["wasp", "wasp", "wasp", None]
    with pytest.raises(BiocosmosError, match="no specimen has the label 'fly'"):
        collection.relabel("fly", "bee")
    collection.relabel(table={"id": ["0", "3"], "new": ["bee", "bee"]})
    assert collection.table(["label"])["label"].to_pylist() == ["bee", "wasp", "wasp", "bee"]


def test_the_label_as_the_finest_rank(tmp_path: Path) -> None:
    collection = bc.Collection.create(tmp_path / "c.cosmos")
    rows = [
        {"id": "1", "class": "Copepoda", "label": "calanoid"},
        {"id": "2", "class": "Copepoda", "label": "oithona"},
        {"id": "3", "class": None, "label": "blob"},
    ]
    collection.add(Source("labels", "test", [pa.RecordBatch.from_pylist(rows)], ("class", "label")))
    collection.relabel("blob", "oithona")
    assert collection.take(["3"], ["class", "label"]).to_pylist() == [{"id": "3", "class": "Copepoda", "label": "oithona"}]
    collection.relabel("calanoid", "Copepoda")
    assert collection.take(["1"], ["class", "label"]).to_pylist() == [{"id": "1", "class": "Copepoda", "label": "Copepoda"}]
