"""What a job's folder says: asked for, queued, running, and how it ended. Read from the files, so that any server can."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.facts import misfit
from biocosmos.outputs import WEB
from biocosmos.tables import replacing
from biocosmos.unfinished import machine, process_start

Status = Literal["queued", "running", "done", "failed", "cancelled", "lost"]
ENDED = ("done", "failed", "cancelled", "lost")
FOLDER = Path(WEB) / "jobs"
ID = re.compile(r"\d{8}T\d{9}-[0-9a-f]{8}")
ASKED, CLAIM, STARTED, CANCEL, END, LOG, PROGRESS = (
    "job.json",
    "claim",
    "started.json",
    "cancel",
    "end.json",
    "log",
    "progress.json",
)
STARTING_SECONDS = 60.0
"""From the claim to the first word of the supervisor; a server that was killed between the two leaves a job that is lost."""
_ASKED = {"id": str, "kind": str, "settings": {}, "by": str, "at": str}
_PROCESS = {"pid": int, "start": int}
_STARTED = {"machine": [str], "supervisor": _PROCESS, "child": (None, _PROCESS), "at": str}
_END = {"status": ("done", "failed", "cancelled", "lost"), "code": (None, int), "at": str, "message": str}
_PROGRESS = {"description": str, "done": int, "total": (None, int), "unit": str, "rate": (int, float)}


@dataclass(frozen=True)
class Job:
    """One job as it stands. at, started, ended: ISO times, UTC; message: the line that says why it failed; made: file names."""

    id: str
    kind: str
    settings: Mapping[str, Any]
    by: str
    at: str
    status: Status
    words: tuple[str, ...] = ()
    started: str | None = None
    ended: str | None = None
    code: int | None = None
    message: str = ""
    progress: Mapping[str, Any] | None = None
    made: tuple[str, ...] = field(default=())

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in ENDED

    @property
    def command(self) -> str:
        """As a person would type it."""
        return shlex.join(["biocosmos", *self.words])

    @property
    def seconds(self) -> float | None:
        """How long it has run, or ran."""
        if self.started is None:
            return None
        end = datetime.fromisoformat(self.ended) if self.ended else datetime.now(timezone.utc)
        return max((end - datetime.fromisoformat(self.started)).total_seconds(), 0.0)

    def to_json(self) -> dict[str, Any]:
        """For the API."""
        seconds = self.seconds
        return {
            "id": self.id,
            "kind": self.kind,
            "settings": dict(self.settings),
            "by": self.by,
            "at": self.at,
            "status": self.status,
            "command": self.command,
            "started": self.started,
            "ended": self.ended,
            "seconds": None if seconds is None else round(seconds, 1),
            "code": self.code,
            "message": self.message,
            "progress": None if self.progress is None else dict(self.progress),
            "made": list(self.made),
        }


def new_id() -> str:
    """Ids sort by time."""
    at = datetime.now(timezone.utc)
    return f"{at:%Y%m%dT%H%M%S}{at.microsecond // 1000:03d}-{secrets.token_hex(4)}"


def now() -> str:
    """UTC, ISO."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def write(path: Path, value: Any) -> None:
    """A JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value) + "\n", encoding="utf-8")


def read(path: Path, shape: Any = None) -> Any:
    """A JSON of a job; None where it is not there, not whole or of another shape."""
    try:
        if path.is_symlink() or path.stat().st_size > 1 << 20:
            return None
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return None if shape is not None and misfit(value, shape) else value


def asked(folder: Path) -> dict[str, Any]:
    """What was asked for. Raises BiocosmosError where the folder does not say it."""
    found = read(folder / ASKED, _ASKED)
    if not isinstance(found, dict) or found["id"] != folder.name:
        raise BiocosmosError(f"{folder / ASKED} cannot be read: remove the folder {folder}")
    return found


def claimed(folder: Path) -> bool:
    """Take the right to start the job; False where somebody has it."""
    try:
        os.close(os.open(folder / CLAIM, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True


def process(pid: int) -> dict[str, int]:
    """A process and when it began, by which it is known again."""
    return {"pid": pid, "start": process_start(pid) or 0}


def is_alive(of: Mapping[str, int] | None, on: list[str]) -> bool:
    """Whether this very process still runs; one of another machine that shares the disk is believed to."""
    if of is None:
        return False
    here = list(machine())
    if on[:1] != here[:1]:
        return True
    return on == here and process_start(of["pid"]) == of["start"]


def state(folder: Path, words: tuple[str, ...] = ()) -> Job:
    """The job in a folder as it stands now. Raises BiocosmosError where the folder holds none."""
    said = asked(folder)
    status, started, end = _status(folder)
    made = folder / "made"
    return Job(
        **{name: said[name] for name in ("id", "kind", "settings", "by", "at")},
        status=status,
        words=words,
        started=None if started is None else started["at"],
        ended=None if end is None else end["at"],
        code=None if end is None else end["code"],
        message=end["message"] if end else ("its process is gone and left no result: start it again" if status == "lost" else ""),
        progress=read(folder / PROGRESS, _PROGRESS),
        made=tuple(sorted(path.name for path in made.iterdir() if path.is_file())) if end and made.is_dir() else (),
    )


def is_supervised(started: Mapping[str, Any] | None) -> bool:
    """Whether somebody waits for the child to end."""
    return started is not None and is_alive(started["supervisor"], started["machine"])


def started_of(folder: Path) -> dict[str, Any] | None:
    """Which processes run the job."""
    found: dict[str, Any] | None = read(folder / STARTED, _STARTED)
    return found


def _alive_child(started: Mapping[str, Any] | None) -> bool:
    return started is not None and is_alive(started["child"], started["machine"])


def _status(folder: Path) -> tuple[Status, dict[str, Any] | None, dict[str, Any] | None]:
    end, started = read(folder / END, _END), started_of(folder)
    if end is None and started is not None:
        if is_supervised(started) or _alive_child(started):
            return "running", started, None
        end = read(folder / END, _END)  # it may have ended between the two looks
        if end is None:
            return "lost", started, None
    if end is not None:
        return end["status"], started, end
    try:
        waited = time.time() - (folder / CLAIM).stat().st_mtime
    except OSError:
        return "queued", None, None
    return ("running" if waited < STARTING_SECONDS else "lost"), None, None


def log_tail(folder: Path, most: int, at: int | None = None, *, final: bool = True) -> tuple[str, int]:
    """The log from byte ``at`` on, at most ``most`` bytes, and where that ends; its last lines where ``at`` is None or so
    far back that nobody would read it all.

    final: nothing will be added any more; else a line that is not whole yet is left for later.
    """
    try:
        if (folder / LOG).is_symlink():
            return "", 0
        with (folder / LOG).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            fresh = at is None or not 0 <= size - at <= 16 * most
            begin = max(size - most, 0) if fresh else at or 0
            file.seek(begin)
            text = file.read(most)
    except OSError as error:
        return ("" if isinstance(error, FileNotFoundError) else f"the log cannot be read: {first_line(error)}\n"), at or 0
    if fresh and begin:
        skipped = text.find(b"\n") + 1
        begin, text = begin + skipped, text[skipped:]
    if not final or begin + len(text) < size:
        whole = text.rfind(b"\n") + 1
        text = text[:whole] if whole or len(text) < most else text
    return text.decode("utf-8", "replace"), begin + len(text)
