"""Queues of review: what they show, whom they show it to, and that two people do not look at the same."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.discover.kept import keep
from biocosmos.errors import BiocosmosError
from biocosmos.serve.annotating import KINDS, Annotations, Queues
from biocosmos.serve.catalogue import Catalogue, View
from biocosmos.specimens.records import Source
from biocosmos.specimens.sample import SAMPLE_RANKS
from biocosmos.tables import write_table

N = 40


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def collection(tmp_path, sample_table) -> bc.Collection:
    """40 specimens: the first 20 without a name; answers for 30 of them, of which every third says Hydrozoa."""
    made = bc.Collection.create(tmp_path / "queues.cosmos")
    made.add(Source("queues", "sample", sample_table.slice(0, N).to_batches(), SAMPLE_RANKS), pack=True)
    ids = made.table(["id"])["id"].to_pylist()
    null = pa.nulls(20, pa.string())
    made.change({"id": ids[:20], **dict.fromkeys(made.ranks, null)}, verb="update", clear=True)
    answers = {
        "id": ids[:30],
        "taxon": ["Hydrozoa" if i % 3 == 0 else "Copepoda" for i in range(30)],
        "rank": ["class"] * 30,
        "class": ["Hydrozoa" if i % 3 == 0 else "Copepoda" for i in range(30)],
        "class_confidence": [i / 30 for i in range(30)],
        "confidence": [i / 30 for i in range(30)],
        "novelty": [float(i % 7) for i in range(30)],
        "method": ["linear"] * 30,
    }
    write_table(
        pa.table(answers), made.path / "identifications" / "20260101T120000000000Z.parquet", {"encoder": "efficientnet-lite0"}
    )
    return made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queues(collection, clock) -> Queues:
    return Queues(Annotations(collection, Catalogue(collection)), clock)


def ids(queues: Queues, page) -> list[str]:
    return queues.catalogue.ids_of(page.rows)


def test_the_least_sure_and_the_most_novel_come_first(queues):
    page = queues.page("unsure", View(), "ada", 8)
    assert page.rows.tolist() == list(range(8)) and page.left == 20  # those with a label are validated
    assert np.allclose(page.score, 1 - np.arange(8) / 30)
    names = queues.catalogue.taxonomy.names[page.proposed]
    assert [*names] == ["Hydrozoa" if i % 3 == 0 else "Copepoda" for i in range(8)]
    assert queues.page("unsure", View(), "ada", 3, surest_first=True).rows.tolist() == [19, 18, 17]
    assert queues.page("novel", View(), "ada", 3).rows.tolist() == [6, 13, 5]
    assert queues.page("unsure", View(states=("validated",)), "ada", 50).rows.tolist() == list(range(20, 30))


def test_a_grid_of_one_proposed_taxon(queues):
    tree = queues.catalogue.taxonomy
    page = queues.page("unsure", View(), "ada", 50)
    assert [(str(tree.names[node]), count) for node, count in page.taxa] == [("Copepoda", 13), ("Hydrozoa", 7)]
    page = queues.page("unsure", View(), "ada", 50, proposed=tree.find("Hydrozoa"))
    assert page.rows.tolist() == list(range(0, 20, 3)) and page.left == 7


def test_what_this_person_has_judged_is_not_shown_again_and_comes_back_with_undo(queues):
    annotations = queues.annotations
    first = ids(queues, queues.page("unsure", View(), "ada", 5))
    annotations.name(first[:2], "Copepoda", by="ada", how="review: unsure")
    annotations.doubt(first[2:3], by="ada", how="review: unsure")
    assert ids(queues, queues.page("unsure", View(), "ada", 2)) == first[3:5]
    annotations.undo("ada")
    assert ids(queues, queues.page("unsure", View(), "ada", 1)) == first[2:3]


def test_two_people_get_other_specimens_for_a_while(queues, clock):
    ada = queues.page("unsure", View(), "ada", 5).rows.tolist()
    bo = queues.page("unsure", View(), "bo", 5).rows.tolist()
    assert ada == [0, 1, 2, 3, 4] and bo == [5, 6, 7, 8, 9]
    assert queues.page("unsure", View(), "ada", 5).rows.tolist() == ada  # after a reload
    assert queues.page("unsure", View(), "ada", 5, more=True).rows.tolist() == [10, 11, 12, 13, 14]
    clock.now += 181
    assert queues.page("unsure", View(), "bo", 5).rows.tolist() == ada
    everything = queues.page("unsure", View(), "cy", 50).rows.tolist()
    assert everything == list(range(5, 20))
    assert queues.page("unsure", View(), "di", 50).rows.tolist() == list(range(20))  # nobody is locked out


def test_model_against_label_shows_what_contradicts_and_suspects_first(queues, collection):
    page = queues.page("against", View(), "ada", 50)
    moment = queues.catalogue.now
    tree = moment.taxonomy
    expected = [
        row
        for row in range(20, 30)
        if not tree.is_ancestor(moment.labels[row], moment.predicted[row])
        and not tree.is_ancestor(moment.predicted[row], moment.labels[row])
    ]
    assert sorted(page.rows.tolist()) == expected and np.all(np.diff(page.score) <= 0)
    taken = queues.catalogue.ids_of([35, 36])
    others = ["Hydrozoa" if "Hydrozoa" not in tree.path(int(moment.labels[row])) else "Copepoda" for row in (35, 36)]
    suspects = {"id": taken, "proposal": others, "rank": ["class"] * 2, "score": [2.0, 5.0]}
    keep(collection, "suspects", pa.table(suspects), {})
    page = queues.page("against", View(), "ada", 50)
    assert page.rows.tolist()[:2] == [36, 35] and sorted(page.rows.tolist()[2:]) == expected
    assert [str(tree.names[node]) for node in page.proposed[:2]] == others[::-1]
    queues.annotations.name(taken[:1], others[0], by="cy")
    assert 35 not in queues.page("against", View(), "bo", 50).rows.tolist()  # somebody has judged it


def test_two_people_who_disagree_until_one_judges_in_that_queue(queues):
    one = queues.catalogue.ids_of([0, 1, 2])
    queues.annotations.name(one, "Copepoda", by="ada")
    queues.annotations.name(one[:2], "Hydrozoa", by="bo")
    assert sorted(queues.page("disagree", View(), "ada", 50).rows.tolist()) == [0, 1]
    queues.annotations.name(one[:1], "Copepoda", by="ada", how="review: disagree")  # insists
    assert queues.page("disagree", View(), "ada", 50).rows.tolist() == [1]
    assert sorted(queues.page("disagree", View(), "cy", 50).rows.tolist()) == [0, 1]
    queues.annotations.name(one[:2], "Copepoda", by="bo")
    page = queues.page("disagree", View(), "cy", 50)
    assert not len(page.rows) and page.missing[0] == "Nobody disagrees with anybody."


def test_random_is_each_person_s_own_and_the_same_after_a_restart(queues, collection):
    ada = queues.page("random", View(), "ada", 500).rows.tolist()
    again = Queues(Annotations(collection, Catalogue(collection)))
    assert again.page("random", View(), "ada", 500).rows.tolist() == ada
    assert again.page("random", View(), "bo", 500).rows.tolist() != ada and sorted(ada) == list(range(N))
    assert sorted(ada) != ada


def test_the_rest_within_a_view(queues, collection):
    assert queues.page("unlabelled", View(), "ada", 50).rows.tolist() == list(range(20))
    assert queues.page("unlabelled", View(taxon="class:Hydrozoa"), "ada", 50).rows.tolist() == list(range(0, 20, 3))
    assert queues.page("chosen", View(), "ada").missing[1] == "/jobs"
    keep(collection, "queue", pa.table({"place": [1, 2], "id": queues.catalogue.ids_of([7, 3]), "taxon": [None, "Hydrozoa"]}), {})
    page = queues.page("chosen", View(), "ada")
    assert page.rows.tolist() == [7, 3] and page.missing is None
    assert str(queues.catalogue.taxonomy.names[page.proposed[1]]) == "Hydrozoa"
    counts = queues.counts(View(), "ada")
    assert set(counts) == set(KINDS) and counts["unlabelled"] == 20 and counts["random"] == N


def test_what_no_queue_can_do(queues, tiny_collection):
    with pytest.raises(BiocosmosError, match="there is no queue 'x': it is one of unsure"):
        queues.page("x", View(), "ada")
    with pytest.raises(BiocosmosError, match="from 1 to 500 specimens, not 501"):
        queues.page("unsure", View(), "ada", 501)
    bare = Queues(Annotations(tiny_collection, Catalogue(tiny_collection)))
    assert bare.page("unsure", View(), "ada").missing == ("No machine has named these specimens yet.", "/jobs", "Identify them")
    assert bare.page("against", View(), "ada").missing[2] == "Audit the labels"
