"""Changes that are killed (SIGKILL) at some step and run again end as if nothing had happened, and leave nothing over."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import killed_change
import numpy as np
import pyarrow as pa
import pytest

import biocosmos as bc
import warm
from biocosmos.specimens import lock
from biocosmos.specimens.care import log
from biocosmos.specimens.records import Source
from biocosmos.specimens.sample import SAMPLE_RANKS

KILLS = [("update", 0.3), ("update", 0.5), ("update", 0.7), ("update", 0.95), ("remove", 0.6), ("undo", 0.6), ("merge", 0.15)]
KILLS += [("merge", 0.5), ("merge", 0.97)]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory, sample_table: pa.Table) -> Path:
    """Two collections with vectors, of which ten specimens are the same, and one of which four were removed."""
    folder = tmp_path_factory.mktemp("before")
    for name, first in (("a", 0), ("b", 30)):
        collection = bc.Collection.create(folder / name)
        collection.add(Source(name, "test", sample_table.slice(first, 40).to_batches(), SAMPLE_RANKS), pack=True)
        ids = collection.table(["id"])["id"].to_pylist()
        collection.add_embedding("mine", ids, np.random.default_rng(0).normal(size=(40, 3)))
    shutil.copytree(folder / "a", folder / "less")
    killed_change.carry_out(folder / "less", "remove")
    return folder


def state(path: Path) -> list[Any]:
    """All that is stored, who changed what, and the files beside the rows."""
    collection = bc.Collection.open(path)
    entries = [(entry.number, entry.verb, entry.undoes, entry.counts) for entry in collection.history()]
    files = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file() and "specimens.lance" not in file.parts}
    return [collection.dataset.to_table(), collection.ranks, entries, files, collection.failures.num_rows]


def arguments(what: str, before: Path, folder: Path) -> list[str]:
    if what != "merge":
        shutil.copytree(before / ("less" if what == "undo" else "a"), folder)
    return [str(folder), what, *([str(before / "a"), str(before / "b")] if what == "merge" else [])]


@pytest.fixture(scope="module")
def unkilled(before: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What there is in the end when nothing is killed, and how many steps that takes."""
    found: dict[str, tuple[list[Any], int]] = {}

    def of(what: str) -> tuple[list[Any], int]:
        if what not in found:
            folder = tmp_path_factory.mktemp("unkilled") / "c"
            run = [sys.executable, killed_change.__file__, "0", *arguments(what, before, folder)]
            steps = int(warm.run(run, capture_output=True, text=True, check=True).stdout.split()[-1])
            found[what] = state(folder), steps
        return found[what]

    return of


@pytest.mark.parametrize(("what", "share"), KILLS)
def test_a_killed_change_is_finished_or_made_again(what: str, share: float, before: Path, unkilled: Any, tmp_path: Path) -> None:
    wanted, steps = unkilled(what)
    run = [sys.executable, killed_change.__file__, str(max(1, round(share * steps))), *arguments(what, before, tmp_path / "c")]
    assert warm.run(run, capture_output=True, check=False).returncode == -signal.SIGKILL
    killed_change.carry_out(Path(run[3]), *run[4:])
    assert state(tmp_path / "c") == wanted


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("verb", ["undo", "relabel", "remove", "update"])
def test_a_change_that_was_finished_after_a_kill_is_not_made_again(
    verb: str, late: bool, before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(before / "a", tmp_path / "c")
    opened = bc.Collection.open(tmp_path / "c")
    ids = opened.table(["id"])["id"].to_pylist()
    for label in ("one", "two"):
        opened.change({"id": ids[:1], "label": [label]}, verb="update")

    def ask(collection: bc.Collection) -> Any:
        if verb == "undo":
            return collection.undo()
        if verb == "relabel":
            return collection.relabel("two", "three")
        if verb == "remove":
            return collection.remove(ids[3:5])
        return collection.update(pa.table({"id": [ids[1], "nobody"], "label": ["four", "five"]}))

    finish = log.Log.finish

    def killed(self: log.Log, entry: Any) -> None:
        if late:
            finish(self, entry)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(log.Log, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            ask(opened)
    held = tmp_path / "c" / "lock"
    held.write_text(held.read_text().replace(f'"pid": {os.getpid()}', '"pid": 1'))  # it was of another process
    again = bc.Collection.open(tmp_path / "c")
    summary = ask(again)
    assert len(again.history()) == 3
    if verb == "update":
        assert [row["id"] for row in again.failures.to_pylist()] == [ids[1], "nobody"]
        return
    assert summary.entry.number == 3 and any("already" in note for note in summary.notes)
    if verb == "undo":
        assert again.undo().entry.undoes == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_dry_run_needs_no_right_to_write(before: Path, tmp_path: Path) -> None:
    _dry_runs(before, tmp_path)


def test_a_dry_run_takes_no_lock(before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise lock.ReadOnly("may not be written to")

    monkeypatch.setattr(lock, "_opened", refused)
    _dry_runs(before, tmp_path)


def _dry_runs(before: Path, tmp_path: Path) -> None:
    shutil.copytree(before / "a", tmp_path / "c")
    for folder in (tmp_path / "c", *(tmp_path / "c").rglob("*")):
        folder.chmod(folder.stat().st_mode & ~0o222)
    opened = bc.Collection.open(tmp_path / "c")
    ids = opened.table(["id", "label"])
    assert opened.update(pa.table({"id": ids["id"][:1], "label": ["x"]}), dry_run=True).specimens == 1
    assert opened.relabel(ids["label"][0].as_py(), "x", dry_run=True).specimens
    assert opened.remove(ids["id"][:2].to_pylist(), dry_run=True).specimens == 2
    for folder in (tmp_path / "c", *(tmp_path / "c").rglob("*")):
        folder.chmod(folder.stat().st_mode | 0o200)
