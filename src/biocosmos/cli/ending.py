"""How a command ends: one line and an exit code, whatever happened. Nothing heavy is imported, so that it holds from the start.

0 done      1 could not be done, and why      2 an option that does not fit      70 a fault of biocosmos
130 Ctrl-C      143 SIGTERM, 129 SIGHUP      141 nobody reads the output any more
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

DONE, FAILED, MISUSED, FAULT, BROKEN_PIPE = 0, 1, 2, 70, 141
SIGNALLED = 128
"""Exit codes of signals are this and their number, as a shell reports them."""
INTERRUPTED = SIGNALLED + signal.SIGINT
TRACEBACK = "BIOCOSMOS_TRACEBACK"
"""With this variable set to 1 every error shows its whole trace."""
ISSUES = "the issue tracker of biocosmos"
_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "bad_alloc", "alloc failed")


class Stopped(BaseException):
    """A signal that ends the command; raised in the main thread, so that what it holds is cleaned up."""


class Signals:
    """Ctrl-C, SIGTERM and SIGHUP end the command in order; a second one at once.

    A library that is interrupted while it is imported or called back may turn the interruption into an error of its own, or
    swallow it: ``received`` says what really happened.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._process = os.getpid()

    def watch(self) -> None:
        """From now on. Does nothing outside the main thread."""
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            try:
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                    signal.signal(number, self._stop)
            except ValueError:
                return
        sys.unraisablehook = self._unraisable

    def _stop(self, number: int, _: FrameType | None) -> None:
        if os.getpid() != self._process:  # a copy of this process that a library made: it has nothing to say
            os._exit(SIGNALLED + number)
        if self.received is not None:
            _leave(self.received)
        self.received = number
        raise KeyboardInterrupt if number == signal.SIGINT else Stopped

    def _unraisable(self, what: Any) -> None:
        """An interruption in a place that cannot pass it on (a finaliser, a callback) is delivered once more."""
        if isinstance(what.exc_value, (KeyboardInterrupt, Stopped)) and self.received is not None:
            number, self.received = self.received, None
            signal.raise_signal(number)
        else:
            sys.__unraisablehook__(what)


def print_anything() -> None:
    """Names that the terminal cannot show, or that are no text at all, are printed with their codes in place of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def said(message: str, code: int) -> int:
    """Say ``error: message`` where there is one; the code, to leave with."""
    if message:
        print(f"error: {message}", file=sys.stderr)
    return code


def stopped(number: int) -> int:
    """What to say after a signal; the code."""
    what = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
    print(f"{what}: run the same command again to go on", file=sys.stderr)
    return SIGNALLED + number


def unexpected(error: BaseException) -> int:
    """An exception that nobody caught: what the machine lacks in one line, else a fault of ours, with its trace in a file."""
    from biocosmos.errors import first_line, one_line
    from biocosmos.unfinished import is_full

    if os.environ.get(TRACEBACK) == "1":
        traceback.print_exception(error)
    if is_full(error):
        return said(f"the disk is full ({first_line(error)}): free some space, then run the same command again", FAILED)
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in _MEMORY):
        return said(f"not enough memory ({first_line(error)}): close other programs, or ask for smaller batches", FAILED)
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG and (long := _typed(str(error.filename))):
        return said(f"no file can have so long a name: {one_line(long)[:80]}... of {len(long)} characters", MISUSED)
    what = one_line(f"{type(error).__name__}: {first_line(error)}")
    try:
        place = Path(tempfile.gettempdir()) / f"biocosmos-fault-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        place.write_text("".join([" ".join(sys.argv) + "\n", *traceback.format_exception(error)]), "utf-8", "backslashreplace")
        where = f"send {place}, which says where, to {ISSUES}"
    except OSError:
        where = f"run it again with {TRACEBACK}=1 and send what it says to {ISSUES}"
    return said(f"a fault of biocosmos: {what}; {where}", FAULT)


def _typed(name: str) -> str | None:
    """The word of the command line that is in this file name; one that was read elsewhere should have been a failure there."""
    return next((word for word in sys.argv[1:] if len(word) > 100 and word[-60:] in name), None)


def _leave(number: int) -> None:
    stopped(number)
    sys.stderr.flush()
    os._exit(SIGNALLED + number)
