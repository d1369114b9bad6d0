"""Acts of people on a server: durable, in memory, undone step by step, told to the catalogue."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import biocosmos as bc
import warm
from biocosmos.errors import BiocosmosError
from biocosmos.serve.annotating import Annotations
from biocosmos.serve.catalogue import STATES, Catalogue
from biocosmos.specimens import by_hand
from biocosmos.specimens.by_hand import acts
from biocosmos.specimens.records import Source
from biocosmos.specimens.sample import SAMPLE_RANKS
from biocosmos.tables import write_table

PEOPLE = ("ada", "bo")


def desk(collection: bc.Collection) -> Annotations:
    return Annotations(collection, Catalogue(collection))


@pytest.fixture
def here(tiny_collection: bc.Collection) -> Annotations:
    return desk(tiny_collection)


def called(annotations: Annotations, id_: str) -> tuple[str | None, str]:
    catalogue = annotations.catalogue
    row = catalogue.row_of(id_)
    node = int(catalogue.nodes[row])
    return (str(catalogue.taxonomy.names[node]) if node else None), STATES[catalogue.states[row]]


def ids_of(annotations: Annotations, count: int = 5) -> list[str]:
    return annotations.catalogue.ids.slice(0, count).to_pylist()


def test_a_name_is_in_the_catalogue_and_in_the_files_when_it_is_answered(here):
    ids = ids_of(here)
    heard: list[list[int]] = []
    here.listen(lambda rows: heard.append(rows.tolist()))
    done = here.name([*ids, ids[0], "nobody"], "class:Copepoda", by="ada", how="review: random")
    assert (done.rows, done.taxon, done.rank, done.fresh) == (5, "Copepoda", "class", False)
    assert [(each.id, each.reason) for each in done.failures] == [("nobody", "no specimen of the collection has this id")]
    assert {called(here, id_) for id_ in ids} == {("Copepoda", "validated")} and heard == [[0, 1, 2, 3, 4]]
    rows = by_hand.history(here.collection).to_pylist()
    assert [(row["id"], row["taxon"], row["rank"], row["by"], row["how"], row["act"]) for row in rows] == [
        (id_, "Copepoda", "class", "ada", "review: random", done.act) for id_ in ids
    ]


def test_nothing_is_recorded_where_every_specimen_is_refused(here):
    done = here.name(["nobody"], "Copepoda", by="ada")
    assert (done.act, done.rows, len(done.failures)) == (None, 0, 1)
    assert not len(by_hand.history(here.collection))


def test_a_new_name_needs_a_rank_and_is_told(here):
    one, two = ids_of(here, 2)
    with pytest.raises(BiocosmosError, match=r"'Oithona sp. 7'.*a new name needs a rank"):
        here.name([one], "Oithona sp. 7", by="ada")
    done = here.name([one], "Oithona  sp. 7", "genus", by="ada")
    assert done.fresh and done.taxon == "Oithona sp. 7" and called(here, one) == ("Oithona sp. 7", "validated")
    assert not here.name([two], "Oithona sp. 7", "genus", by="bo").fresh
    for name, rank, why in [
        ("", None, "no name is given"),
        ("x" * 201, "genus", "no name of a taxon"),
        ("a\x00b", "genus", "no name of a taxon"),
        ("x", "tribe", "there is no rank 'tribe'"),
        ("Copepoda", "genus", "Copepoda"),
        ("Life", None, "pick a taxon below it"),
    ]:
        with pytest.raises(BiocosmosError, match=why):
            here.name([one], name, rank, by="ada")
    with pytest.raises(BiocosmosError, match="validated or dubious"):
        here.name([one], "Copepoda", by="ada", status="withdrawn")


def test_undo_goes_back_step_by_step_also_after_a_restart(here):
    ids = ids_of(here)
    before = [called(here, id_) for id_ in ids]
    here.name(ids[:3], "Copepoda", by="ada")
    here.name(ids[:2], "Hydrozoa", by="ada")
    here.doubt(ids[:1], by="ada")
    assert called(here, ids[0]) == ("Hydrozoa", "dubious")
    assert here.undo("bo") is None
    again = desk(bc.Collection.open(here.collection.path))
    assert again.undo("ada").says == "1 marked as unsure (Hydrozoa)" and called(again, ids[0]) == ("Hydrozoa", "validated")
    assert again.undo("ada").says == "2 named Hydrozoa" and called(again, ids[0]) == ("Copepoda", "validated")
    third = desk(bc.Collection.open(here.collection.path))
    done = third.undo("ada")
    assert (done.rows, done.says) == (3, "3 named Copepoda")
    assert [called(third, id_) for id_ in ids] == before
    assert third.undo("ada") is None and third.last("ada") is None
    here.refresh()
    assert [called(here, id_) for id_ in ids] == before


def test_what_another_process_withdrew_in_part_is_undone_as_far_as_it_stands(here):
    ids = ids_of(here, 3)
    here.name(ids, "Copepoda", by="ada")
    by_hand.withdraw(here.collection, ids[:2], by="ada")
    assert here.undo("ada").rows == 1
    assert here.undo("ada") is None


def test_who_does_not_know_a_specimen_without_a_name_says_so(here):
    column = here.collection.table(["id"])["id"].to_pylist()
    here.collection.change({"id": column[:1], **{rank: [None] for rank in here.collection.ranks}}, verb="update", clear=True)
    fresh = desk(here.collection)
    one = column[0]
    assert called(fresh, one)[0] is None
    fresh.doubt([one], by="ada")
    assert called(fresh, one) == (None, "dubious")
    assert not by_hand.current(fresh.collection)["disagreed"][0].as_py()
    fresh.name([one], "Copepoda", by="bo")
    assert called(fresh, one) == ("Copepoda", "validated")
    assert not by_hand.current(fresh.collection)["disagreed"][0].as_py()
    summary = by_hand.labels_from(fresh.collection, by="bo")
    assert summary.specimens == 1


def test_tallies_count_what_stands_and_what_was_taken_back(here):
    ids = ids_of(here)
    here.name(ids, "Copepoda", by="ada")
    here.name(ids[:2], "Hydrozoa", by="bo")
    here.undo("bo")
    ada, bo = here.tallies()
    assert (ada.by, ada.named, ada.undone, ada.hour) == ("ada", 5, 0, 5) and ada.rate == 60 and ada.day <= 5
    assert (bo.by, bo.named, bo.undone, bo.hour, bo.rate) == ("bo", 0, 2, 0, 0)


def test_the_history_of_a_specimen_tells_of_people_and_machines(here):
    one = ids_of(here, 1)[0]
    answers = {
        "id": [one],
        "taxon": ["Hydrozoa"],
        "rank": ["class"],
        "confidence": [0.75],
        "novelty": [0.1],
        "method": ["linear"],
    }
    folder = here.collection.path / "identifications"
    write_table(pa.table(answers), folder / "20260101T120000000000Z.parquet", {"encoder": {"name": "efficientnet-lite0"}})
    here.name([one], "Copepoda", by="ada", note="clear")
    here.undo("ada")
    machine, *said = here.history(one)
    assert (machine["kind"], machine["at"][:19], machine["by"]) == ("machine", "2026-01-01T12:00:00", "linear")
    assert (machine["model"], machine["taxon"], machine["confidence"]) == ("efficientnet-lite0", "Hydrozoa", 0.75)
    assert [(each["kind"], each["by"], each["taxon"], each["status"], each["stands"]) for each in said] == [
        ("person", "ada", "Copepoda", "validated", False),
        ("person", "ada", "Copepoda", "withdrawn", False),
    ]
    assert said[1]["undoes"] == said[0]["act"] and said[0]["note"] == "clear"
    assert here.history("nobody") == []


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["name", "doubt", "undo", "outside", "restart", "merge"]),
            st.sampled_from(PEOPLE),
            st.lists(st.integers(0, 4), min_size=1, unique=True),
            st.sampled_from(["Copepoda", "Hydrozoa"]),
        ),
        max_size=10,
    )
)
@settings(max_examples=20)
def test_the_catalogue_says_what_a_plain_replay_of_the_files_says(steps, tmp_path_factory, sample_table):
    collection = bc.Collection.create(tmp_path_factory.mktemp("replay") / "replay.cosmos")
    collection.add(Source("tiny", "sample", sample_table.slice(0, 5).to_batches(), SAMPLE_RANKS), pack=True)
    here = desk(collection)
    ids, usual = ids_of(here), [called(here, id_) for id_ in ids_of(here)]
    acts_of: dict[str, list[list[tuple[str, str, str]]]] = {by: [] for by in PEOPLE}
    order: list[tuple[str, str, str, str]] = []
    for what, by, places, taxon in steps:
        chosen = [ids[place] for place in places]
        if what in ("name", "outside"):
            if what == "name":
                here.name(chosen, taxon, by=by)
            else:  # another process
                by_hand.record(collection, {"id": chosen, "taxon": [taxon] * len(chosen)}, by=by)
            acts_of[by].append([(by, id_, taxon, "validated") for id_ in chosen])
            order += acts_of[by][-1]
        elif what == "doubt":
            here.refresh()
            names = [called(here, id_)[0] for id_ in chosen]
            here.doubt(chosen, by=by)
            acts_of[by].append([(by, id_, name, "dubious") for id_, name in zip(chosen, names)])
            order += acts_of[by][-1]
        elif what == "undo":
            done = here.undo(by)
            assert (done is None) == (not acts_of[by])
            for row in acts_of[by].pop() if acts_of[by] else ():
                order.reverse()
                order.remove(row)
                order.reverse()
        elif what == "merge":
            by_hand.compact(collection, many=1)
        else:
            here = desk(collection)
    here.refresh()
    for place, id_ in enumerate(ids):
        mine = [row for row in order if row[1] == id_]
        assert called(here, id_) == (mine[-1][2:] if mine else usual[place])


NAMER = """
import sys
import biocosmos as bc
from biocosmos.serve.annotating import Annotations
from biocosmos.serve.catalogue import Catalogue
collection = bc.Collection.open(sys.argv[1])
here = Annotations(collection, Catalogue(collection))
ids = here.catalogue.ids.to_pylist()
number = 0
while True:
    here.name(ids[number % 7 : number % 7 + 20], "Copepoda", by=sys.argv[2])
    if number % 3 == 2:
        here.undo(sys.argv[2])
    print(number, flush=True)
    number += 1
"""


def test_a_server_that_is_killed_has_every_act_that_it_answered_and_two_at_once_lose_nothing(tiny_collection):
    path = tiny_collection.path
    running = [warm.Popen([sys.executable, "-c", NAMER, str(path), who], stdout=subprocess.PIPE, text=True) for who in PEOPLE]
    told = [[process.stdout.readline() for _ in range(9)] for process in running]
    for process in running:
        process.kill()
    told = [lines + process.stdout.readlines() for lines, process in zip(told, running)]
    for process in running:
        process.wait()
        process.stdout.close()
    here = desk(bc.Collection.open(path))
    tallies = {tally.by: tally for tally in here.tallies()}
    for who, lines in zip(PEOPLE, told):
        whole = [line for line in lines if line.endswith("\n")]
        named, undone = len(whole), len(whole) // 3
        mine = tallies[who]
        assert named * 20 <= mine.named + mine.undone <= (named + 1) * 20
        assert undone * 20 <= mine.undone <= (undone + 1) * 20


def test_a_damaged_file_is_told_by_name(here):
    done = here.name(ids_of(here), "Copepoda", by="ada")
    path: Path = here.collection.path / acts.FOLDER / f"{done.act}.parquet"
    here.close()
    path.write_bytes(b"nothing")
    with pytest.raises(BiocosmosError, match=rf"{path.name} is damaged"):
        desk(here.collection)


def test_200_names_at_once_are_one_file(here):
    ids = here.catalogue.ids.to_pylist()
    here.name(ids, "Copepoda", by="ada")
    assert len(list((here.collection.path / acts.FOLDER).glob("*.parquet"))) == 1
    assert np.all(here.catalogue.states == STATES.index("validated"))
