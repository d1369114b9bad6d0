"""Ingests that are killed (SIGKILL) at a chosen step, or come two at once, end as one that nothing disturbed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import biocosmos as bc
import warm
from biocosmos.errors import BiocosmosError
from biocosmos.specimens import appending
from biocosmos.specimens.sample import sample

KILLED = """
import os, signal, sys
from pathlib import Path
import lance
import biocosmos as bc
from biocosmos.specimens import appending, creating, failures_kept
from biocosmos.specimens.checksums import Checksums

appending.COMMIT_ROWS = 8
steps, at = 0, int(sys.argv[1])

def killing(function):
    def step():
        global steps
        steps += 1
        if steps == at:
            os.kill(os.getpid(), signal.SIGKILL)
    def run(*arguments, **options):
        step()
        found = function(*arguments, **options)
        step()
        return found
    return run

for owner, name in [(Path, "mkdir"), (Path, "rename"), (Path, "replace"), (Path, "write_text"), (lance, "write_dataset"),
                    (lance.LanceDataset, "add_columns"), (appending.Appending, "commit"), (failures_kept, "record_reading")]:
    setattr(owner, name, killing(getattr(owner, name)))
source = bc.read(sys.argv[3])
source.batches = [part.slice(i, 4) for part in source.batches for i in range(0, part.num_rows, 4)]
bc.Collection.open_or_create(sys.argv[2]).add(source)
print(steps)
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 images in two folders: one is no image, two are copies, one has two names by accident."""
    folder = tmp_path_factory.mktemp("photos") / "photos"
    for row in range(30):
        file = folder / ("ab"[row % 2]) / f"{row:02d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"no image" if row == 7 else bytes(sample()["image"][row % 28].as_py()))
    return folder


def run(path: Path, photos: Path, at: int = 0) -> subprocess.CompletedProcess[str]:
    return warm.run([sys.executable, "-c", KILLED, str(at), str(path), str(photos)], capture_output=True, text=True, check=False)


def state(path: Path) -> dict[str, Any]:
    """All that a person may see, and every file that is there."""
    collection = bc.Collection.open(path)
    table = collection.dataset.to_table()
    files = sorted(
        str(file.relative_to(path)) for file in path.rglob("*") if file.is_file() and "specimens.lance" not in file.parts
    )
    used = {str(file.path) for part in collection.dataset.get_fragments() for file in part.metadata.files}
    return {
        "rows": table.select(sorted(table.column_names)).to_pylist(),
        "failures": collection.failures.to_pylist(),
        "ranks": collection.ranks,
        "files": files,
        "beside": sorted(entry.name for entry in path.parent.iterdir()),
        "litter": {file.name for file in (path / "specimens.lance" / "data").iterdir()} - used,
    }


@pytest.fixture(scope="module")
def unkilled(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int]:
    path = tmp_path_factory.mktemp("unkilled") / "c.cosmos"
    done = run(path, photos)
    assert done.returncode == 0, done.stderr
    found = state(path)
    assert [row["id"] for row in found["failures"]] == ["b/07.jpg", "a/28.jpg", "b/29.jpg"] and not found["litter"]
    return found, int(done.stdout)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.35, 0.6, 0.9, 1.0])
def test_a_killed_ingest_ends_as_one_that_was_not(
    unkilled: tuple[dict[str, Any], int], photos: Path, tmp_path: Path, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, steps = unkilled
    path = tmp_path / "c.cosmos"
    assert run(path, photos, max(1, round(share * steps))).returncode == -signal.SIGKILL
    monkeypatch.setattr(appending, "COMMIT_ROWS", 8)
    bc.Collection.open_or_create(path).add(photos)
    assert state(path) == wanted


@pytest.mark.parametrize("left", ["nothing", "an empty folder", "the data", "the data and half of the facts"])
def test_what_older_versions_left_half_made_is_begun_anew(tmp_path: Path, photos: Path, left: str) -> None:
    path = tmp_path / "c.cosmos"
    if left != "nothing":
        bc.Collection.create(path)
        (path / "collection.json").unlink()
    if left == "an empty folder":
        shutil.rmtree(path / "specimens.lance")
        shutil.rmtree(path)
        path.mkdir()
    if "facts" in left:
        (path / ".collection.json.4711.tmp").write_text("{")
    assert bc.Collection.open_or_create(path).add(photos).added == 29


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("words")
    for make in (bc.Collection.create, bc.Collection.open_or_create):
        with pytest.raises(BiocosmosError, match="exists already"):
            make(tmp_path / "thesis")
    with pytest.raises(BiocosmosError, match="not a collection"):
        bc.Collection.create(tmp_path / "thesis", overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis"]


def test_specimens_without_their_facts_are_damage_not_a_beginning(tmp_path: Path, photos: Path) -> None:
    collection = bc.Collection.create(tmp_path / "c")
    collection.add(photos)
    (tmp_path / "c" / "collection.json").unlink()
    with pytest.raises(BiocosmosError, match=r"damaged: restore .*collection\.json"):
        bc.Collection.open_or_create(tmp_path / "c")
    assert len(collection) == 29


def test_three_at_once_store_every_specimen_once(tmp_path: Path, photos: Path) -> None:
    path = tmp_path / "c.cosmos"
    command = [sys.executable, "-c", KILLED, "0", str(path), str(photos)]
    running = [warm.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) for _ in range(3)]
    ends = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], ends
    ids = bc.Collection.open(path).table(["id"])["id"].to_pylist()
    assert len(ids) == len(set(ids)) == 29
    assert [entry.name for entry in tmp_path.iterdir()] == ["c.cosmos"]


def test_a_collection_that_is_removed_meanwhile_is_one_line(tmp_path: Path, photos: Path) -> None:
    collection = bc.Collection.create(tmp_path / "c")
    source = bc.read(photos)
    batches = iter(source.batches)

    def removed() -> Any:
        yield next(batches)
        shutil.rmtree(tmp_path / "c")

    source.batches = removed()
    with pytest.raises(BiocosmosError, match="is not there any more") as caught:
        collection.add(source)
    assert "\n" not in str(caught.value)
    for use in (collection.table, collection.make_split, collection.__len__, lambda: collection.take(["a"])):
        with pytest.raises(BiocosmosError, match="is not there any more"):
            use()


@pytest.mark.skipif(not shutil.which("prlimit"), reason="no prlimit here")
def test_a_disk_that_is_full_is_one_line_and_the_next_run_goes_on(tmp_path: Path, photos: Path) -> None:
    """A limit on the size of files stands for the disk: the system refuses to write on, as it does there."""
    path = tmp_path / "c.cosmos"
    program = (
        "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nfrom biocosmos.cli import main\nmain(own_process=True)"
    )
    ingest = [sys.executable, "-c", program, "ingest", str(photos), "-o", str(path), "--pack"]
    measured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}  # that would write, too
    done = subprocess.run(["prlimit", "--fsize=20000", *ingest], capture_output=True, text=True, check=False, env=measured)
    assert done.returncode == 1 and done.stderr.strip().count("\n") <= 1 and "Traceback" not in done.stderr, done.stderr
    assert bc.Collection.open_or_create(path).add(photos, pack=True).added == 29


def as_reader(function: Callable[[], Any]) -> Any:
    """As a person who may not write; root may everywhere."""
    if os.geteuid() != 0:
        return function()
    os.seteuid(65534)
    try:
        return function()
    finally:
        os.seteuid(0)


def test_a_collection_that_may_only_be_read_is_read_and_says_so_when_written(tmp_path: Path, photos: Path) -> None:
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    collection = bc.Collection.create(tmp_path / "c")
    collection.add(photos, pack=True)
    for entry in [tmp_path / "c", *(tmp_path / "c").rglob("*")]:
        entry.chmod(0o555 if entry.is_dir() else 0o444)
    assert as_reader(lambda: len(bc.Collection.open(tmp_path / "c").table(["id", "image"]))) == 29
    with pytest.raises(BiocosmosError, match="may not be written to"):
        as_reader(lambda: bc.Collection.open(tmp_path / "c").make_split())
    with pytest.raises(BiocosmosError, match=r"cannot write|may not be written to"):
        as_reader(lambda: bc.Collection.create(tmp_path / "d"))
