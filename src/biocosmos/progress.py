"""Progress of long work: a bar with rate and time left on a terminal, plain lines elsewhere, nothing under two seconds.

Where the environment names a file (:data:`FILE`), every count goes there too, so that whoever started the process can show it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

QUIET_SECONDS = 2.0
LINE_EVERY_SECONDS = 10.0
FILE = "BIOCOSMOS_PROGRESS"
"""Environment variable: a file that holds the last count as JSON: description, done, total (or null), unit, rate (a second)."""
FILE_EVERY_SECONDS = 0.25
Listener = Callable[[str, int, int | None], None]
"""Is told (description, done, total)."""
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def telling(listener: Listener) -> Iterator[None]:
    """Within it, and in this thread, counts are told to ``listener``, and nothing is shown."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


class Progress:
    """Counts finished items; see :func:`progress`."""

    def __init__(self, description: str, total: int | None, unit: str, done: int = 0) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.done = self._before = done
        self._start = self._last_line = time.monotonic()
        self._told = -1
        self._bar: Any = None
        self._task: Any = None
        self._listener = _listener.get()
        self._terminal = sys.stderr.isatty()
        self._file = os.environ.get(FILE)
        self._recorded = -1.0
        if self._listener is not None:
            self._listener(description, done, total)
        self._record(self._start)

    def advance(self, count: int = 1) -> None:
        """Say that ``count`` more items are finished."""
        self.done += count
        now = time.monotonic()
        if now - self._recorded >= FILE_EVERY_SECONDS:
            self._record(now)
        if self._listener is not None:
            self._listener(self.description, self.done, self.total)
            return
        if now - self._start < QUIET_SECONDS:
            return
        if self._terminal:
            if self._bar is None:
                self._open_bar()
            self._bar.update(self._task, description=self.description, completed=self.done, rate=self._rate(now))
        elif now - self._last_line >= LINE_EVERY_SECONDS:
            self._last_line, self._told = now, self.done
            print(self._line(now), file=sys.stderr, flush=True)

    def describe(self, description: str) -> None:
        """Change what stands before the count."""
        self.description = description

    def _speed(self, now: float) -> float:
        return (self.done - self._before) / max(now - self._start, 1e-9)

    def _rate(self, now: float) -> str:
        return f"{self._speed(now):,.1f} {self.unit}/s"

    def _record(self, now: float) -> None:
        """Into the file that the environment names, whole; one that cannot be written stops no work."""
        if not self._file:
            return
        self._recorded = now
        known = {name: getattr(self, name) for name in ("description", "done", "total", "unit")}
        temporary = Path(f"{self._file}.{os.getpid()}.tmp")
        with suppress(OSError):
            temporary.write_text(json.dumps(known | {"rate": round(self._speed(now), 3)}), encoding="utf-8")
            temporary.replace(self._file)

    def _line(self, now: float) -> str:
        of = f" of {self.total:,}" if self.total is not None else ""
        left = ""
        if self.total is not None and self.done > self._before:
            left = f", {(now - self._start) / (self.done - self._before) * (self.total - self.done):,.0f} s left"
        return f"{self.description}: {self.done:,}{of} {self.unit}, {self._rate(now)}{left}"

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(self.description, total=self.total, completed=self.done, rate="")

    def close(self) -> None:
        """Take the bar away; on a pipe, say the last count when the work was long enough to have said anything."""
        self._record(time.monotonic())
        if self._bar is not None:
            self._bar.stop()
        elif not self._terminal and self._last_line > self._start and self._told != self.done:
            print(self._line(time.monotonic()), file=sys.stderr, flush=True)


@contextmanager
def progress(description: str, total: int | None = None, unit: str = "items", done: int = 0) -> Iterator[Progress]:
    """Yield a :class:`Progress` whose ``advance`` is called as items finish; done: those of an earlier run, which say no rate.

    >>> with progress("embed", total=2000, unit="images") as bar:
    ...     bar.advance(32)
    """
    bar = Progress(description, total, unit, done)
    try:
        yield bar
    finally:
        bar.close()
