"""Many acts: every row knows its act, undo walks back through them, and merging their files changes nothing that was said."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import biocosmos as bc
import warm
from biocosmos.errors import BiocosmosError
from biocosmos.specimens import by_hand
from biocosmos.specimens.by_hand import acts, files, replay

IDS = [f"s{i}" for i in range(5)]
PEOPLE = ("ada", "bo")
HERE = Path(__file__).parent


def name(collection: bc.Collection, ids: list[str], taxon: str, by: str) -> str:
    rows = {"id": ids, "taxon": [taxon] * len(ids), "rank": ["class"] * len(ids)}
    return acts.append(collection, rows, "validated", by=by).stem


@pytest.fixture
def empty(tmp_path: Path) -> bc.Collection:
    return bc.Collection.create(tmp_path / "empty.cosmos")


@pytest.fixture(autouse=True)
def _undisturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "_sync", lambda *_, **__: None)  # thousands of small files


class Plain:
    """The same as a plain list: the oracle."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.said: list[dict[str, Any]] = []

    def name(self, act: str, ids: list[str], taxon: str, by: str) -> None:
        for id_ in ids:
            row = {"id": id_, "taxon": taxon, "by": by, "act": act}
            self.rows.append(row)
            self.said.append(row)

    def undo(self, by: str) -> int:
        mine = [row for row in self.rows if row["by"] == by]
        last = [row for row in mine if row["act"] == mine[-1]["act"]] if mine else []
        self.rows = [row for row in self.rows if row not in last]
        self.said += last
        return len(last)

    def withdraw(self, ids: list[str], by: str) -> None:
        for id_ in ids:
            mine = [row for row in self.rows if row["by"] == by and row["id"] == id_]
            if mine:
                self.rows.remove(mine[-1])
                self.said.append(mine[-1])

    def standing(self) -> list[tuple[str, str, str, str]]:
        last = {(row["id"], row["by"]): row for row in self.rows}
        return sorted((row["id"], row["by"], row["taxon"], row["act"]) for row in last.values())

    def current(self) -> dict[str, tuple[str, bool]]:
        last = {row["id"]: row for row in self.rows}
        by_each = {(row["id"], row["by"]): row["taxon"] for row in self.rows}
        return {id_: (row["taxon"], len({t for (i, _), t in by_each.items() if i == id_}) > 1) for id_, row in last.items()}


SOME = st.lists(st.sampled_from(IDS), min_size=1, unique=True)
STEP = st.one_of(
    st.tuples(st.just("read")),
    st.tuples(st.just("name"), st.sampled_from(PEOPLE), SOME, st.sampled_from("AB")),
    st.tuples(st.just("undo"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("withdraw"), st.sampled_from(PEOPLE), SOME),
    st.tuples(st.just("compact")),
)


@given(steps=st.lists(STEP, max_size=14))
@settings(max_examples=40)
def test_names_undos_and_mergers_of_two_people_agree_with_a_plain_list(tmp_path_factory, steps):
    collection = bc.Collection.create(tmp_path_factory.mktemp("acts") / "acts.cosmos")
    plain, ledger = Plain(), by_hand.Ledger(collection.path)
    for what, *rest in steps:
        if what == "name":
            by, ids, taxon = rest
            plain.name(name(collection, ids, taxon, by), ids, taxon, by)
        elif what == "undo":
            done = by_hand.undo(collection, by=rest[0])
            assert (done.rows if done else 0) == plain.undo(rest[0])
        elif what == "withdraw":
            by_hand.withdraw(collection, rest[1], by=rest[0])
            plain.withdraw(rest[1], rest[0])
        elif what == "read":
            ledger.read_new()
        else:
            by_hand.compact(collection, many=1)
    rows = by_hand.standing(collection).to_pylist()
    assert sorted((row["id"], row["by"], row["taxon"], row["act"]) for row in rows) == plain.standing()
    now = {row["id"]: (row["taxon"], row["disagreed"]) for row in by_hand.current(collection).to_pylist()}
    assert now == plain.current()
    assert [row["id"] for row in by_hand.history(collection).to_pylist()] == [row["id"] for row in plain.said]
    for each in (ledger, by_hand.Ledger(collection.path)):  # one that followed, one that read all at once
        agrees(each, collection, plain)


def agrees(ledger: by_hand.Ledger, collection: bc.Collection, plain: Plain) -> None:
    ledger.read_new()
    entries, called, _, disagreed = ledger.table()
    now = {
        ledger.subjects.words[i]: (ledger.called.words[called[i]][0], bool(disagreed[i]))
        for i in np.flatnonzero(entries >= 0).tolist()
    }
    assert now == plain.current()
    for id_ in IDS:
        rows = by_hand.history(collection, [id_]).to_pylist()
        told = [(row["taxon"], row["by"], row["status"], row["act"], row["undoes"]) for row in rows]
        assert [(each.taxon, each.by, each.status, each.act, each.undoes) for each in ledger.history(id_)] == told
    for by in PEOPLE:
        mine = [row for row in plain.rows if row["by"] == by]
        last = ledger.last(by)
        assert (last.name if last else None) == (mine[-1]["act"] if mine else None)
        if last:
            assert last.standing == len([row for row in mine if row["act"] == last.name])
            assert sorted(ledger.rows_that_stand(last)["id"]) == sorted(row["id"] for row in mine if row["act"] == last.name)
        if by in ledger.users.number:
            stand, undone, lately, today, _ = ledger.tally(by, 0, 0)
            assert stand == lately == today == len(mine)
            rows = by_hand.history(collection).to_pylist()
            assert stand + undone == len([1 for row in rows if row["by"] == by and row["status"] != "withdrawn"])
            assert sorted({ledger.subjects.words[i] for i in ledger.judged(by)}) == sorted({row["id"] for row in mine})


ROW = st.tuples(st.integers(0, 2), st.integers(0, 3), st.sampled_from([-2, -1, 0, 1, 2, 3]), st.booleans())


@given(rows=st.lists(ROW, max_size=24))
def test_what_stands_is_that_of_a_walk_through_the_rows(rows):
    """Any rows, of old files and new, twice withdrawn, in an order that clocks made wrong."""
    stack, act, undoes, withdrawn = (np.array(column, np.int64) for column in (zip(*rows) if rows else ((), (), (), ())))
    expected = np.zeros(len(rows), bool)
    replay._step_by_step(np.arange(len(rows)), stack, act, undoes, withdrawn.astype(bool), expected := ~withdrawn.astype(bool))
    by_order = np.isin(stack, stack[(withdrawn == 1) & (undoes == replay.LAST)])
    found = replay.stands(stack, act, undoes, withdrawn.astype(bool))
    assert np.array_equal(found[by_order], expected[by_order])
    for each in np.unique(stack[~by_order]):  # as many of each act as were not taken back
        for one in range(4):
            mine = (stack == each) & (act == one) & (withdrawn == 0)
            gone = ((stack == each) & (undoes == one) & (withdrawn == 1)).sum()
            assert found[mine].sum() == max(mine.sum() - gone, 0)
            assert np.array_equal(np.flatnonzero(mine)[: found[mine].sum()], np.flatnonzero(found & mine))


def test_every_row_knows_its_act_and_what_it_undoes(empty):
    one, two = name(empty, IDS[:2], "A", "ada"), name(empty, IDS[:1], "B", "ada")
    done = by_hand.undo(empty, by="ada")
    assert (done.act, done.rows) == (two, 1)
    rows = by_hand.history(empty).to_pylist()
    assert [(row["act"], row["undoes"]) for row in rows] == [(one, None), (one, None), (two, None), (done.path.stem, two)]
    assert by_hand.undo(empty, by="ada").act == one
    assert by_hand.undo(empty, by="ada") is None
    assert by_hand.undo(empty, by="bo") is None


def test_an_act_is_taken_back_once_though_two_did_so_at_once(empty):
    one, two = name(empty, IDS[:1], "A", "ada"), name(empty, IDS[:1], "B", "ada")
    rows = {"id": IDS[:1], "taxon": ["B"], "rank": ["class"], "undoes": [two]}
    for _ in range(2):  # two servers
        acts.append(empty, rows, "withdrawn", by="ada")
    assert [row["act"] for row in by_hand.standing(empty).to_pylist()] == [one]
    acts.append(empty, rows, "withdrawn", by="bo")  # nobody takes back what another said
    assert [row["act"] for row in by_hand.standing(empty).to_pylist()] == [one]


def test_what_a_slow_clock_took_back_before_it_was_said_is_taken_back(empty):
    """Two machines on one disk; a reader that sees them in either order ends with the same."""
    ledger = by_hand.Ledger(empty.path)
    one = name(empty, IDS[:1], "A", "ada")
    path = empty.path / acts.FOLDER / f"{one}.parquet"
    said = path.read_bytes()
    early = datetime(2020, 1, 1, tzinfo=timezone.utc)
    rows = {"id": IDS[:1], "taxon": ["A"], "rank": ["class"], "undoes": [one]}
    path.unlink()
    acts.append(empty, rows, "withdrawn", by="ada", at=early)
    ledger.read_new()
    path.write_bytes(said)
    ledger.read_new()
    assert ledger.current(IDS[0]) is None and ledger.last("ada") is None
    assert not len(by_hand.standing(empty))
    name(empty, IDS[:1], "B", "bo")
    acts.append(empty, {"id": IDS[:1], "taxon": ["C"], "rank": ["class"]}, "validated", by="bo", at=early)
    ledger.read_new()
    assert ledger.current(IDS[0]).taxon == "B" == by_hand.current(empty)["taxon"][0].as_py()
    assert by_hand.undo(empty, by="bo").act == ledger.last("bo").name


def test_files_of_the_first_format_are_read(empty):
    one, two = name(empty, IDS[:2], "A", "ada"), name(empty, IDS[:1], "B", "ada")
    taken = acts.append(empty, {"id": IDS[:1], "taxon": ["B"], "rank": ["class"]}, "withdrawn", by="ada").stem
    folder = empty.path / acts.FOLDER
    for path in folder.glob("*.parquet"):
        old = pq.read_table(path).select(list(acts.OLD))
        pq.write_table(old, path)
    rows = by_hand.history(empty).to_pylist()
    assert [(row["act"], row["undoes"]) for row in rows] == [(one, None), (one, None), (two, None), (taken, None)]
    assert {row["id"]: row["taxon"] for row in by_hand.standing(empty).to_pylist()} == {IDS[0]: "A", IDS[1]: "A"}
    before = by_hand.history(empty)
    by_hand.compact(empty, many=1)
    assert by_hand.history(empty) == before
    assert by_hand.undo(empty, by="ada").act == one


def test_merging_leaves_one_file_and_the_same_history(empty):
    for i in range(10):
        name(empty, IDS, "AB"[i % 2], PEOPLE[i % 2])
    before, folder = by_hand.history(empty), empty.path / acts.FOLDER
    assert by_hand.compact(empty, many=11) == by_hand.Compacted()
    done = by_hand.compact(empty, many=10)
    assert (done.acts, done.removed) == (10, 10) and [done.path] == list(folder.glob("*.parquet"))
    assert by_hand.history(empty) == before
    name(empty, IDS, "A", "ada")
    assert by_hand.compact(empty, many=2).path is None and len(list(folder.glob("*.parquet"))) == 2
    name(empty, IDS, "A", "ada")
    done = by_hand.compact(empty, many=2)
    assert done.acts == 2 and len(by_hand.history(empty)) == 60  # the larger file stays
    for _ in range(3):
        name(empty, IDS, "B", "bo")
    assert by_hand.compact(empty, many=2).acts == 15 and len(list(folder.glob("*.parquet"))) == 1
    assert len(by_hand.history(empty)) == 75 and by_hand.history(empty).slice(0, 50) == before


def test_somebody_who_merges_is_not_waited_for(empty):
    name(empty, IDS, "A", "ada")
    with files._alone(empty.path / acts.FOLDER) as mine:
        assert mine and by_hand.compact(empty, many=1) == by_hand.Compacted()
    assert by_hand.compact(empty, many=1).acts == 1


def test_an_act_in_two_merged_files_and_alone_counts_once(empty):
    folder = empty.path / acts.FOLDER
    name(empty, IDS, "A", "ada")
    alone = next(folder.glob("*.parquet"))
    copy = alone.read_bytes()
    first = by_hand.compact(empty, many=1).path
    alone.write_bytes(copy)
    shutil.copy(first, folder / f"x{files.MERGED}")
    name(empty, IDS, "B", "ada")
    assert len(by_hand.history(empty)) == 10
    by_hand.compact(empty, many=1)
    assert len(by_hand.history(empty)) == 10 and len(list(folder.glob("*.parquet"))) == 1


def test_a_damaged_file_is_named_and_nothing_is_merged(empty):
    for _ in range(3):
        name(empty, IDS, "A", "ada")
    folder = empty.path / acts.FOLDER
    bad = sorted(folder.glob("*.parquet"))[1]
    bad.write_bytes(bad.read_bytes()[:-9])
    with pytest.raises(BiocosmosError, match=rf"{bad.name} is damaged"):
        by_hand.compact(empty, many=1)
    assert len(list(folder.glob("*.parquet"))) == 3
    pq.write_table(pa.table({"id": ["a"]}), bad)
    with pytest.raises(BiocosmosError, match=rf"{bad.name} is damaged \(it has no column 'taxon'\)"):
        by_hand.history(empty)


def killed(path: Path, at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE / "killed_compact.py"), str(at), str(path)]
    return warm.run(command, capture_output=True, text=True, check=False)


def test_a_merger_that_is_killed_at_any_step_loses_and_doubles_nothing(empty, tmp_path):
    for i in range(3):
        name(empty, IDS, "AB"[i % 2], "ada")
    by_hand.compact(empty, many=1)
    for i in range(3):
        name(empty, IDS, "AB"[i % 2], "bo")
    before = by_hand.history(empty)
    whole = killed(shutil.copytree(empty.path, tmp_path / "whole.cosmos"), 0)
    assert whole.returncode == 0, whole.stderr
    for step in range(1, int(whole.stdout) + 1):
        copy = shutil.copytree(empty.path, tmp_path / f"{step}.cosmos")
        assert killed(copy, step).returncode == -signal.SIGKILL
        collection = bc.Collection.open(copy)
        assert by_hand.history(collection) == before, step
        name(collection, IDS, "A", "ada")
        by_hand.compact(collection, many=1)
        assert by_hand.history(collection).slice(0, len(before)) == before, step
        left = list((copy / acts.FOLDER).iterdir())
        assert all(path.name.endswith(files.MERGED) for path in left if path.name != ".merging") and len(left) <= 3, left
        shutil.rmtree(copy)


APPENDER = """
import sys
import biocosmos as bc
from biocosmos.specimens.by_hand import acts
collection = bc.Collection.open(sys.argv[1])
number = 0
while True:
    rows = {"id": [f"{sys.argv[2]}-{number}"], "taxon": ["A"], "rank": ["class"]}
    print(acts.append(collection, rows, "validated", by=sys.argv[2]).stem, flush=True)
    number += 1
"""


def appending(path: Path, who: str) -> warm.Popen:
    return warm.Popen([sys.executable, "-c", APPENDER, str(path), who], stdout=subprocess.PIPE, text=True)


def told(process: warm.Popen) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        if line.endswith("\n"):
            yield line.strip()


def test_every_act_that_was_told_is_there_though_its_process_is_killed_while_another_merges(empty):
    writers = [appending(empty.path, who) for who in PEOPLE]
    lines = [told(writer) for writer in writers]
    acknowledged = [[next(line) for _ in range(5)] for line in lines]
    seen = 0
    for _ in range(6):
        by_hand.compact(empty, many=1)
        for mine, line in zip(acknowledged, lines):
            mine += [next(line) for _ in range(5)]
        now = len(by_hand.history(empty))
        assert now >= seen
        seen = now
    for writer in writers:
        writer.kill()
    acknowledged = [mine + list(line) for mine, line in zip(acknowledged, lines)]
    [writer.wait() for writer in writers]
    by_hand.compact(empty, many=1)
    rows = by_hand.history(empty).to_pylist()
    for who, mine in zip(PEOPLE, acknowledged):
        there = [row["act"] for row in rows if row["by"] == who]
        assert there[: len(mine)] == mine and len(mine) <= len(there) <= len(mine) + 1  # one that was not told yet
        assert [row["id"] for row in rows if row["by"] == who] == [f"{who}-{i}" for i in range(len(there))]
