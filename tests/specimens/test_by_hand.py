"""What people say of specimens is a row more each time, whoever says it, and becomes a label only when it is asked for."""

from __future__ import annotations

import sys

import pytest

import biocosmos as bc
import warm
from biocosmos.errors import BiocosmosError
from biocosmos.specimens import by_hand, identifications


def named(collection, *rows, by="ada", **more):
    columns = {"id": [row[0] for row in rows], "taxon": [row[1] for row in rows], "rank": [(*row, None)[2] for row in rows]}
    return by_hand.record(collection, columns, by=by, **more)


def said(collection):
    return {row["id"]: (row["taxon"], row["by"]) for row in by_hand.current(collection).to_pylist()}


def test_names_are_rows_and_labels_stay(tiny_collection):
    ids = tiny_collection.table(["id"])["id"].to_pylist()
    before = tiny_collection.table(["id", "label"])
    done = named(tiny_collection, (ids[0], "Copepoda"), (ids[1], "chaetognath_sagitta"), how="label audit", note="seen twice")
    assert done.rows == 2 and not len(done.failures)
    rows = by_hand.current(tiny_collection).to_pylist()
    assert [(row["id"], row["taxon"], row["rank"], row["how"], row["status"]) for row in rows] == [
        (ids[0], "Copepoda", "class", "label audit", "validated"),
        (ids[1], "chaetognath_sagitta", "label", "label audit", "validated"),
    ]
    assert tiny_collection.table(["id", "label"]) == before


def test_the_last_word_stands_and_is_taken_back_step_by_step(tiny_collection):
    one = tiny_collection.table(["id"])["id"][0].as_py()
    for taxon in ("Copepoda", "Appendicularia", "Hydrozoa"):
        named(tiny_collection, (one, taxon))
    assert said(tiny_collection) == {one: ("Hydrozoa", "ada")}
    by_hand.withdraw(tiny_collection, [one], by="ada")
    by_hand.withdraw(tiny_collection, [one], by="ada")
    assert said(tiny_collection) == {one: ("Copepoda", "ada")}
    by_hand.withdraw(tiny_collection, [one], by="ada")
    assert said(tiny_collection) == {}
    nothing = by_hand.withdraw(tiny_collection, [one], by="ada")
    assert nothing.path is None and [row.reason for row in nothing.failures] == ["nothing that ada said of it stands"]
    assert len(by_hand.history(tiny_collection)) == 6  # everything that was ever said


def test_two_people_who_disagree_are_both_seen(tiny_collection):
    one, two = tiny_collection.table(["id"])["id"].to_pylist()[:2]
    named(tiny_collection, (one, "Copepoda"), (two, "Copepoda"), by="ada")
    named(tiny_collection, (one, "Hydrozoa"), (two, "Copepoda"), by="bo")
    rows = {row["id"]: row for row in by_hand.current(tiny_collection).to_pylist()}
    assert (rows[one]["taxon"], rows[one]["disagreed"]) == ("Hydrozoa", True)
    assert (rows[two]["taxon"], rows[two]["disagreed"]) == ("Copepoda", False)
    assert len(by_hand.standing(tiny_collection)) == 4


def test_what_cannot_be_recorded_is_a_row_that_says_why(tiny_collection):
    ids = tiny_collection.table(["id"])["id"].to_pylist()
    rows = [
        ("nobody", "Copepoda"),
        (ids[0], None),
        (ids[1], "Copepodo"),
        (ids[2], "Oithona sp. 7", "genus"),
        (ids[3], "x", "tribe"),
    ]
    done = named(tiny_collection, *rows)
    assert done.rows == 1 and said(tiny_collection) == {ids[2]: ("Oithona sp. 7", "ada")}  # new, at a rank that there is
    reasons = {row.id: row.reason for row in done.failures}
    assert reasons["nobody"] == "no specimen of the collection has this id"
    assert reasons[ids[0]] == "no name is given"
    assert "Copepodo" in reasons[ids[1]] and ids[3] in reasons
    with pytest.raises(BiocosmosError, match="there is no 'taxon'"):
        by_hand.record(tiny_collection, {"id": ids[:1]})


def test_labels_from_names_given_by_hand_can_be_undone(tiny_collection):
    table = tiny_collection.table(["id", "label", "class", "status"])
    before = table.to_pylist()
    ids = table["id"].to_pylist()
    named(tiny_collection, (ids[0], "chaetognath_sagitta"), (ids[1], "Copepoda"), (ids[2], "Hydrozoa"), by="ada")
    named(tiny_collection, (ids[2], "Copepoda"), by="bo")
    named(tiny_collection, (ids[3], "Copepoda"), by="bo", status="dubious")
    summary = by_hand.labels_from(tiny_collection, by="ada")
    assert summary.specimens == 2
    assert {row.id for row in summary.failures} == {ids[2], ids[3]}  # two people disagree, one doubts
    after = {row["id"]: row for row in tiny_collection.table(["id", "label", "class", "status"]).to_pylist()}
    tree = tiny_collection.taxonomy
    path = dict(zip(tree.ranks, tree.path(tree.find("label:chaetognath_sagitta"))))
    assert after[ids[0]]["label"] == "chaetognath_sagitta" and after[ids[0]]["class"] == path["class"]
    assert after[ids[1]]["label"] is None and after[ids[1]]["class"] == "Copepoda"  # no finer than was said
    assert after[ids[3]] == before[3]
    tiny_collection.undo(by="ada")
    assert tiny_collection.table(["id", "label", "class", "status"]).to_pylist() == before


WRITER = """
import sys, biocosmos as bc
from biocosmos.specimens import by_hand, identifications
collection = bc.Collection.open(sys.argv[1])
for id_ in collection.table(["id"])["id"].to_pylist()[:20]:
    by_hand.record(collection, {"id": [id_], "taxon": ["Copepoda"]}, by=sys.argv[2])
"""


def test_two_writers_at_once_lose_nothing(tiny_collection):
    writers = [warm.Popen([sys.executable, "-c", WRITER, tiny_collection.path, who]) for who in ("ada", "bo")]
    assert [writer.wait() for writer in writers] == [0, 0]
    rows = by_hand.history(bc.Collection.open(tiny_collection.path)).to_pylist()
    assert sorted((row["by"], row["id"]) for row in rows) == sorted(
        (who, id_) for who in ("ada", "bo") for id_ in tiny_collection.table(["id"])["id"].to_pylist()[:20]
    )


def test_a_machine_s_tables_beside_are_still_its_own(tiny_collection):
    one = tiny_collection.table(["id"])["id"][0].as_py()
    named(tiny_collection, (one, "Copepoda"))
    assert identifications.kept(tiny_collection) == []


def test_a_damaged_file_is_named(tiny_collection):
    one = tiny_collection.table(["id"])["id"][0].as_py()
    path = named(tiny_collection, (one, "Copepoda")).path
    path.write_bytes(b"nothing")
    with pytest.raises(BiocosmosError, match=rf"{path.name} is damaged"):
        by_hand.current(tiny_collection)
