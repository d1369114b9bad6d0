"""A join table on disk: rows by key, in the order they came, whatever their number."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, NamedTuple

from biocosmos.files import readable

NAMELESS = ""
"""SQLite keeps such a database in memory, and what does not fit there in a file that has no name: it goes with the process."""


class Entry(NamedTuple):
    """One stored row: its place in the lookup, its row number in the source, and its value."""

    place: int
    number: int | None
    value: Any


class Lookup:
    """Key -> rows, kept in a temporary SQLite database that goes when the lookup is closed, or the process ends.

    >>> with Lookup() as lookup:
    ...     lookup.fill([("a.jpg", 1, {"depth": "12"})])
    ...     lookup.get("a.jpg")
    [Entry(place=1, number=1, value={'depth': '12'})]
    """

    def __init__(self) -> None:
        # A generator may be closed from the thread that collects garbage, so the thread check is off; use stays serial.
        self._db = sqlite3.connect(NAMELESS, isolation_level=None, check_same_thread=False)
        self._db.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-32000;"
            "CREATE TABLE entry (key TEXT NOT NULL, number INTEGER, value TEXT NOT NULL);"
        )
        self._used = bytearray()  # one bit an entry

    def fill(self, entries: Iterable[tuple[str, int | None, Any]]) -> None:
        """Store (key, row number, value that JSON can hold); call it once, then :meth:`get`."""
        # readable: half a surrogate pair, as some JSON has it, becomes its escape, which JSON reads back
        rows = ((readable(key), number, readable(json.dumps(value, ensure_ascii=False))) for key, number, value in entries)
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO entry (key, number, value) VALUES (?, ?, ?)", rows)
        self._db.execute("COMMIT")
        self._db.execute("CREATE INDEX by_key ON entry (key)")
        (last,) = self._db.execute("SELECT max(rowid) FROM entry").fetchone()
        self._used = bytearray((last or 0) // 8 + 1)

    def every_key(self) -> Iterator[str]:
        """Every key once."""
        for (key,) in self._db.execute("SELECT DISTINCT key FROM entry ORDER BY key"):
            yield key

    def get(self, key: str) -> list[Entry]:
        """All entries of a key, in the order they were stored."""
        rows = self._db.execute("SELECT rowid, number, value FROM entry WHERE key = ? ORDER BY rowid", (key,)).fetchall()
        return [Entry(place, number, json.loads(value)) for place, number, value in rows]

    def use(self, entries: Iterable[Entry]) -> bool:
        """Count entries as used; whether any of them was used before."""
        before = False
        for entry in entries:
            byte, bit = entry.place // 8, 1 << entry.place % 8
            before = before or bool(self._used[byte] & bit)
            self._used[byte] |= bit
        return before

    def unused(self) -> Iterator[tuple[str, int | None]]:
        """(key, row number) of the entries that were never used, in the order they were stored."""
        for place, key, number in self._db.execute("SELECT rowid, key, number FROM entry ORDER BY rowid"):
            if not self._used[place // 8] & 1 << place % 8:
                yield key, number

    def close(self) -> None:
        """Let the file go."""
        self._db.close()

    def __enter__(self) -> Lookup:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Seen:
    """Which keys have come before, on disk.

    >>> with Seen() as seen:
    ...     seen.count("a"), seen.count("b"), seen.count("a")
    (1, 1, 2)
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect(NAMELESS, isolation_level=None, check_same_thread=False)
        self._db.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-32000;"
            "CREATE TABLE seen (key TEXT PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID; BEGIN;"
        )

    def count(self, key: str) -> int:
        """Count ``key`` once more; how often it has come by now."""
        row = self._db.execute(
            "INSERT INTO seen VALUES (?, 1) ON CONFLICT(key) DO UPDATE SET times = times + 1 RETURNING times", (key,)
        ).fetchone()
        return int(row[0])

    def close(self) -> None:
        """Let the file go."""
        self._db.close()

    def __enter__(self) -> Seen:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
