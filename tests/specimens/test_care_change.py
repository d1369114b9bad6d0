"""Cells changed by id: what was given stands there, everything else is as it was, and all of it can be undone."""

from __future__ import annotations

import json
import re

import numpy as np
import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.care import apply
from biocosmos.specimens.care.entry import WHO
from biocosmos.specimens.checking import check

DIM = 4


def state(collection: bc.Collection) -> list[dict[str, object]]:
    """Everything that is stored, in its order."""
    return list(collection.dataset.to_table().to_pylist())


@pytest.fixture
def named(tiny_collection: bc.Collection) -> bc.Collection:
    """120 specimens with vectors."""
    ids = tiny_collection.table(["id"])["id"].to_pylist()
    vectors = np.random.default_rng(0).normal(size=(len(ids), DIM)).astype(np.float32)
    tiny_collection.add_embedding("mine", ids, vectors)
    return tiny_collection


def test_a_change_sets_the_cells_that_are_given_and_nothing_else(named: bc.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WHO, "Ada  Lovelace")
    before = state(named)
    ids = [row["id"] for row in before]
    table = {
        "id": [ids[3], ids[50], "nobody"],
        "genus": ["Calanus", None, "X"],
        "latitude": ["1,5", "north", None],
        "depth": [3, 4, 5],
    }
    summary = named.change(table, verb="corrected", note="by hand", arguments={"file": "a.csv"})
    expected = [dict(row, depth=None) for row in before]
    expected[3].update(genus="Calanus", latitude=1.5, depth=3)
    expected[50].update(depth=4)
    assert state(named) == expected, "order, images and vectors too"
    assert (summary.specimens, summary.columns) == (2, {"genus": 1, "latitude": 1, "depth": 2})
    told = {(row.id, row.reason) for row in summary.failures}
    assert told == {
        ("nobody", "no specimen has this id"),
        (ids[50], "column 'latitude' holds double: the value 'north' was left out"),
    }
    (entry,) = named.history()
    assert (entry.number, entry.verb, entry.by, entry.note) == (1, "corrected", "Ada Lovelace", "by hand")
    assert entry.arguments == {"file": "a.csv"} and entry.biocosmos and entry.time.endswith("+00:00")
    listed = pa.concat_tables(summary.changes()).to_pylist()
    changes = {(row["id"], row["column"]): (row["old"], row["new"]) for row in listed}
    assert changes[ids[50], "depth"] == (None, "4") and len(changes) == 4


def test_undo_writes_it_back_and_undo_of_the_undo_does_it_again(named: bc.Collection) -> None:
    before = state(named)
    ids = [row["id"] for row in before]
    named.change({"id": ids[:2], "label": ["a", "b"], "depth": [1, 2]}, verb="update")
    changed = state(named)
    named.undo(by="Grace")
    assert state(named) == before, "the column that the change had made is gone too"
    with pytest.raises(BiocosmosError, match="no change that could be undone"):
        named.undo()
    with pytest.raises(BiocosmosError, match=r"was undone by change 2: 'biocosmos undo .* 2' does it again"):
        named.undo(1)
    named.undo(2)
    assert state(named) == changed
    assert [(entry.verb, entry.undoes) for entry in named.history()] == [("update", None), ("undo", 1), ("undo", 2)]
    assert named.history()[1].by == "Grace"
    named.undo()  # the first stands again, so it is the last that can be undone
    assert state(named) == before


def test_an_undo_that_meets_a_later_change_is_refused_with_the_ids(named: bc.Collection) -> None:
    ids = named.table(["id"])["id"].to_pylist()
    named.change({"id": ids[:3], "label": ["a", "a", "a"]}, verb="first")
    named.change({"id": ids[1:2], "label": ["b"]}, verb="second")
    named.change({"id": ids[1:2], "genus": ["G"]}, verb="another column")
    changed = state(named)
    with pytest.raises(BiocosmosError, match=rf"1 of its specimens is changed again since \('{ids[1]}'\)"):
        named.undo(1)
    assert state(named) == changed and len(named.history()) == 3
    named.undo(2)
    named.undo(1)
    assert [row["genus"] for row in state(named) if row["id"] == ids[1]] == ["G"]


def test_a_null_clears_only_when_it_is_asked_to(named: bc.Collection) -> None:
    row = next(row for row in state(named) if row["genus"] is not None)
    table = {"id": [row["id"]], "genus": pa.array([None], pa.string())}
    assert named.change(table, verb="v").entry is None
    assert named.history() == []
    summary = named.change(table, verb="v", clear=True, dry_run=True)
    assert summary.columns == {"genus": 1} and named.history() == []
    (changed,) = summary.changes()
    assert changed.to_pylist() == [{"id": row["id"], "column": "genus", "old": row["genus"], "new": None}]
    place = summary.written.parent  # lies apart from the collection as long as somebody may ask
    assert place.is_dir() and not place.is_relative_to(named.path)
    del summary
    assert not place.exists()
    named.change(table, verb="v", clear=True)
    assert named.take([row["id"]], ["genus"])["genus"].to_pylist() == [None]


def test_a_changed_crop_takes_the_vectors_away_and_undo_brings_them_back(named: bc.Collection) -> None:
    before = state(named)
    id_ = before[7]["id"]
    summary = named.change({"id": [id_], "crop": [[1.0, 1.0, 5.0, 5.0]]}, verb="update")
    assert summary.vectors == 1
    expected = [dict(row) for row in before]
    expected[7].update({"crop": [1.0, 1.0, 5.0, 5.0], "embedding/mine": None})
    assert state(named) == expected
    assert named.encoders["mine"]["dim"] == DIM
    named.undo()
    assert state(named) == before


def test_ids_given_twice_and_columns_that_cannot_be_set_are_told(named: bc.Collection) -> None:
    ids = named.table(["id"])["id"].to_pylist()
    table = {"id": [ids[0], ids[0], ids[0], None], "label": ["a", "a", "b", "c"]}
    summary = named.change(table, verb="v")
    assert summary.specimens == 1
    assert [(row.row, row.reason) for row in summary.failures] == [
        (3, "row 1 has this id too, with other values: this one was left out"),
        (4, "blank id"),
    ]
    for column in ("image", "content_hash", "embedding/mine"):
        with pytest.raises(BiocosmosError, match=f"'{column}' follows from"):
            named.change({"id": ids[:1], column: ["x"]}, verb="v")
    with pytest.raises(BiocosmosError, match="no column 'id'; it has: name"):
        named.change({"name": ["x"]}, verb="v")


def test_new_ranks_stand_where_they_belong_and_go_with_the_undo(named: bc.Collection) -> None:
    ranks = named.ranks
    ids = named.table(["id"])["id"].to_pylist()
    named.change({"id": ids[:1], "subfamily": ["Calaninae"]}, verb="v", ranks=["family", "subfamily", "genus"])
    assert named.ranks[named.ranks.index("family") + 1] == "subfamily"
    assert named.count(within="Calaninae") == 1
    named.undo()
    assert named.ranks == ranks and "subfamily" not in named.stored_columns


def test_a_damaged_history_is_one_line_that_names_file_and_line(named: bc.Collection) -> None:
    ids = named.table(["id"])["id"].to_pylist()
    named.change({"id": ids[:1], "label": ["a"]}, verb="v")
    path = named.path / "history" / "changes.jsonl"
    whole = path.read_text()
    entry = json.loads(whole)
    elsewhere = [dict(entry["pieces"][0], file="../../elsewhere.parquet")]
    for damage in (["no entry"], entry | {"number": "1"}, entry | {"pieces": elsewhere}, {"number": 1}, 3):
        path.write_text(whole + json.dumps(damage) + "\n")
        with pytest.raises(BiocosmosError, match=r"changes.jsonl, line 2 is not an entry of a history") as caught:
            named.history()
        assert "\n" not in str(caught.value)


def test_a_piece_that_is_damaged_and_an_entry_that_was_altered_undo_nothing(named: bc.Collection) -> None:
    ids = named.table(["id"])["id"].to_pylist()
    named.change({"id": ids[:2], "label": ["a", "b"]}, verb="first")
    named.change({"id": ids[2:3], "label": ["c"]}, verb="second")
    after, folder = state(named), named.path / "history"
    piece, log = folder / "000002-fields.parquet", folder / "changes.jsonl"
    whole, lines = piece.read_bytes(), log.read_text()
    flipped = bytearray(whole)
    flipped[40] ^= 1  # in a page of values
    other = lines.replace('"columns": ["label"]', '"columns": []', 1)
    for file, content, says in (
        (piece, bytes(flipped), r"000002-fields.parquet is damaged \(.*restore it from a copy"),
        (piece, b"PAR1", "000002-fields.parquet is damaged"),
        (piece, (folder / "000001-fields.parquet").read_bytes(), "it holds other rows or columns than the change says"),
        (log, other.encode(), "changes.jsonl, line 1 was changed after it was written"),
        (log, lines.split("\n")[1].encode(), "changes.jsonl, line 1: this is change 2"),
        (log, b"\xff\xfe", "changes.jsonl, line 1 is not an entry"),
    ):
        file.write_bytes(content)
        with pytest.raises(BiocosmosError, match=says):
            named.undo()
        assert any(not finding.well and finding.what == "history" for finding in check(named.path)), says
        piece.write_bytes(whole)
        log.write_text(lines)
    log.unlink()  # what it had known of is no leftover of a change that was killed
    with pytest.raises(BiocosmosError, match="lacks change 1 and later ones: restore"):
        named.change({"id": ids[:1], "label": ["d"]}, verb="third")
    log.write_text(lines)
    assert state(named) == after
    named.undo()
    named.undo()
    assert [row["label"] for row in state(named)[:3]] != ["a", "b", "c"] and len(named.history()) == 4


def test_a_change_that_cannot_be_finished_keeps_nobody_from_reading(
    named: bc.Collection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = named.table(["id"])["id"].to_pylist()
    full = OSError(28, "No space left on device")

    def no_space(*_: object) -> None:
        raise full

    before = state(named)
    with monkeypatch.context() as patched:
        patched.setitem(apply._STEPS, "cells", no_space)
        with pytest.raises(BiocosmosError, match=r"nothing was changed in .*No space left"):
            named.change({"id": ids[:1], "depth": [1]}, verb="v", ranks=["status", "phase"])
        assert state(named) == before and named.history() == [] and "phase" not in named.ranks
        patched.setattr(apply, "_taken_back", lambda *_: False)
        with pytest.raises(BiocosmosError, match=r"change 1 of .* was not finished \(.*No space left.*: mend that"):
            named.change({"id": ids[:1], "label": ["a"]}, verb="v")
        assert len(bc.Collection.open(named.path)) == 120
        assert re.search(r"warning: change 1 of .* was not finished", capsys.readouterr().err)
        with pytest.raises(BiocosmosError, match=r"change 1 of .* was not finished"):
            named.remove(ids[:1])
    assert bc.Collection.open(named.path).take(ids[:1], ["label"])["label"].to_pylist() == ["a"]
    assert [entry.number for entry in named.history()] == [1]
