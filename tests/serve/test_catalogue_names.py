"""Who named a specimen: people, labels of the source, machines; and what changes while the catalogue is in use."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.serve.catalogue import STATES, Catalogue, View
from biocosmos.serve.catalogue.label_states import label_states, needed
from biocosmos.specimens import by_hand
from biocosmos.specimens.records import Source
from biocosmos.specimens.writers.naming import Naming
from biocosmos.tables import write_table
from biocosmos.taxonomy import Taxonomy
from brute import collection_of

RANKS = ("kingdom", "class", "genus")
PATHS = [("Animalia", "Aves", "Prunella"), ("Plantae", None, "Prunella"), ("Animalia", "Copepoda", "Calanus"), (None, None, None)]


def rows_of(paths: list[tuple[str | None, ...]]) -> list[dict[str, Any]]:
    return [{"id": f"s{i}", **dict(zip(RANKS, path))} for i, path in enumerate(paths)]


def called(catalogue: Catalogue, row: int) -> tuple[str | None, str]:
    """(address of the taxon without the rank, state)"""
    tree = catalogue.taxonomy
    path = [name for name in tree.path(int(catalogue.nodes[row])) if name]
    return "/".join(path) or None, STATES[catalogue.states[row]]


def keep(collection: bc.Collection, rows: list[dict[str, Any]], stamp: str, about: dict[str, Any] | None = None) -> None:
    ranks = [name for row in rows for name in row if name not in ("id", "taxon", "rank", "confidence", "novelty")]
    names = ["id", *dict.fromkeys(ranks), "taxon", "rank", "confidence", "best_guess", "novelty", "method"]
    numbers = ("confidence", "novelty")
    columns = {
        name: pa.array([row.get(name) for row in rows], pa.float64() if name in numbers else pa.string()) for name in names
    }
    columns |= {f"{rank}_confidence": pa.array([0.5] * len(rows)) for rank in ranks}
    write_table(pa.table(columns), collection.path / "identifications" / f"{stamp}.parquet", about or {"method": "m"})


@pytest.fixture
def collection(tmp_path: Path) -> bc.Collection:
    return collection_of(tmp_path / "a.cosmos", rows_of(PATHS))


def test_a_person_goes_before_a_label_and_a_label_before_a_machine(collection: bc.Collection) -> None:
    sure = {"kingdom": "Animalia", "class": "Copepoda", "genus": "Calanus", "taxon": "Calanus", "rank": "genus"}
    keep(collection, [{"id": "s0", **sure}, {"id": "s3", **sure, "confidence": 0.9, "novelty": 2.0}], "20260101T000000")
    catalogue = Catalogue(collection)
    assert called(catalogue, 0) == ("Animalia/Aves/Prunella", "validated")
    assert called(catalogue, 3) == ("Animalia/Copepoda/Calanus", "predicted")
    assert catalogue.predicted.tolist()[1:3] == [-1, -1] and catalogue.taxonomy.name(catalogue.predicted[0]) == "Calanus"
    assert np.isnan(catalogue.confidence[0]) and catalogue.confidence[3] == np.float32(0.9)
    by_hand.record(collection, {"id": ["s3", "s0"], "taxon": ["Aves", "Copepoda"]}, by="ada")
    assert catalogue.refresh() and not catalogue.refresh()
    assert called(catalogue, 3) == ("Animalia/Aves", "validated") and called(catalogue, 0) == ("Animalia/Copepoda", "validated")
    by_hand.record(collection, {"id": ["s3"], "taxon": ["Copepoda"]}, by="eve", status="dubious")
    catalogue.refresh()
    assert called(catalogue, 3) == ("Animalia/Copepoda", "dubious")
    assert catalogue.ids_of(catalogue.rows(View(states=("dubious",)))) == ["s3"]
    by_hand.withdraw(collection, ["s3"], by="eve")
    by_hand.withdraw(collection, ["s3", "s0"], by="ada")
    catalogue.refresh()
    assert called(catalogue, 3) == ("Animalia/Copepoda/Calanus", "predicted")
    assert called(catalogue, 0) == ("Animalia/Aves/Prunella", "validated")


def test_names_that_the_collection_lacks_are_in_the_tree(collection: bc.Collection) -> None:
    catalogue = Catalogue(collection)
    before = catalogue.taxonomy
    by_hand.record(collection, {"id": ["s3", "s1"], "taxon": ["Nova", "Nova"], "rank": ["genus", "genus"]}, by="ada")
    catalogue.refresh()
    assert called(catalogue, 3) == called(catalogue, 1) == ("Nova", "validated")
    assert len(catalogue.taxonomy) == len(before) + 1 and [each.name for each in catalogue.find_taxa("nova")] == ["Nova"]
    assert called(catalogue, 0) == ("Animalia/Aves/Prunella", "validated")
    assert Catalogue(collection).taxonomy == catalogue.taxonomy
    by_hand.withdraw(collection, ["s3", "s1"], by="ada")
    catalogue.refresh()
    assert "Nova" not in {each.name for each in catalogue.tree()}


def test_names_in_a_collection_without_any(tmp_path: Path) -> None:
    collection = collection_of(tmp_path / "a.cosmos", [{"id": "a"}, {"id": "b"}], ())
    catalogue = Catalogue(collection)
    by_hand.record(collection, {"id": ["b"], "taxon": ["thing 1"]}, by="ada")
    catalogue.refresh()
    assert called(catalogue, 1) == ("thing 1", "validated") and called(catalogue, 0) == (None, "unlabelled")
    assert [(each.name, each.count) for each in catalogue.tree()] == [("thing 1", 1)]


def test_answers_of_a_model_with_other_ranks(collection: bc.Collection) -> None:
    """A taxon that both know is one, whatever stands between; what lies below it goes below it."""
    rows = [
        {"id": "s3", "phylum": "Arthropoda", "class": "Copepoda", "genus": "Nova", "taxon": "Nova", "rank": "genus"},
        {"id": "s2", "phylum": "Arthropoda", "class": "Copepoda", "genus": "Nova", "taxon": "Copepoda", "rank": "class"},
        {"id": "s1", "phylum": "Chordata", "class": "Aves", "genus": None, "taxon": None, "rank": None, "novelty": 3.0},
        {"id": "nobody", "phylum": None, "class": None, "genus": "X", "taxon": "X", "rank": "genus"},
    ]
    keep(collection, rows, "20260101T000000")
    catalogue = Catalogue(collection)
    assert called(catalogue, 3) == ("Animalia/Copepoda/Nova", "predicted")
    tree = catalogue.taxonomy
    assert [tree.name(node) if node > 0 else node for node in catalogue.predicted] == [-1, 0, "Copepoda", "Nova"]
    assert catalogue.novelty[1] == 3 and "Arthropoda" not in tree.names


def test_the_latest_answer_counts(collection: bc.Collection) -> None:
    def answer(id_: str, genus: str, novelty: float) -> dict[str, Any]:
        return {"id": id_, "kingdom": None, "genus": genus, "taxon": genus, "rank": "genus", "novelty": novelty}

    keep(collection, [answer("s3", "Calanus", 1), answer("s0", "Calanus", 1)], "20260101T000000", {"method": "knn"})
    keep(collection, [answer("s3", "Prunella", 7)], "20260102T000000", {"method": "linear"})
    catalogue = Catalogue(collection)
    assert catalogue.taxonomy.name(catalogue.predicted[0]) == "Calanus"
    assert np.isnan(catalogue.novelty[0]) and catalogue.novelty[3] == 7  # two ways of measuring are not put side by side
    keep(collection, [answer("s3", "Calanus", 9)], "20260103T000000", {"method": "linear"})
    assert catalogue.refresh(wait=True)
    assert called(catalogue, 3) == ("Animalia/Copepoda/Calanus", "predicted") and catalogue.novelty[3] == 9


def test_what_changed_on_disk_is_taken_over(collection: bc.Collection) -> None:
    catalogue = Catalogue(collection)
    moment = catalogue.now
    assert not catalogue.refresh()
    new = [{"id": "new", "kingdom": "Fungi", "class": None, "genus": None}]
    columns = {name: pa.array([row.get(name) for row in new], pa.string()) for name in ("id", *RANKS)}
    collection.add(Source("x", "x", pa.table(columns).to_batches(), RANKS))
    collection.remove(["s1"])
    assert catalogue.refresh(wait=True)
    assert catalogue.ids.to_pylist() == ["s0", "s2", "s3", "new"] and called(catalogue, 3) == ("Fungi", "validated")
    assert moment.stored.ids.to_pylist() == ["s0", "s1", "s2", "s3"]  # whoever is still answering has what it began with
    assert moment.stored.table([1], ["id"])["id"].to_pylist() == ["s1"]
    collection.make_split("random")
    catalogue.refresh(wait=True)
    assert sum(catalogue.facets(View()).parts["default"].values()) == 4
    before = catalogue.count(View(part="train"))
    collection.make_split("random", fractions={"train": 0.5, "test": 0.5}, seed=3)
    assert catalogue.count(View(part="train")) == 2 != before


def test_a_change_is_read_aside(collection: bc.Collection) -> None:
    catalogue = Catalogue(collection)
    collection.remove(["s0"])
    assert catalogue.refresh() and len(catalogue) in (3, 4)
    for _ in range(200):
        if len(catalogue) == 3:
            break
        time.sleep(0.05)
    assert len(catalogue) == 3 and not catalogue.refresh()


def test_a_change_in_the_same_tick_of_the_clock_is_seen(collection: bc.Collection) -> None:
    catalogue = Catalogue(collection)
    versions = collection.path / "specimens.lance" / "_versions"
    then = versions.stat()
    catalogue.refresh()
    collection.remove(["s0"])
    os.utime(versions, ns=(then.st_atime_ns, then.st_mtime_ns))
    assert catalogue.refresh(wait=True) and len(catalogue) == 3


def test_a_damaged_table_of_answers_is_told(collection: bc.Collection) -> None:
    catalogue = Catalogue(collection)
    (collection.path / "identifications").mkdir(exist_ok=True)
    (collection.path / "identifications" / "x.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(BiocosmosError, match=r"x\.parquet is damaged"):
        Catalogue(collection)
    with pytest.raises(BiocosmosError, match="damaged"):
        catalogue.refresh(wait=True)
    assert len(catalogue) == 4


CELLS = {
    "object_annotation_status": [None, "", "predicted", "Validated ", "dubious", "discarded", "later"],
    "object_annotation_category": [None, " ", "Calanus", "Aves"],
    "label": [None, "", "Calanus", "Aves"],
    "identificationVerificationStatus": [None, "PredictedByMachine", "ValidatedByHuman"],
    "genus": [None, "Calanus"],
}


@given(st.lists(st.fixed_dictionaries({name: st.sampled_from(cells) for name, cells in CELLS.items()}), min_size=1, max_size=8))
def test_states_of_labels_are_those_that_are_written_out(rows: list[dict[str, Any]]) -> None:
    names, ranks = [*CELLS, "id"], ("genus",)
    table = pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in {*needed(names), *ranks}})
    tree = Taxonomy.from_table(table, ranks)
    states, _ = label_states(table, ranks, np.maximum(tree.index(table), 0), tree)
    naming = Naming(names, ranks)
    want = [naming.of(dict(row)).state for row in rows]
    assert [STATES[state] for state in states] == [{None: "unlabelled", "discarded": "dubious"}.get(each, each) for each in want]


def test_answers_that_were_ingested_stop_where_they_are_sure(tmp_path: Path) -> None:
    answer = {
        "method": "knn",
        "confidence": "0.9",
        "best_guess": "Calanus",
        "novelty": "1",
        "kingdom": "Animalia",
        "class": "Copepoda",
    }
    rows = [
        {"id": "a", **answer, "genus": "Calanus", "label": "Copepoda", "rank": "class"},
        {"id": "b", **answer, "genus": "Calanus", "label": None, "rank": None},
        {"id": "c", "genus": "Calanus", "kingdom": "Animalia", "class": "Copepoda", "label": "Calanus"},
    ]
    catalogue = Catalogue(collection_of(tmp_path / "a.cosmos", rows))
    assert [called(catalogue, row) for row in range(3)] == [
        ("Animalia/Copepoda", "predicted"),
        (None, "unlabelled"),
        ("Animalia/Copepoda/Calanus", "validated"),
    ]


def test_a_homonym_means_the_one_that_lies_near(collection: bc.Collection) -> None:
    by_hand.record(collection, {"id": ["s2"], "taxon": ["Calanus"]}, by="ada")
    keep(collection, [{"id": "s3", "kingdom": "Plantae", "taxon": "Plantae", "rank": "kingdom"}], "20260101T000000")
    catalogue = Catalogue(collection)
    act = {"id": ["s3", "s0", "s2"], "taxon": ["Prunella"] * 3, "rank": ["genus"] * 3}
    by_hand.append(collection, act, "validated", by="eve")
    catalogue.refresh()
    assert called(catalogue, 3)[0] == "Plantae/Prunella" and called(catalogue, 0)[0] == "Animalia/Aves/Prunella"
    assert called(catalogue, 2)[0] == "Animalia/Aves/Prunella"
