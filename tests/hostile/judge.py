"""Runs what may go wrong in a copy of a process that has imported biocosmos, within limits, and says how it ended."""

from __future__ import annotations

import io
import json
import os
import platform
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CLEAN, TRACEBACK, HANG, MEMORY, SILENT, ESCAPE, CODE = "clean", "traceback", "hang", "memory", "silent", "escape", "code"
VERDICTS = (CLEAN, TRACEBACK, HANG, MEMORY, SILENT, ESCAPE, CODE)
"""How an input ended: one clear line or a row of failures; an exception nobody expected, or a crash; more than MOST_SECONDS; more
than MOST_BYTES; a wrong result without a word; something written outside the sandbox; code of the input that ran."""
MOST_SECONDS, MOST_BYTES = 60.0, 2 << 30
MOST_WRITTEN = 1 << 30
_POLL = 0.01
_FORBIDDEN = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "socket.connect", "os.startfile")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass
class Outcome:
    """How a run ended: the verdict, what it printed, the exit code of each line, and figures."""

    verdict: str
    why: str = ""
    out: str = ""
    err: str = ""
    codes: list[int] = field(default_factory=list)
    seconds: float = 0.0
    megabytes: int = 0


def warm_up() -> None:
    """Import all that a verb may need, and start no thread: what is forked from here on costs no import."""
    os.environ["OMP_NUM_THREADS"] = "1"
    platform.processor()  # it starts a program, once
    import lance.torch.data  # noqa: F401
    import open_clip  # noqa: F401
    import sklearn.linear_model  # noqa: F401
    import timm  # noqa: F401
    import torch

    torch.set_num_threads(1)
    import biocosmos.cli.app
    import biocosmos.embed
    import biocosmos.encoders.open_clip_models
    import biocosmos.encoders.saving
    import biocosmos.encoders.timm_models
    import biocosmos.evaluate
    import biocosmos.jobs.embed
    import biocosmos.jobs.identify
    import biocosmos.jobs.search
    import biocosmos.specimens.collection
    import biocosmos.specimens.readers
    import biocosmos.train.heads.training
    import biocosmos.train.unicom.training  # noqa: F401


def judged(work: Callable[[], Any], sandbox: Path, *, seconds: float = MOST_SECONDS, memory: int = MOST_BYTES) -> Outcome:
    """Run ``work`` in a copy of this process in the folder ``sandbox``; what it may write lies in there."""
    (sandbox / ".judge").mkdir(parents=True, exist_ok=True)
    (sandbox / "tmp").mkdir(exist_ok=True)
    begun = time.monotonic()
    child = os.fork()
    if not child:
        _in_sandbox(work, sandbox)
    peak, ended = 0, None
    while ended is None:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            ended = "exit"
            peak = max(peak, usage.ru_maxrss << 10)
            break
        peak = max(peak, _resident(child))
        ended = "memory" if peak > memory else "hang" if time.monotonic() - begun > seconds else None
        if ended is not None:
            os.killpg(child, signal.SIGKILL)
            status = os.wait4(child, 0)[1]
        time.sleep(_POLL)
    out, err = ((sandbox / ".judge" / name).read_text("utf-8", "replace") for name in ("out", "err"))
    told = _told(sandbox)
    found = Outcome(CLEAN, "", out, err, told.get("codes", []), time.monotonic() - begun, peak >> 20)
    found.verdict, found.why = _verdict(ended, status, told, err)
    return found


def lines(*commands: Sequence[object]) -> Callable[[], list[int]]:
    """Work: command lines one after the other, each until it ends; the exit codes."""

    def work() -> list[int]:
        from biocosmos.cli import main

        codes = []
        for words in commands:
            sys.argv = ["biocosmos", *map(str, words)]
            try:
                main()
            except SystemExit as end:
                codes.append(end.code if isinstance(end.code, int) else int(bool(end.code)))
            sys.stdout.flush()
            sys.stderr.flush()
        return codes

    return work


def _in_sandbox(work: Callable[[], Any], sandbox: Path) -> None:
    told: dict[str, Any] = {}
    try:
        os.setsid()
        for number, name in ((1, "out"), (2, "err")):
            file = os.open(sandbox / ".judge" / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), encoding="utf-8", errors="backslashreplace")
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w"), encoding="utf-8", errors="backslashreplace")
        os.chdir(sandbox)
        os.environ |= {"TMPDIR": str(sandbox / "tmp"), "HOME": str(sandbox), "XDG_CACHE_HOME": str(sandbox / "tmp" / "cache")}
        tempfile.tempdir = None
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_WRITTEN, MOST_WRITTEN))
        escapes: list[str] = []
        _watch(sandbox.resolve(), escapes)
        try:
            codes = work()
            told["codes"] = codes if isinstance(codes, list) else [0]
        except BaseException:
            told["trace"] = traceback.format_exc()
        told["escapes"] = escapes[:5]
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
            (sandbox / ".judge" / "told").write_text(json.dumps(told))
        finally:
            os._exit(0)


def _watch(sandbox: Path, escapes: list[str]) -> None:
    """Note every write outside the sandbox, every program started, and every code that comes from the sandbox."""
    inside = str(sandbox)

    def seen(event: str, arguments: tuple[Any, ...]) -> None:
        try:
            if event == "open":
                path, _, flags = arguments
                if flags and flags & _WRITES and isinstance(path, (str, bytes)):
                    _check(os.fsdecode(path), inside, escapes, "opens to write")
            elif event in (
                "os.rename",
                "os.remove",
                "os.rmdir",
                "os.mkdir",
                "os.link",
                "os.symlink",
                "os.truncate",
                "shutil.rmtree",
            ):
                for path in arguments[: 2 if event in ("os.rename", "os.link") else 1]:
                    if isinstance(path, (str, bytes, os.PathLike)):
                        _check(os.fsdecode(path), inside, escapes, event)
            elif event in _FORBIDDEN:
                escapes.append(f"CODE {event} {str(arguments)[:200]}")
            elif event in ("exec", "compile"):
                name = getattr(arguments[0], "co_filename", arguments[-1] if event == "compile" else "")
                if isinstance(name, str) and name.startswith(inside):
                    escapes.append(f"CODE {event} {name}")
        except Exception:  # of an odd argument: not the business of the one who is watched
            return

    sys.addaudithook(seen)


def _check(path: str, inside: str, escapes: list[str], what: str) -> None:
    if path.startswith(("/dev/", "/proc/")):
        return
    whole = os.path.realpath(Path.cwd() / path)
    if not (whole + "/").startswith(inside + "/") and "__pycache__" not in whole:
        escapes.append(f"{what} {whole}")


def _verdict(ended: str, status: int, told: dict[str, Any], err: str) -> tuple[str, str]:
    for escape in told.get("escapes", []):
        return (CODE if escape.startswith("CODE") else ESCAPE), escape
    if ended in ("hang", "memory"):
        return (HANG if ended == "hang" else MEMORY), ended
    if os.WIFSIGNALED(status):
        return TRACEBACK, f"died of {signal.Signals(os.WTERMSIG(status)).name}"
    if "trace" in told:
        return TRACEBACK, told["trace"].strip().splitlines()[-1]
    if not told:
        return TRACEBACK, "it ended without a word"
    if 70 in told["codes"] or "Traceback (most recent call last)" in err:
        last = [line for line in err.splitlines() if line.strip()]
        return TRACEBACK, next((line for line in last if "a fault of biocosmos" in line), last[-1] if last else "70")
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    failed = sum(code != 0 for code in told["codes"])
    if failed > len(errors) and not re.search(r"failure|refused|left out|could not|rows? failed|restore", err):
        return SILENT, f"{failed} lines failed with {len(errors)} errors told: {err[-200:]!r}"
    return CLEAN, ""


def _told(sandbox: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((sandbox / ".judge" / "told").read_text())
        return found
    except (OSError, ValueError):
        return {}


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0
