"""Attributes of specimens as tasks: columns, sets, groups of 0 and 1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.attribute_groups import parse_group
from biocosmos.specimens.attributes import attribute_names, attributes_of
from biocosmos.specimens.collection import Collection


@pytest.fixture(scope="module")
def trays(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    table = pa.table(
        {
            "id": ["a", "b", "c", "d"],
            "text": ["one", "two", "three", "four"],
            "stage": ["larva", "adult", None, " "],
            "count": pa.array([10, 2, -1, None], pa.int64()),
            "winged": pa.array([True, False, None, True]),
            "seen": pa.array([["Apis", "Bombus"], [], None, None], pa.list_(pa.string())),
            "empty": pa.array([False, False, False, True]),
            "torn": pa.array([1, 0, None, -1], pa.int64()),
            "mouldy": ["1", "0", "", "2"],
            "weight": [1.5, 2.0, 3.0, None],
        }
    )
    collection = Collection.create(tmp_path_factory.mktemp("attributes") / "trays.cosmos")
    collection.add(table)
    return collection


def test_a_column_is_a_task_with_exactly_one_of_its_values(trays: Collection) -> None:
    found = attributes_of(trays, ["stage", "count", "winged"])
    assert found.ids.tolist() == ["a", "b", "c", "d"] and len(found) == 4
    stage, count, winged = found.tasks
    assert (stage.classes, stage.several) == (("adult", "larva"), False)
    assert stage.values.tolist() == [[0, 1], [1, 0], [-1, -1], [-1, -1]] and stage.values.dtype == np.int8
    assert stage.known.tolist() == [True, True, False, False] and stage.targets.tolist() == [1, 0, -1, -1]
    assert count.classes == ("2", "10"), "numbers in the order of numbers"
    assert count.known.tolist() == [True, True, False, False], "-1 is not known"
    assert winged.classes == ("no", "yes") and winged.targets.tolist() == [1, 0, -1, 1]


def test_a_list_is_a_set_and_what_shows_nothing_is_the_empty_set(trays: Collection) -> None:
    seen = attributes_of(trays, ["seen"]).tasks[0]
    assert seen.several and seen.classes == ("Apis", "Bombus")
    assert seen.values.tolist() == [[1, 1], [0, 0], [-1, -1], [0, 0]]


def test_columns_of_0_and_1_are_one_task_and_any_other_cell_is_told(trays: Collection) -> None:
    failures = Failures()
    damage = attributes_of(trays, ["damage=torn+mouldy"], failures=failures).tasks[0]
    assert damage.values.tolist() == [[1, 1], [0, 0], [-1, -1], [-1, -1]]
    (told,) = failures
    assert told.id == "d" and "column 'mouldy' of the attribute 'damage' holds '2', neither 0, 1 nor empty" in told.reason
    with pytest.raises(BiocosmosError, match=r"holds '2', neither 0, 1 nor empty \(specimen 'd'\)"):
        attributes_of(trays, ["damage=torn+mouldy"])


def test_a_declared_group_is_asked_for_by_name(trays: Collection) -> None:
    trays.save_facts(attributes={"wear": {"columns": ["torn"], "several": True}})
    again = Collection.open(trays.path)
    wear = attributes_of(again, ["wear"]).tasks[0]
    assert wear.several and wear.values.tolist() == [[1], [0], [-1], [-1]]
    assert attribute_names(again)[0] == "wear" and "stage" in attribute_names(again)


def test_classes_that_a_head_learnt_are_kept_and_other_values_are_none_of_them(trays: Collection) -> None:
    found = attributes_of(trays, ["stage", "seen"], classes={"stage": ["pupa", "adult"], "seen": ["Bombus"]})
    assert found.task("stage").values.tolist() == [[0, 0], [0, 1], [-1, -1], [-1, -1]]
    assert found.task("stage").known.tolist() == [True, True, False, False]
    assert found.task("seen").values.tolist() == [[1], [0], [-1], [0]]
    assert found.take(np.array([1])).task("stage").targets.tolist() == [1]


def test_selections_and_faults(trays: Collection) -> None:
    assert len(attributes_of(trays, ["stage"], where="winged")) == 2
    assert attributes_of(trays, ["stage"], where="id = 'nobody'").tasks[0].values.shape == (0, 0)
    for names, words in (
        (["nothing"], "has no column or group 'nothing' to be an attribute: there are"),
        (["weight"], "'weight' holds numbers with fractions"),
        (["crop"], "'crop' holds fixed_size_list"),
        (["stage", "stage"], "asked for twice"),
        ([], "which attributes"),
        (["a="], "is no group"),
        (["a=b+b"], "names a column twice"),
    ):
        with pytest.raises(BiocosmosError, match=words):
            attributes_of(trays, names)
    assert parse_group("stage") is None


def test_a_task_too_large_to_be_held_is_refused(trays: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biocosmos.specimens.attributes.MOST_CELLS", 7)
    with pytest.raises(BiocosmosError, match="'stage' has 2 classes of 4 specimens, more than are held at once"):
        attributes_of(trays, ["stage"])


def test_the_facts_of_a_collection_are_checked(trays: Collection, tmp_path: Path) -> None:
    trays.save_facts(attributes={"wear": {"columns": "torn", "several": True}})
    with pytest.raises(BiocosmosError, match="damaged"):
        Collection.open(trays.path)
