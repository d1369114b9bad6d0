"""Runs a job in a child process under our own tracer, and kills it at the N-th system call that changes a file.

The child puts a filter on itself (seccomp) that stops it at calls which make, write, rename, link or remove files, and at no
others, so that everything else runs at full speed; the tracer (ptrace) counts the stops of all its threads and sends SIGKILL at
the N-th, before the call is carried out. Both need no privilege. Linux on x86-64 and Arm; elsewhere :func:`can_trace` says no.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_NUMBERS = {
    "x86_64": {
        "write": 1, "pwrite64": 18, "writev": 20, "pwritev": 296, "pwritev2": 328, "sendfile": 40, "copy_file_range": 326,
        "ftruncate": 77, "fallocate": 285, "fsync": 74, "fdatasync": 75, "flock": 73, "open": 2, "openat": 257, "creat": 85,
        "rename": 82, "renameat": 264, "renameat2": 316, "link": 86, "linkat": 265, "symlink": 88, "symlinkat": 266,
        "unlink": 87, "unlinkat": 263, "rmdir": 84, "mkdir": 83, "mkdirat": 258,
    },
    "aarch64": {
        "write": 64, "pwrite64": 68, "writev": 66, "pwritev": 70, "pwritev2": 287, "sendfile": 71, "copy_file_range": 285,
        "ftruncate": 46, "fallocate": 47, "fsync": 82, "fdatasync": 83, "flock": 32, "openat": 56, "renameat": 38,
        "renameat2": 276, "linkat": 37, "symlinkat": 36, "unlinkat": 35, "mkdirat": 34,
    },
}  # fmt: skip
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_OPENS = {"open": 1, "openat": 2}
"""Calls of which only those that write matter, and which argument holds the flags."""
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_TRACEME, _CONT, _SETOPTIONS, _GETEVENTMSG = 0, 7, 0x4200, 0x4201
_OPTIONS = 0x80 | 0x2 | 0x4 | 0x8 | 0x100000  # seccomp, fork, vfork, clone, and the child dies with its tracer
_EVENT_SECCOMP = 7
_ALL_THREADS = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


@dataclass(frozen=True)
class Ended:
    """How a traced run ended: killed by us at a call, or by itself with a status; calls counted until then."""

    killed: bool
    status: int
    calls: int


def can_trace() -> bool:
    """Whether this machine lets a process trace its child."""
    if platform.system() != "Linux" or platform.machine() not in _NUMBERS:
        return False
    try:
        return traced(lambda: None).calls >= 0
    except OSError:
        return False


def traced(work: Callable[[], Any], kill_at: int | None = None) -> Ended:
    """Run ``work`` in a copy of this process, and kill it at the ``kill_at``-th call, counted from 1; None lets it end.

    Raises OSError where tracing or filtering is refused.
    """
    child = os.fork()
    if not child:
        _be_traced(work)
    _, status = os.waitpid(child, 0)
    if not os.WIFSTOPPED(status):
        raise OSError("a process may not be traced here")
    _ask(_SETOPTIONS, child, _OPTIONS)
    _ask(_CONT, child, 0)
    calls = 0
    while True:
        try:
            thread, status = os.waitpid(-1, _ALL_THREADS)
        except ChildProcessError:
            raise OSError("the traced process is gone") from None
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            if thread == child:
                return Ended(False, status, calls)
            continue
        passed, event = os.WSTOPSIG(status), status >> 16
        if event == _EVENT_SECCOMP:
            calls += 1
            if calls == kill_at:
                os.kill(child, signal.SIGKILL)
                _reap(child)
                return Ended(True, 0, calls)
        if event or passed in (signal.SIGTRAP, signal.SIGSTOP):
            passed = 0
        _ask(_CONT, thread, passed, lost=True)


def _be_traced(work: Callable[[], Any]) -> None:
    code = 1
    try:
        _ask(_TRACEME, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        _filter()
        work()
        code = 0
    finally:
        os._exit(code)


def _filter() -> None:
    """Ask for a stop at the calls of :data:`_NUMBERS`, and let all others pass (classic BPF, see seccomp(2))."""
    machine = platform.machine()
    returned, traced_, allowed = 0x06, 0x7FF00000, 0x7FFF0000
    load, equal, anyset = 0x20, 0x15, 0x45
    program = [(load, 0, 0, 4), (equal, 1, 0, _ARCHITECTURES[machine]), (returned, 0, 0, allowed), (load, 0, 0, 0)]
    for name, number in _NUMBERS[machine].items():
        if name in _OPENS:
            flags = 16 + 8 * _OPENS[name]  # low word of the argument
            program += [(equal, 0, 4, number), (load, 0, 0, flags), (anyset, 0, 1, _WRITES), (returned, 0, 0, traced_)]
            program += [(returned, 0, 0, allowed)]
        else:
            program += [(equal, 0, 1, number), (returned, 0, 0, traced_)]
    program += [(returned, 0, 0, allowed)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    filter_ = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    for option, value, argument in ((38, 1, None), (22, 2, filter_)):  # no new privileges; seccomp filter
        if _libc.prctl(option, value, argument, 0, 0):
            raise OSError(ctypes.get_errno(), "a filter of system calls may not be set here")


def _ask(request: int, pid: int, data: int, *, lost: bool = False) -> None:
    if _libc.ptrace(request, pid, None, ctypes.c_void_p(data)) < 0 and not lost:
        raise OSError(ctypes.get_errno(), "a process may not be traced here")


def _reap(child: int) -> None:
    """Wait until the whole process is gone, so that its locks are too."""
    while True:
        try:
            thread, status = os.waitpid(-1, _ALL_THREADS)
        except ChildProcessError:
            return
        if thread == child and (os.WIFEXITED(status) or os.WIFSIGNALED(status)):
            return
        if os.WIFSTOPPED(status):
            _ask(_CONT, thread, 0, lost=True)


__all__ = ["Ended", "can_trace", "traced"]
