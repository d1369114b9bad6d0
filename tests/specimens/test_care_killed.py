"""Changes that are killed (SIGKILL) at some step and run again end as if nothing had happened, and leave nothing over."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import killed_change
import numpy as np
import pyarrow as pa
import pytest

import biocosmos as bc
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
            steps = int(subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()[-1])
            found[what] = state(folder), steps
        return found[what]

    return of


@pytest.mark.parametrize(("what", "share"), KILLS)
def test_a_killed_change_is_finished_or_made_again(what: str, share: float, before: Path, unkilled: Any, tmp_path: Path) -> None:
    wanted, steps = unkilled(what)
    run = [sys.executable, killed_change.__file__, str(max(1, round(share * steps))), *arguments(what, before, tmp_path / "c")]
    assert subprocess.run(run, capture_output=True, check=False).returncode == -signal.SIGKILL
    killed_change.carry_out(Path(run[3]), *run[4:])
    assert state(tmp_path / "c") == wanted
