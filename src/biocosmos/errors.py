"""Errors a user can act on, and the failures table that every long command keeps.

An error is one line: what is wrong, where, what to do. A bad row, image or name never stops a batch: it becomes a row
of a :class:`Failures` table, and the command ends with the count.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

Severity = Literal["error", "warning"]


_BREAKS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What would break a line, move a cursor, or cannot be printed: a name of a file or a value of a table may hold it."""


class BiocosmosError(Exception):
    """Something the user can mend: the message is one line that names the value, the place and the remedy."""

    def __init__(self, message: object = "") -> None:
        super().__init__(one_line(str(message)))


def one_line(text: str) -> str:
    """A text with line breaks, control characters and halves of characters written out: "\\n", "\\x00", "\\udc80"."""
    return _BREAKS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def first_line(error: BaseException) -> str:
    """What a library's exception says, cut to one line that fits into ours."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


class ImageError(BiocosmosError):
    """An image that cannot be decoded, with the reason."""


@dataclass(frozen=True)
class Failure:
    """One row of the failures table.

    ``severity`` is "error" when the item was left out and "warning" when it went through changed (a CMYK image converted
    to RGB, say). ``row`` counts data rows from 1, without the header.
    """

    stage: str
    severity: Severity
    source: str | None
    row: int | None
    id: str | None
    reason: str


def _without_names(row: Failure) -> str:
    """The reason of a row without what names it: its file and id, and whatever stands in quotes."""
    reason = row.reason
    for name in sorted({row.source or "", PurePath(row.source or "").name, row.id or ""} - {""}, key=len, reverse=True):
        reason = reason.replace(name, "...")
    return re.sub(r"'[^']*'", "'...'", reason)


def _storable(text: str) -> str:
    """Text that is surely Unicode: what is none (half a surrogate pair, a file name of other bytes) is written out."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


class Failures:
    """What went wrong, row by row; safe to fill from decode threads.

    >>> failures = Failures()
    >>> failures.add("zero bytes", stage="ingest", source="a.jpg", id="a")
    >>> failures.errors, failures.warnings
    (1, 0)
    """

    def __init__(self) -> None:
        self._rows: list[Failure] = []
        self._lock = threading.Lock()

    def add(
        self,
        reason: str,
        *,
        stage: str,
        source: str | Path | None = None,
        row: int | None = None,
        id: str | None = None,
        severity: Severity = "error",
    ) -> None:
        """Append one row; ``reason`` says what is wrong in a few words."""
        told = _storable(" ".join(str(reason).split()))
        where, who = None if source is None else _storable(str(source)), None if id is None else _storable(str(id))
        failure = Failure(stage, severity, where, row, who, told)
        with self._lock:
            self._rows.append(failure)

    def append(self, row: Failure) -> None:
        """Append a row that was made elsewhere."""
        with self._lock:
            self._rows.append(row)

    def extend(self, other: Failures) -> None:
        """Append every row of ``other``."""
        rows = list(other)
        with self._lock:
            self._rows.extend(rows)

    def drain(self) -> list[Failure]:
        """The rows, which are taken out: of a stream that hands them on block by block."""
        with self._lock:
            rows, self._rows = self._rows, []
        return rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Failure]:
        return iter(list(self._rows))

    @property
    def errors(self) -> int:
        """Number of items left out."""
        return sum(row.severity == "error" for row in self._rows)

    @property
    def warnings(self) -> int:
        """Number of items that went through changed."""
        return len(self._rows) - self.errors

    def __repr__(self) -> str:
        return f"<Failures: {self.errors:,} errors, {self.warnings:,} warnings>"

    def reasons(self) -> list[tuple[str, int]]:
        """(reason, count), most frequent first; reasons that differ in a file, an id or another quoted name only are one."""
        told: dict[str, set[str]] = {}
        counts = Counter[str]()
        for row in self._rows:
            common = _without_names(row)
            told.setdefault(common, set()).add(row.reason)
            counts[common] += 1
        return [(next(iter(told[common])) if len(told[common]) == 1 else common, n) for common, n in counts.most_common()]

    def gravest(self) -> str:
        """The commonest reason of what was left out; where nothing was, of what went through changed."""
        rows = Failures()
        rows._rows = [row for row in self._rows if row.severity == "error"] or self._rows
        return rows.reasons()[0][0]

    def table(self) -> pa.Table:
        """The rows as an Arrow table with the columns of :class:`Failure`."""
        import pyarrow as pa  # here, because every command imports this module and pyarrow takes a quarter of a second

        types = {"row": pa.int64()}
        schema = pa.schema([(column.name, types.get(column.name, pa.string())) for column in fields(Failure)])
        return pa.Table.from_pylist([asdict(row) for row in self._rows], schema=schema)
