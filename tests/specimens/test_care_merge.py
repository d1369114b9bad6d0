"""Collections put together: everything of every part is there, once, with vectors and splits, also after a kill."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.care import merge as merging
from biocosmos.specimens.records import Source
from biocosmos.specimens.sample import SAMPLE_RANKS

CLIP = {"digest": "d1", "dim": 4, "preprocessing": {"size": 32}, "precision": "float32", "backend": "torch", "device": "cpu"}


def collection_of(
    path: Path, table: pa.Table, *, encoder: dict[str, Any] | None = None, ranks: tuple[str, ...] = SAMPLE_RANKS
) -> bc.Collection:
    collection = bc.Collection.create(path)
    collection.add(Source(path.name, "test", table.to_batches(), ranks), pack=True)
    if encoder is not None:
        rows = np.random.default_rng(len(path.name)).normal(size=(len(table), encoder["dim"])).astype(np.float32)
        array = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), encoder["dim"])
        collection.add_vectors("clip", encoder, iter([array]))
    return collection


@pytest.fixture
def north(tmp_path: Path, sample_table: pa.Table) -> bc.Collection:
    return collection_of(tmp_path / "north.cosmos", sample_table.slice(0, 40), encoder=CLIP)


@pytest.fixture
def south(tmp_path: Path, sample_table: pa.Table) -> bc.Collection:
    table = sample_table.slice(30, 30)  # ten of them are in the north too
    depth = pa.array(range(30), pa.int64())
    return collection_of(
        tmp_path / "south.cosmos", table.append_column("depth", depth), encoder={**CLIP, "precision": "bfloat16"}
    )


def rows(collection: bc.Collection) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in collection.dataset.to_table().to_pylist()}


def test_specimens_stand_once_with_images_vectors_columns_and_splits(
    north: bc.Collection, south: bc.Collection, tmp_path: Path
) -> None:
    north.make_split("random", seed=1)
    south.make_split("random", seed=2)
    whole, summary = bc.Collection.merged([north, south], tmp_path / "all.cosmos", by="Ada")
    expected = {id_: row | {"depth": None} for id_, row in rows(north).items()}
    expected = rows(south) | expected
    assert rows(whole) == expected
    order = [*rows(north), *(id_ for id_ in rows(south) if id_ not in rows(north))]
    assert whole.table(["id"])["id"].to_pylist() == order
    assert (summary.added, summary.known, summary.vectors) == (60, 10, {"clip": 60})
    assert whole.ranks == SAMPLE_RANKS and whole.default_encoder == "clip"
    assert whole.encoders["clip"]["precision"] == "bfloat16, float32" and whole.encoders["clip"]["digest"] == "d1"
    split, mine, theirs = whole.split(), north.split(), south.split()
    place = dict(zip(theirs.ids.to_pylist(), theirs.parts.to_pylist())) | dict(zip(mine.ids.to_pylist(), mine.parts.to_pylist()))
    assert dict(zip(split.ids.to_pylist(), split.parts.to_pylist())) == place
    assert any("are where the first had put them" in note for note in split.notes)
    assert {(row.id, row.severity) for row in summary.failures} == set(), "a column that one side lacks is no difference"
    assert [(entry.verb, entry.by, entry.counts["specimens"]) for entry in whole.history()] == [("merge", "Ada", 60)]
    assert not (whole.path / "work").exists()
    again, second = bc.Collection.merged([north, south], tmp_path / "all.cosmos")
    assert (len(again), second.known, second.notes) == (60, 60, ["it was merged already"])


def test_vectors_of_other_weights_are_told_and_null(north: bc.Collection, tmp_path: Path, sample_table: pa.Table) -> None:
    other = collection_of(tmp_path / "other.cosmos", sample_table.slice(60, 5), encoder={**CLIP, "digest": "d2"})
    none = collection_of(tmp_path / "none.cosmos", sample_table.slice(70, 5))
    whole, summary = bc.Collection.merged([north.path, other.path, none.path], tmp_path / "all.cosmos")
    assert summary.vectors == {"clip": 40}
    assert [note.split(":")[0] for note in summary.notes] == [
        "the vectors of 'clip' in " + str(other.path) + " were left out",
        f"{none.path} has no vectors of 'clip'",
    ]
    assert "their digest is another (d2, not d1)" in summary.notes[0]
    assert whole.dataset.count_rows(filter="`embedding/clip` IS NULL") == 10


def test_ids_that_mean_two_specimens_are_refused_with_the_remedy(
    north: bc.Collection, tmp_path: Path, sample_table: pa.Table
) -> None:
    ids = north.table(["id"])["id"].to_pylist()
    table = sample_table.slice(100, 3).set_column(0, "id", pa.array([ids[0], ids[1], "own"]))
    other = collection_of(tmp_path / "other.cosmos", table)
    with pytest.raises(BiocosmosError, match=rf"2 ids mean other specimens .*'{ids[0]}'.*--id-prefix {other.path}=other-"):
        bc.Collection.merged([north, other], tmp_path / "all.cosmos")
    assert not (tmp_path / "all.cosmos").exists()
    whole, summary = bc.Collection.merged([north, other], tmp_path / "all.cosmos", id_prefix={"other": "o-"})
    assert whole.table(["id"])["id"].to_pylist() == [*ids, f"o-{ids[0]}", f"o-{ids[1]}", "o-own"]
    assert any("the guard against leaks cannot see it" in note for note in summary.notes)
    with pytest.raises(BiocosmosError, match="'nowhere' is none of"):
        bc.Collection.merged([north, other], tmp_path / "new.cosmos", id_prefix={"nowhere": "x"})
    with pytest.raises(BiocosmosError, match="has specimens already"):
        bc.Collection.merged([other, north], tmp_path / "all.cosmos", id_prefix={"": "x-"})


def test_the_same_specimen_with_another_note_is_told(north: bc.Collection, tmp_path: Path) -> None:
    shutil.copytree(north.path, tmp_path / "copy.cosmos")
    copy = bc.Collection.open(tmp_path / "copy.cosmos")
    ids = copy.table(["id"])["id"].to_pylist()
    north.change({"id": ids[:2], "note": ["x", "y"]}, verb="v")
    copy.change({"id": ids[:2], "note": ["x", "z"]}, verb="v")
    whole, summary = bc.Collection.merged([north, copy], tmp_path / "all.cosmos")
    assert (len(whole), summary.known) == (40, 40)
    assert [(row.id, row.reason) for row in summary.failures] == [
        (ids[1], f"{copy.path} has the same specimen with another 'note': that of {north.path} was kept")
    ]
    copy.relabel("Copepoda", "Copepods")
    copy.update({"id": [ids[0]], "label": ["something else"]})
    with pytest.raises(BiocosmosError, match="1 ids mean other specimens"):
        bc.Collection.merged([north, copy], tmp_path / "more.cosmos")


def test_a_collection_is_taken_into_another_and_back_out(north: bc.Collection, south: bc.Collection) -> None:
    north.make_split("random", seed=1)
    south.make_split("random", seed=2)
    before, split = rows(north), north.split().hash
    theirs = rows(south)
    summary = north.merge(south.path)
    assert (summary.added, summary.known) == (20, 10)
    assert rows(north) == theirs | {id_: row | {"depth": None} for id_, row in before.items()}
    assert north.split().hash == split and any("in no part" in note for note in summary.notes)
    assert north.merge(south).added == 0 and len(north.history()) == 1
    north.undo()
    assert rows(north) == before
    north.undo(2)
    assert len(north) == 60
    some = list(theirs)[-1]
    north.update({"id": [some], "label": ["x"]})
    with pytest.raises(BiocosmosError, match=rf"changed by change 4 since \('{some}'\)"):
        north.undo(3)
    with pytest.raises(BiocosmosError, match="cannot be added to itself"):
        north.merge(north)
    assert north.add(south.path, id_prefix="s-").added == 30 and north.count(where="id LIKE 's-%'") == 30
    with pytest.raises(BiocosmosError, match="is a collection: open it with"):
        bc.read(south.path)


def test_ranks_and_types_that_differ(tmp_path: Path) -> None:
    one = bc.Collection.create(tmp_path / "one.cosmos")
    batch = pa.RecordBatch.from_pylist([{"id": "1", "family": "F", "label": "a", "size": 3}])
    one.add(Source("one", "test", [batch], ("family", "label")))
    two = bc.Collection.create(tmp_path / "two.cosmos")
    batch = pa.RecordBatch.from_pylist([{"id": "2", "genus": "G", "label": "b", "size": "7"}, {"id": "3", "size": "large"}])
    two.add(Source("two", "test", [batch], ("genus", "label")))
    whole, summary = bc.Collection.merged([one, two], tmp_path / "all.cosmos")
    assert whole.ranks == ("family", "genus", "label")
    assert whole.table(["size"])["size"].to_pylist() == [3, 7, None]
    assert [(row.id, "'large'" in row.reason) for row in summary.failures] == [("3", True)]
    three = bc.Collection.create(tmp_path / "three.cosmos")
    three.add(Source("t", "test", [pa.RecordBatch.from_pylist([{"id": "4", "family": "F", "genus": "G"}])], ("genus", "family")))
    with pytest.raises(BiocosmosError, match="do not fit the collection's order"):
        bc.Collection.merged([whole, three], tmp_path / "more.cosmos")


def test_a_merger_that_is_stopped_goes_on_and_ends_the_same(
    north: bc.Collection, south: bc.Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "CHUNK_ROWS", 8)
    monkeypatch.setattr(merging, "READ_ROWS", 4)
    whole, _ = bc.Collection.merged([north, south], tmp_path / "whole.cosmos")
    write, written = merging.lance.fragment.write_fragments, []

    def stopped(*arguments: Any, **options: Any) -> Any:
        found = write(*arguments, **options)
        written.append(found)
        if len(written) == 5:
            raise KeyboardInterrupt  # the fifth chunk is on the disk, and nothing knows of it
        return found

    monkeypatch.setattr(merging.lance.fragment, "write_fragments", stopped)
    with pytest.raises(KeyboardInterrupt):
        bc.Collection.merged([north, south], tmp_path / "again.cosmos")
    half = bc.Collection.open(tmp_path / "again.cosmos")
    assert len(half) == 0, "nothing of it is seen before all of it is there"
    again, summary = bc.Collection.merged([north, south], tmp_path / "again.cosmos")
    assert summary.added == 60 and len(written) == 5 + 8 - 4
    assert again.dataset.to_table() == whole.dataset.to_table()
    assert [f.count_rows() for f in again.dataset.get_fragments()] == [f.count_rows() for f in whole.dataset.get_fragments()]
    data = [len(list((each.path / "specimens.lance" / "data").iterdir())) for each in (whole, again)]
    assert data[0] == data[1], "no data file is left over"
    assert not (again.path / "work").exists()


OUTSIDE = json.dumps({"files": [{"path": "../../../victim.lance"}], "physical_rows": 0})


@pytest.mark.parametrize(
    "wrong", [{"done": [[0, 0, OUTSIDE]]}, {"what": []}, {"done": [[0, 0, "x"]]}, {"done": 3}, {"files": ["../victim.lance"]}]
)
def test_a_plan_that_is_not_ours_is_passed_over(north: bc.Collection, south: bc.Collection, wrong: Any, tmp_path: Path) -> None:
    victim = tmp_path / "victim.lance"
    victim.write_text("precious")
    plan = {"what": {"parts": [], "version": 1}, "files": [], "made_columns": [], "warnings": [], "done": [], **wrong}
    (north.path / "work" / "merge").mkdir(parents=True)
    (north.path / "work" / "merge" / "plan.json").write_text(json.dumps(plan))
    summary = merging.take_in(north, south)
    assert victim.read_text() == "precious"
    assert summary.added == 20 and len(north) == 60
    assert any("begun anew" in note for note in summary.notes)


def test_a_pending_change_commits_no_file_of_elsewhere(north: bc.Collection) -> None:
    piece = {"kind": "added", "file": "000001-added.parquet", "rows": 1, "fragments": [OUTSIDE]}
    entry = {"number": 1, "verb": "merge", "by": "x", "time": "t", "biocosmos": "0", "pieces": [piece]}
    (north.path / "history").mkdir()
    (north.path / "history" / "pending.json").write_text(json.dumps(entry))
    with pytest.raises(BiocosmosError, match="fragment"):
        north.change({"id": ["a"], "label": ["b"]}, verb="update")


@pytest.mark.parametrize("name", ["work", "splits", "history", "specimens.lance/data"])
def test_nothing_is_written_through_a_link_out_of_the_collection(north: bc.Collection, name: str, tmp_path: Path) -> None:
    folder, elsewhere = north.path / name, tmp_path / "elsewhere"
    folder.rename(elsewhere) if folder.exists() else elsewhere.mkdir()
    folder.symlink_to(elsewhere)
    before = sorted(elsewhere.rglob("*"))
    with pytest.raises(BiocosmosError, match="link out of the collection"):
        bc.Collection.open(north.path).make_split("random")
    assert sorted(elsewhere.rglob("*")) == before
