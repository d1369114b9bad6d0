"""What is being written: under a name that says whose work it is, so that what a killed process left is known and removed.

A file or folder is written beside its place as ``.NAME.HOSTBOOT-PID-START.tmp`` and takes its place when it is whole. Whoever
writes into the same folder next removes what is of processes that are no more. What nobody else needs to see has no name at all
(``tempfile.TemporaryFile``, SQLite's ``""``), and the system removes it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import shutil
import sys
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from biocosmos.errors import BiocosmosError, first_line

LONGEST_NAME = 255
"""Bytes of a file name, on every system in use."""
ABANDONED_SECONDS = 2 * 86_400
"""What another machine, whose processes cannot be asked about, has not touched for so long is nobody's."""
_NAME = re.compile(r"\..*\.([0-9a-f]{4})([0-9a-f]{4})-(\d+)-(\d+)\.tmp")
_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space, or choose another place; then run the same command again",
    errno.EDQUOT: "the quota is used up: free some space, or choose another place; then run the same command again",
    errno.EROFS: "it may only be read there: choose another place",
    errno.EACCES: "it may not be written to: choose another place, or change its permissions",
    errno.EPERM: "it may not be written to: choose another place, or change its permissions",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
    errno.ENOTDIR: "a part of this path is a file: choose another place",
    errno.EEXIST: "a part of this path is a file: choose another place",
    errno.EISDIR: "it is a folder: give the name of a file",
    errno.ENOENT: "its folder is gone: run the same command again",
    errno.EFBIG: "it is larger than the system allows: choose another place",
}
_ALWAYS_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
_swept: set[Path] = set()


def unfinished_path(place: Path) -> Path:
    """Where to write what will take ``place``: beside it, under a name that says it is this process's.

    What processes that are no more left in that folder is removed, once in the life of this process.
    """
    if place.parent not in _swept:
        _swept.add(place.parent)
        sweep(place.parent)
    return place.with_name(_own_name(place.name))


def sweep(folder: Path) -> None:
    """Remove what dead processes left unfinished in ``folder``."""
    with suppress(OSError):
        found = [entry.path for entry in os.scandir(folder) if (of := _NAME.fullmatch(entry.name)) and _is_dead(of, entry)]
        for path in found:
            remove(Path(path))


def remove(path: Path) -> None:
    """Remove a file, or a folder with all in it; nothing happens if it is not there."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


class ScratchFolder:
    """A folder among the system's temporary files, ``path``; gone with this object or, after a kill, with the next one."""

    def __init__(self) -> None:
        self.path = unfinished_path(Path(tempfile.gettempdir()) / f"biocosmos-{time.monotonic_ns()}")
        self.path.mkdir()
        self.remove = weakref.finalize(self, remove, self.path)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A :class:`ScratchFolder` for a library that takes only a path; gone afterwards."""
    folder = ScratchFolder()
    try:
        yield folder.path
    finally:
        folder.remove()


@contextmanager
def writing(place: str | Path) -> Iterator[None]:
    """Within it, the system's refusal to write ``place`` becomes a BiocosmosError that says what to do."""
    try:
        yield
    except OSError as error:
        refused = unwritable(Path(place), error)
        if refused is None:
            raise
        raise refused from error


def unwritable(place: Path, error: OSError) -> BiocosmosError | None:
    """The error in one line, if it is about writing ``place`` or its folder; None if it is about something that was read."""
    named = str(error.filename or "")
    within = (
        named == str(place)
        or (Path(named).parent == place.parent and Path(named).name.startswith("."))  # of "out.csv" the parent is "."
        or (named != "" and place.parent.is_relative_to(named))
    )
    if not within and error.errno not in _ALWAYS_WRITING and (named or str(place.parent) not in str(error)):
        return None
    return BiocosmosError(f"cannot write {place}: {_REMEDIES.get(error.errno or 0, first_line(error))}")


def is_full(error: BaseException | None) -> bool:
    """Whether a library's error, or what it came of, says that there is no room left to write."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or _FULL.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


_FULL = re.compile(r"No space left on device|Disk quota exceeded|database or disk is full", re.IGNORECASE)


def _own_name(name: str) -> str:
    host, boot = machine()
    own = f".{host}{boot}-{os.getpid()}-{process_start(os.getpid()) or 0}.tmp"
    while len(name.encode("utf-8", "surrogateescape")) + len(own) + 1 > LONGEST_NAME:
        name = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    return f".{name}{own}"


def _is_dead(of: re.Match[str], entry: os.DirEntry[str]) -> bool:
    """Whether the process that wrote this is no more; of another machine's, whether it has not written for days."""
    host, boot, pid, start = of.groups()
    if host != machine()[0]:
        with suppress(OSError):
            return time.time() - entry.stat(follow_symlinks=False).st_mtime > ABANDONED_SECONDS
        return False
    return boot != machine()[1] or process_start(int(pid)) != int(start)


@cache
def machine() -> tuple[str, str]:
    """Four hex digits each of the host, as far as its processes see one another, and of the time it was started."""
    space, boot = Path("/proc/self/ns/pid"), Path("/proc/sys/kernel/random/boot_id")
    try:
        seen, started = str(space.readlink()), boot.read_text(encoding="ascii")
    except OSError:
        seen = started = ""
    return _digits(platform.node() + seen), _digits(started)


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:4]


def process_start(pid: int) -> int | None:
    """When a process was started, in ticks of the machine; 0 where that is not told; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        return 0 if _is_running(pid) else None
    return None if stat[0] == "Z" else int(stat[19])


def _is_running(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # cannot be asked without harm: os.kill ends the process there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_swept.clear)
