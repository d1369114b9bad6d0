"""Several processes and one collection: the second waits for the first or is told, and nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import warm
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.lock import FILE, LockBusy, locked

HOLDER = """
import sys, time
from pathlib import Path
from biocosmos.specimens.lock import locked
with locked(Path(sys.argv[1]), "ingest"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(folder: Path, seconds: float) -> warm.Popen:
    """Another process that holds the lock."""
    process = warm.Popen([sys.executable, "-c", HOLDER, str(folder), str(seconds)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_the_second_waits_and_says_for_whom(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = holder(tmp_path, 1.5)
    start = time.monotonic()
    with locked(tmp_path, "split"):
        assert time.monotonic() - start > 0.5
    said = capsys.readouterr().err
    assert f"is being changed by 'ingest' (process {first.pid}, since " in said and "waiting for it" in said
    assert said.count("\n") == 1
    assert first.wait() == 0


def test_the_second_is_told_after_the_time_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = holder(tmp_path, 30)
    with (
        pytest.raises(LockBusy, match=rf"changed by 'ingest' \(process {first.pid}, since .*BIOCOSMOS_LOCK_WAIT"),
        locked(tmp_path, "split", wait=0),
    ):
        pass
    monkeypatch.setenv("BIOCOSMOS_LOCK_WAIT", "0.1")
    with pytest.raises(LockBusy), locked(tmp_path, "split"):
        pass
    monkeypatch.setenv("BIOCOSMOS_LOCK_WAIT", "soon")
    with pytest.raises(BiocosmosError, match="BIOCOSMOS_LOCK_WAIT='soon' is no number of seconds"), locked(tmp_path, "split"):
        pass
    first.kill()
    first.wait()


def test_a_process_that_was_killed_holds_nothing_and_the_next_one_knows(tmp_path: Path) -> None:
    first = holder(tmp_path, 30)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    with locked(tmp_path, "split", wait=5) as held:
        assert held.first and held.after_a_crash
    with locked(tmp_path, "split", wait=0) as held:
        assert not held.after_a_crash
    assert (tmp_path / FILE).read_bytes() == b""


def test_within_a_lock_the_same_thread_takes_it_again_and_another_waits(tmp_path: Path) -> None:
    order: list[str] = []

    def other() -> None:
        with locked(tmp_path, "other"):
            order.append("other")

    with locked(tmp_path, "outer") as outer:
        with locked(tmp_path, "inner") as inner:
            assert outer.first and not inner.first
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0.2)
        order.append("outer")
    thread.join()
    assert order == ["outer", "other"]


def test_a_folder_that_is_gone_or_may_not_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BiocosmosError, match="is not there any more"), locked(tmp_path / "gone", "split"):
        pass


def test_a_file_system_without_locks_is_said_and_may_be_gone_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(BiocosmosError, match=r"has no locks .* BIOCOSMOS_LOCK=off"), locked(tmp_path, "split"):
        pass
    monkeypatch.setenv("BIOCOSMOS_LOCK", "off")
    with locked(tmp_path, "split") as held:
        assert held.first
