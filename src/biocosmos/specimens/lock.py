"""One lock a collection, for whoever changes it: the second waits for the first, and readers never wait.

The file ``lock`` in the collection's folder says who holds it; what holds is the system's lock on that file, which it lets go
when the process ends, however it ends. A process that ended without giving the lock back has left its name in the file: whoever
comes next knows that there may be something to finish and to sweep up.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.files import is_folder

FILE = "lock"
WAIT = "BIOCOSMOS_LOCK_WAIT"
"""Environment variable: how many seconds to wait for another process; 0 is not at all."""
WAIT_SECONDS = 600.0
OFF = "BIOCOSMOS_LOCK"
"""Environment variable: ``off`` for file systems without locks, where the person takes care that only one process writes."""
_POLL_SECONDS = (0.02, 0.5)
_WINDOWS_PLACE = 1 << 20
"""The byte that is locked there, beyond the text, which others could not read otherwise."""
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
"""A link in its place would have somebody else's file emptied."""
_BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass
class Held:
    """A lock that is held.

    Attributes:
        first: taken here; False within another lock of the same thread, which is the one that counts.
        after_a_crash: the one before ended without giving the lock back; since: when it had taken it, where that is known.
    """

    first: bool
    after_a_crash: bool = False
    since: datetime | None = None


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, as the file says."""

    verb: str
    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        where = f"process {self.pid}" if self.host == platform.node() else f"process {self.pid} on {self.host}"
        return f"'{self.verb}' ({where}, since {self.since})"


class LockBusy(BiocosmosError):
    """Somebody else holds the lock, and the time to wait is over."""


class ReadOnly(BiocosmosError):
    """The collection may only be read."""


_mine: dict[tuple[int, int], list[Any]] = {}
"""Of this process: identity of a lock's file -> [thread that holds it, how often]."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mine.clear)


@contextmanager
def locked(folder: Path, verb: str, *, wait: float | None = None) -> Iterator[Held]:
    """Hold the lock of the collection in ``folder``, to change it. Within another lock of the same thread nothing is waited for.

    Args:
        verb: what the others are told is being done.
        wait: seconds; default what ``BIOCOSMOS_LOCK_WAIT`` says, else ten minutes.

    Raises:
        LockBusy: another process, or thread, did not give it back in time.
        BiocosmosError: the folder is gone or may not be written to, or its file system has no locks.
    """
    if os.environ.get(OFF, "").strip().lower() in ("off", "0", "no"):
        yield Held(first=True)
        return
    with _opened(folder) as file:
        key = (os.fstat(file).st_dev, os.fstat(file).st_ino)
        held = _mine.get(key)
        if held is not None and held[0] == threading.get_ident():
            held[1] += 1
            try:
                yield Held(first=False)
            finally:
                held[1] -= 1
            return
        _take(file, folder, wait_seconds() if wait is None else wait)
        _mine[key] = [threading.get_ident(), 1]
        try:
            crashed, since = _read(file) != "", _since(file)
            _write(file, json.dumps(asdict(_me(verb))))
            yield Held(first=True, after_a_crash=crashed, since=since)
            _write(file, "")  # not after an error: what was begun may have to be swept up
        finally:
            del _mine[key]
            _free(file)


def is_held(folder: Path) -> bool:
    """Whether somebody holds the lock of the collection in ``folder``, or ended without giving it back. Waits for nothing."""
    try:
        return (folder / FILE).stat().st_size > 0
    except OSError:
        return False


def wait_seconds() -> float:
    """How long to wait for another process. Raises BiocosmosError if ``BIOCOSMOS_LOCK_WAIT`` is no number of seconds."""
    said = os.environ.get(WAIT)
    if said is None or not said.strip():
        return WAIT_SECONDS
    try:
        seconds = float(said)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise BiocosmosError(f"{WAIT}={said!r} is no number of seconds: {WAIT}=60 waits a minute for another process")
    return seconds


def try_lock(file: int) -> bool:
    """Lock an open file for this process if nobody else holds it; whether that went. Raises OSError where there are no locks.

    file: its descriptor.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(file, _WINDOWS_PLACE, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            return False
        raise
    return True


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    try:
        file = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o666)
    except OSError as error:
        if not is_folder(folder):
            raise BiocosmosError(f"{folder} is not there any more: was it moved or removed?") from error
        if error.errno in _READ_ONLY:
            raise ReadOnly(f"{folder} may not be written to ({error.strerror}): copy it to where it may") from error
        raise BiocosmosError(f"cannot lock {folder}: {first_line(error)}") from error
    try:
        yield file
    finally:
        os.close(file)


def _take(file: int, folder: Path, wait: float) -> None:
    """Wait until the file is locked; say whom for."""
    start, told, pause = time.monotonic(), "", _POLL_SECONDS[0]
    while True:
        try:
            if try_lock(file):
                break
        except OSError as error:
            raise BiocosmosError(
                f"the file system of {folder} has no locks ({error.strerror}), which keep two processes from changing it at "
                f"once: put it elsewhere, or set {OFF}=off and see to it that only one process writes"
            ) from error
        waited = time.monotonic() - start
        holder = _holder(file)
        if waited >= wait:
            raise LockBusy(
                f"{folder} is being changed by {holder}: wait until it is done, or give {WAIT} more than {wait:g} seconds"
            )
        if holder != told and waited > _POLL_SECONDS[1]:
            print(f"{folder} is being changed by {holder}: waiting for it", file=sys.stderr, flush=True)
            told = holder
        time.sleep(min(pause, wait - waited))
        pause = min(pause * 2, _POLL_SECONDS[1])
    if not os.path.samestat(os.fstat(file), _stat(folder)):
        _free(file)
        raise BiocosmosError(f"{folder} was replaced by another while this was waiting for it: run the same command again")


def _stat(folder: Path) -> os.stat_result:
    try:
        return (folder / FILE).stat()
    except OSError as error:
        raise BiocosmosError(f"{folder} is not there any more: was it moved or removed?") from error


def _free(file: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, _WINDOWS_PLACE, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_UN)


def _me(verb: str) -> Holder:
    return Holder(verb, os.getpid(), platform.node(), datetime.now().astimezone().isoformat(" ", "seconds"))


def _holder(file: int) -> str:
    try:
        return str(Holder(**json.loads(_read(file))))
    except (ValueError, TypeError):
        return "another process"


def _since(file: int) -> datetime | None:
    """When another process took the lock that the file tells of. What failed in this one was told here."""
    try:
        facts = json.loads(_read(file))
        return None if facts["pid"] == os.getpid() else datetime.fromisoformat(facts["since"]).astimezone()
    except (ValueError, TypeError, KeyError):
        return None


def _read(file: int) -> str:
    os.lseek(file, 0, os.SEEK_SET)
    return os.read(file, 4096).decode(errors="replace")


def _write(file: int, text: str) -> None:
    """A disk that is full keeps nobody from changing the collection: then the name is missing."""
    with suppress(OSError):
        os.ftruncate(file, 0)
        os.lseek(file, 0, os.SEEK_SET)
        os.write(file, text.encode())


__all__ = ["Held", "Holder", "LockBusy", "ReadOnly", "is_held", "locked", "try_lock", "wait_seconds"]
