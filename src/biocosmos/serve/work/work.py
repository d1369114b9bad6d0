"""The desk of long work: jobs are started, waited for, read, followed and cancelled here; what runs them is a process each."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.serve.work import states
from biocosmos.serve.work.command import UPLOAD, Offered, Place, environment, grace_seconds, python
from biocosmos.serve.work.kinds import kind_of, words_of
from biocosmos.serve.work.states import ENDED, Job
from biocosmos.settings import SettingError
from biocosmos.unfinished import writing

AT_ONCE = 2
MOST_KEPT = 200
"""Jobs that are over and listed; the oldest go first."""
LOG_BYTES = 1 << 16
LOOK_SECONDS = 0.25
BEAT_SECONDS = 10.0
_QUEUE_SECONDS = 0.3


class NoJob(BiocosmosError):
    """A job, or a file of one, that there is not."""


@dataclass(frozen=True)
class Event:
    """Of a job's stream. name: "job" (it changed), "log" (more of it), "beat" (nothing new) or "end"; id: bytes of the log that
    have been told."""

    name: str
    data: Any
    id: int


class Work:
    """The jobs of one collection; at most ``at_once`` of them run, the others wait their turn.

    Whatever was running when an earlier server ended is found again: the folder of a job says which process runs it.
    """

    def __init__(self, collection: Any, *, at_once: int = AT_ONCE) -> None:
        self._collection, self._at_once = collection, at_once
        self.folder = Path(collection.path).resolve() / states.FOLDER
        self._lock = threading.Lock()
        self._wake, self._closed, self._quiet = threading.Event(), threading.Event(), threading.Event()
        self._supervisors: list[subprocess.Popen[bytes]] = []
        self._over: dict[str, Job] = {}
        self._after: list[Callable[[Job], None]] = []
        self._seen_running, self._asked = set[str](), dict[str, float]()
        self._thread = threading.Thread(target=self._keep_going, name="jobs", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------ start

    def offered(self) -> Offered:
        """What settings may name."""
        return Offered.of(self._collection)

    def prepare(self) -> tuple[str, Path]:
        """Id and folder of a job to be, into whose ``upload`` files may be put before :meth:`start` says what to do with them."""
        id_ = states.new_id()
        folder = self.folder / id_
        with writing(folder):
            (folder / UPLOAD).mkdir(parents=True)
        return id_, folder

    def start(self, kind: str, settings: Mapping[str, Any], by: str, *, id: str | None = None) -> Job:
        """Ask for a job, which begins as soon as there is room. id: of one that was prepared.

        Raises SettingError for a kind that there is not, and for settings that cannot be; nothing is left behind then.
        """
        wanted = kind_of(kind)
        if id is None:
            if wanted.uploads:
                raise SettingError("choose the file or zip to read first")
            checked = wanted.checked(settings, self.offered())  # before anything is made
            id, folder = self.prepare()
        else:
            folder = self._folder(id)
        try:
            checked = wanted.checked(settings, self.offered())
            checked.words(Place(folder.parents[1].parent, folder, id))
            stated = {name: value for name, value in vars(checked).items() if value not in (None, "", ())}
            asked = {"id": id, "kind": kind, "settings": stated, "by": by, "at": states.now()}
            states.write(folder / states.ASKED, asked)
        except BaseException:
            self.discard(id)
            raise
        self._wake.set()
        self._forget_old()
        return self.job(id)

    def discard(self, id: str) -> None:
        """Remove a job that was only prepared."""
        folder = self._folder(id)
        if not (folder / states.ASKED).exists():
            shutil.rmtree(folder, ignore_errors=True)

    # ------------------------------------------------------------------ look

    def jobs(self) -> list[Job]:
        """All that are known, the latest first."""
        return [job for job in map(self._read, reversed(self._ids())) if job is not None]

    def job(self, id: str) -> Job:
        """One by its id. Raises BiocosmosError for an unknown one."""
        job = self._read(self._folder(id).name)
        if job is None:
            raise NoJob(f"there is no job {id[:40]!r}: see the list of jobs")
        return job

    def log(self, id: str, at: int | None = None) -> tuple[str, int]:
        """The last :data:`LOG_BYTES` of what it said, or as much from byte ``at`` on; and where that ends."""
        return states.log_tail(self._folder(id), LOG_BYTES, at)

    def file(self, id: str, name: str) -> Path:
        """A file that the job made. Raises BiocosmosError for a name that is not listed."""
        if name not in self.job(id).made:
            raise NoJob(f"the job made no file {name[:80]!r}")
        return self._folder(id) / "made" / name

    async def events(self, id: str, after: int | None = None) -> AsyncIterator[Event]:
        """Follow a job to its end; after: the id of the last event that arrived, so that nothing of the log is told twice."""
        at, told, beat = after, dict[str, Any](), time.monotonic()
        while not self._quiet.is_set():
            job, text, end = await asyncio.to_thread(self._look, id, at)
            at = end
            if text:
                yield Event("log", {"text": text}, end)
            said = job.to_json() | {"seconds": None}
            if said != told:
                told, beat = said, time.monotonic()
                yield Event("job", job.to_json(), end)
            elif text:
                beat = time.monotonic()
            if job.is_over and not text:
                yield Event("end", job.to_json(), end)
                return
            if time.monotonic() - beat >= BEAT_SECONDS:
                beat = time.monotonic()
                yield Event("beat", None, end)
            if not text:
                await asyncio.sleep(LOOK_SECONDS)

    def when_over(self, callback: Callable[[Job], None]) -> None:
        """Call this, in another thread, whenever a job that was seen running is over: the collection may have changed."""
        self._after.append(callback)

    # ------------------------------------------------------------------ end

    def cancel(self, id: str, by: str = "") -> Job:
        """Ask a job to end: it gets the time to clean up. One that waits never begins; one that is over stays as it is."""
        folder = self._folder(id)
        job = self.job(id)
        if job.is_over:
            return job
        with suppress(FileExistsError):
            states.write(folder / states.CANCEL, {"by": by, "at": states.now()})
        if job.status == "queued" and states.claimed(folder):
            states.write(
                folder / states.END,
                {"status": "cancelled", "code": None, "at": states.now(), "message": "cancelled before it began"},
            )
            return self.job(id)
        self._wake.set()
        return self.job(id)

    def hush(self) -> None:
        """End every stream of events: the server is about to stop, and browsers ask again when it is back."""
        self._quiet.set()

    def close(self) -> None:
        """The server ends; jobs go on."""
        self.hush()
        self._closed.set()
        self._wake.set()
        self._thread.join(timeout=5)

    # ------------------------------------------------------------------ inside

    def _folder(self, id: str) -> Path:
        if not states.ID.fullmatch(id) or not (self.folder / id).is_dir() or (self.folder / id).is_symlink():
            raise NoJob(f"there is no job {id[:40]!r}: see the list of jobs")
        return self.folder / id

    def _ids(self) -> list[str]:
        try:
            return sorted(entry.name for entry in os.scandir(self.folder) if states.ID.fullmatch(entry.name) and entry.is_dir())
        except OSError:
            return []

    def _read(self, id: str) -> Job | None:
        """A job; those that are over are read once. None for a folder that says nothing, or nothing yet."""
        if id in self._over:
            return self._over[id]
        folder = self.folder / id
        try:
            words = words_of(folder)
        except BiocosmosError:
            words = ()
        try:
            job = states.state(folder, words)
        except BiocosmosError:
            return None
        if job.status in ENDED and job.status != "lost":
            self._over[id] = job
        return job

    def _look(self, id: str, at: int | None) -> tuple[Job, str, int]:
        job = self.job(id)
        text, at = states.log_tail(self._folder(id), LOG_BYTES, at, final=job.is_over)
        return job, text, at

    def _forget_old(self) -> None:
        over = [job for job in self.jobs() if job.is_over]
        for job in over[MOST_KEPT:]:
            self._over.pop(job.id, None)
            shutil.rmtree(self.folder / job.id, ignore_errors=True)

    def _keep_going(self) -> None:
        """Start what waits when there is room. Sleeps where nothing waits and nothing runs."""
        while not self._closed.is_set():
            try:
                busy = self._turn()
            except OSError:
                busy = True
            self._wake.wait(_QUEUE_SECONDS if busy else 5.0)
            self._wake.clear()

    def _turn(self) -> bool:
        self._supervisors = [each for each in self._supervisors if each.poll() is None]
        jobs = [job for job in map(self._read, self._ids()) if job is not None]
        running = [job for job in jobs if job.status == "running"]
        queued = [job for job in jobs if job.status == "queued"]
        for job in jobs:
            if job.is_over and job.id in self._seen_running:
                self._seen_running.discard(job.id)
                for callback in self._after:
                    callback(job)
        self._seen_running.update(job.id for job in running)
        for job in running:
            self._pass_on(job)
        for job in queued[: max(self._at_once - len(running), 0)]:
            self._begin(self.folder / job.id)
        return bool(running or queued)

    def _pass_on(self, job: Job) -> None:
        """End a job that somebody wants to end and whose supervisor is no more: in order at first, then for certain."""
        folder = self.folder / job.id
        started = states.started_of(folder)
        if started is None or started["child"] is None or states.is_supervised(started) or not (folder / states.CANCEL).exists():
            return
        since = self._asked.setdefault(job.id, time.monotonic())
        late = time.monotonic() - since > grace_seconds()
        if late or since > time.monotonic() - _QUEUE_SECONDS:
            with suppress(OSError):
                os.killpg(started["child"]["pid"], signal.SIGKILL if late else signal.SIGINT)

    def _begin(self, folder: Path) -> None:
        if not states.claimed(folder):
            return
        self._seen_running.add(folder.name)
        command = [*python(())[:2], "-m", "biocosmos.serve.work.supervise", str(folder)]
        env = environment(folder, "")
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        try:
            one = subprocess.Popen(command, cwd=folder, env=env, start_new_session=True, **quiet)  # type: ignore[call-overload]
            self._supervisors.append(one)
        except OSError as error:
            said = f"it could not be started: {first_line(error)}"
            states.write(folder / states.END, {"status": "failed", "code": None, "at": states.now(), "message": said})
