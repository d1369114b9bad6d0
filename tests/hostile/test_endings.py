"""However a command ends, it is one line, the right exit code, and nothing of it lies about."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos import unfinished
from biocosmos.cli import ending, main
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.naming_work import work_beside
from biocosmos.tables import replacing, write_table

Command = Callable[..., str]
BIOCOSMOS = [sys.executable, "-m", "biocosmos"]


@contextmanager
def limited(kind: int, most: int) -> Iterator[None]:
    """A limit of the system on this process."""
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


@pytest.mark.parametrize(
    ("number", "moment", "says"),
    [(signal.SIGINT, "imports", "interrupted"), (signal.SIGTERM, "writes", "stopped by SIGTERM")],
)
def test_a_signal_ends_a_command_with_one_line_also_while_it_imports(
    embedded: bc.Collection, tmp_path: Path, number: int, moment: str, says: str
) -> None:
    line = ("identify", str(embedded.path), "--part", "test", "--known", "train", "--fresh", "-o", str(tmp_path / "names.csv"))
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([*BIOCOSMOS, *line], stderr=subprocess.PIPE, text=True, env=env)
    _wait_for(lambda: child.poll() is not None or _has_come(moment, child.pid, tmp_path))
    child.send_signal(number)
    told = child.communicate(timeout=60)[1]
    assert (child.returncode, told) == (128 + number, f"{says}: run the same command again to go on\n")
    left = list(tmp_path.iterdir())
    assert not left or (left == [work_beside(tmp_path / "names.csv")] and any(left[0].glob("*.block"))), (
        "only what is named is kept"
    )


def _has_come(moment: str, pid: int, folder: Path) -> bool:
    if moment == "writes":
        return any(folder.iterdir())
    try:
        return "libtorch_cpu" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


def _wait_for(true: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_an_interruption_that_a_library_turns_into_its_own_error_is_still_one(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def swallow() -> int:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("numpy._core.multiarray failed to import") from None
        return 0

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what was begun in the background ignores it
    hook = sys.unraisablehook
    monkeypatch.setattr("biocosmos.cli._run", swallow)
    try:
        with pytest.raises(SystemExit) as stop:
            main(own_process=True)
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
    assert stop.value.code == 130
    assert capsys.readouterr().err == "interrupted: run the same command again to go on\n"


def test_what_nobody_expected_is_one_line_with_a_file_to_send(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, biocosmos: Command, capsys: Any
) -> None:
    def fails(error: BaseException) -> Callable[[], int]:
        def run() -> int:
            raise error

        return run

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("biocosmos.cli._run", fails(ZeroDivisionError("a\nb")))
    told = biocosmos("info", fails=ending.FAULT)
    assert told.startswith("error: a fault of biocosmos: ZeroDivisionError: a; send ") and told.count("\n") == 1
    (trace,) = tmp_path.iterdir()
    assert str(trace) in told and "in run" in trace.read_text() and trace.read_text().startswith("biocosmos info\n")
    monkeypatch.setenv(ending.TRACEBACK, "1")
    assert "Traceback (most recent call last)" in biocosmos("info", fails=ending.FAULT)
    monkeypatch.delenv(ending.TRACEBACK)
    monkeypatch.setattr("biocosmos.cli._run", fails(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")))
    assert biocosmos("info", fails=1).startswith("error: not enough memory (DefaultCPUAllocator")
    monkeypatch.setattr("biocosmos.cli._run", fails(OSError("LanceError(IO): No space left on device (os error 28)")))
    assert "the disk is full" in biocosmos("info", fails=1)


def test_a_full_standard_output_and_names_it_cannot_show(embedded: bc.Collection, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*BIOCOSMOS, "encoders", str(embedded.path)], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1 and done.stderr.startswith("error: the disk is full") and done.stderr.count("\n") == 1
    program = "from biocosmos.cli import ending\nending.print_anything()\nprint('Aurélia \\udce9 \\u4e00')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"}, check=False
    )
    assert done.stdout == b"Aur\\xe9lia \\udce9 \\u4e00\n" and not done.stderr


# ------------------------------------------------------------------------------------------------------ places to write


def test_a_place_that_cannot_be_written_is_one_line(embedded: bc.Collection, tmp_path: Path, biocosmos: Command) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.csv").mkdir()
    for output, code, says in (
        (tmp_path / "file" / "out.csv", 2, "file is a file, not a folder"),
        (tmp_path / "folder.csv", 1, "it is a folder"),
        (tmp_path / f"{'x' * 300}.csv", 2, "the name is too long"),
        (tmp_path / f"{'x' * 250}.csv", 1, "x_images: the name is too long"),
    ):
        told = biocosmos("export", embedded.path, "-o", output, fails=code)
        assert says in told and told.startswith("error: ") and told.count("\n") == 1
    with limited(resource.RLIMIT_FSIZE, 2000):
        told = biocosmos("export", embedded.path, "-o", tmp_path / "out.csv", fails=1)
    assert "it is larger than the system allows" in told and told.count("\n") == 1
    assert not (tmp_path / "out.csv").exists() and not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]
    biocosmos(
        "export", embedded.path, "-o", tmp_path / f"{'x' * 240}.csv"
    )  # a name that leaves no room for a longer one beside it
    biocosmos("export", embedded.path, "-o", tmp_path / "new" / "folder" / "out.csv")


def test_a_name_that_no_file_can_have_is_one_line(embedded: bc.Collection, tmp_path: Path, biocosmos: Command) -> None:
    long, names = "x" * 5000, tmp_path / "names.txt"
    names.write_text("Fagus sylvatica\n")
    for code, *line in (
        (1, "info", long),
        (1, "ingest", long, "-o", tmp_path / "new.cosmos"),
        (1, "update", embedded.path, long),
        (2, "identify", embedded.path, "--head", long, "--part", "test", "-o", tmp_path / "names.csv"),
        (1, "embed", embedded.path, "--encoder", long),
        (1, "embed", embedded.path, "--encoder", f"timm:vit@{long}"),
        (1, "taxa", "check", names, "--checklist", long),
        (1, "train", "heads", embedded.path, "--recipe", long, "-o", tmp_path / "head"),
    ):
        told = biocosmos(*line, fails=code)
        assert told.startswith("error: ") and told.count("\n") == 1 and "a fault of biocosmos" not in told, told[:300]


def test_a_full_disk_says_so_and_what_was_there_stays(tmp_path: Path) -> None:
    place = tmp_path / "table.parquet"
    write_table(pa.table({"a": [1]}), place)
    before = place.read_bytes()
    with pytest.raises(BiocosmosError, match="the disk is full: free some space"), replacing(place):
        raise OSError(28, "No space left on device")
    with pytest.raises(FileNotFoundError), replacing(place):  # about something that is read, not about the place
        (tmp_path / "elsewhere" / "gone").read_bytes()
    assert place.read_bytes() == before and list(tmp_path.iterdir()) == [place]


# ------------------------------------------------------------------------------------------------------ what a kill leaves


def test_what_a_killed_process_left_goes_with_the_next_and_nobody_elses(tmp_path: Path) -> None:
    place = tmp_path / "table.csv"
    child = os.fork()
    if not child:
        for name in ("table.csv", "other"):
            unfinished.unfinished_path(tmp_path / name).write_text("half")
        folder = unfinished.unfinished_path(tmp_path / "folder")
        folder.mkdir()
        (folder / "part").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    unfinished.sweep(tmp_path)  # dead, though nobody has asked after it yet
    assert list(tmp_path.iterdir()) == []
    os.waitpid(child, 0)

    host, boot = unfinished.machine()
    mine = unfinished.unfinished_path(place)
    start = mine.name.split("-")[-1].removesuffix(".tmp")
    theirs = {
        "of this process": mine.name,
        "of another machine": f".a.0000{boot}-1-1.tmp",
        "by a user": ".table.csv.tmp",
        "by an editor": "table.csv.123.tmp",
    }
    dead = {
        "of the same number, another process": f".a.{host}{boot}-{os.getpid()}-{int(start) + 1}.tmp",
        "before the machine was started": f".a.{host}0000-{os.getpid()}-{start}.tmp",
        "abandoned on another machine": f".b.0000{boot}-1-1.tmp",
    }
    for name in (*theirs.values(), *dead.values()):
        (tmp_path / name).write_text("")
    long_ago = time.time() - 3 * 86_400
    os.utime(tmp_path / dead["abandoned on another machine"], (long_ago, long_ago))
    unfinished.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(theirs.values())


def test_a_temporary_name_fits_beside_the_longest_one(tmp_path: Path) -> None:
    for name in ("a", "é" * 127, "x" * 255, np.array(["n" * 240])[0]):
        beside = unfinished.unfinished_path(tmp_path / name)
        beside.write_text("")
        assert re.fullmatch(r"\..*\.tmp", beside.name) and len(beside.name.encode()) <= 255
        with replacing(tmp_path / name) as temporary:
            temporary.write_text(name)
        assert (tmp_path / name).read_text() == name
