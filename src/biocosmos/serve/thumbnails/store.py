"""Thumbnails kept in one SQLite file a size: written by any number of processes at once, whole after a kill.

What is kept can always be made again, so that a file which is damaged, or of another format, is begun anew.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

FORMAT = 1
"""Kept with the file; changed when thumbnails are made otherwise, so that old ones are made anew."""
WAIT_SECONDS = 10.0
CONNECTIONS = 4
_AT_ONCE = 500
_MAKE = "CREATE TABLE IF NOT EXISTS thumbnails (id TEXT PRIMARY KEY, mark TEXT NOT NULL, jpeg BLOB, reason TEXT, stamp TEXT)"
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@dataclass(frozen=True)
class Kept:
    """One row. jpeg: None where the image cannot be shown, for ``reason``; ``stamp``: of the file that was tried then."""

    id: str
    mark: str
    jpeg: bytes | None
    reason: str | None = None
    stamp: str = ""


class Store:
    """One file. It never fails: what cannot be read is not there, and what cannot be kept is not kept.

    only_read: nothing is written, not even beside the file. Raises OSError or sqlite3.Error if it cannot be opened.
    """

    def __init__(self, path: Path, *, only_read: bool = False) -> None:
        self.path, self._only_read = path, only_read
        self._free: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._places = threading.BoundedSemaphore(CONNECTIONS)
        self._lock, self._closed = threading.Lock(), False
        if not only_read:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._free.put(self._connect())
        except sqlite3.DatabaseError as error:
            if only_read or not _is_damage(error):
                raise
            self._begin_anew()
            self._free.put(self._connect())

    def find(self, id_: str) -> Kept | None:
        """What is kept of a specimen."""
        try:
            with self._connection() as connection:
                row = connection.execute("SELECT mark, jpeg, reason, stamp FROM thumbnails WHERE id = ?", (id_,)).fetchone()
        except sqlite3.Error as error:
            self._mend(error)
            return None
        return None if row is None else Kept(id_, row[0], row[1], row[2], row[3] or "")

    def marks(self, ids: Sequence[str]) -> dict[str, Kept]:
        """id -> what is kept of it, the picture being b"" if there is one."""
        found: dict[str, Kept] = {}
        wanted = "SELECT id, mark, CASE WHEN jpeg IS NULL THEN NULL ELSE x'' END, reason, stamp FROM thumbnails WHERE id IN ({})"
        for start in range(0, len(ids), _AT_ONCE):
            some = list(ids[start : start + _AT_ONCE])
            try:
                with self._connection() as connection:
                    rows = connection.execute(wanted.format(",".join("?" * len(some))), some).fetchall()
            except sqlite3.Error as error:
                self._mend(error)
                continue
            found |= {row[0]: Kept(row[0], row[1], row[2], row[3], row[4] or "") for row in rows}
        return found

    def keep(self, rows: Sequence[Kept]) -> bool:
        """Keep some, in the place of what was kept of these specimens; whether that went (a full disk, say)."""
        if self._only_read:
            return False
        values = [(row.id, row.mark, row.jpeg, row.reason, row.stamp) for row in rows]
        try:
            with self._connection() as connection, connection:
                connection.executemany("INSERT OR REPLACE INTO thumbnails VALUES (?, ?, ?, ?, ?)", values)
        except sqlite3.Error as error:
            self._mend(error)
            return False
        return True

    def count(self) -> int:
        """How many are kept."""
        try:
            with self._connection() as connection:
                return int(connection.execute("SELECT count(*) FROM thumbnails").fetchone()[0])
        except sqlite3.Error as error:
            self._mend(error)
            return 0

    def ids(self) -> Iterator[list[str]]:
        """The ids of all that are kept, some at a time."""
        last = ""
        while True:
            try:
                with self._connection() as connection:
                    query = "SELECT id FROM thumbnails WHERE id > ? ORDER BY id LIMIT 4096"
                    some = [row[0] for row in connection.execute(query, (last,))]
            except sqlite3.Error as error:
                self._mend(error)
                return
            if not some:
                return
            yield some
            last = some[-1]

    def forget(self, ids: Sequence[str]) -> None:
        """Remove what is kept of specimens that are no more."""
        if self._only_read or not ids:
            return
        try:
            with self._connection() as connection, connection:
                connection.executemany("DELETE FROM thumbnails WHERE id = ?", [(id_,) for id_ in ids])
        except sqlite3.Error as error:
            self._mend(error)

    def close(self) -> None:
        """Close the file; what is asked for afterwards is not there."""
        with self._lock:
            self._closed = True
        while True:
            try:
                self._free.get_nowait().close()
            except queue.Empty:
                return

    # ------------------------------------------------------------------ connections

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with self._places:
            if self._closed:
                raise sqlite3.ProgrammingError("closed")
            try:
                connection = self._free.get_nowait()
            except queue.Empty:
                connection = self._connect()
            try:
                yield connection
            except sqlite3.Error:
                connection.close()
                raise
            except BaseException:
                connection.close()
                raise
            with self._lock:
                if self._closed:
                    connection.close()
                else:
                    self._free.put(connection)

    def _connect(self) -> sqlite3.Connection:
        if self._only_read:
            address = f"{self.path.absolute().as_uri()}?mode=ro&immutable=1"
            connection = sqlite3.connect(address, uri=True, check_same_thread=False)
            if connection.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
                connection.close()
                raise sqlite3.DatabaseError("of another format")
            return connection
        connection = sqlite3.connect(self.path, timeout=WAIT_SECONDS, check_same_thread=False)
        try:
            connection.execute("PRAGMA page_size = 8192")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last ones, which are made again
            connection.execute("PRAGMA cache_size = -1024")
            connection.execute("PRAGMA journal_size_limit = 16777216")
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _mend(self, error: sqlite3.Error) -> None:
        if self._only_read or self._closed or not _is_damage(error):
            return
        with self._lock:
            while True:
                try:
                    self._free.get_nowait().close()
                except queue.Empty:
                    break
            self._begin_anew()

    def _begin_anew(self) -> None:
        for ending in ("", "-wal", "-shm"):
            with suppress(OSError):
                self.path.with_name(self.path.name + ending).unlink(missing_ok=True)


def _prepare(connection: sqlite3.Connection) -> None:
    """The table, made or emptied if it is of another format; two processes at once wait for each other."""
    if connection.execute("PRAGMA user_version").fetchone()[0] == FORMAT:
        return
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
            connection.execute("DROP TABLE IF EXISTS thumbnails")
            connection.execute(_MAKE)
            connection.execute(f"PRAGMA user_version = {FORMAT}")


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and (code & 0xFF) in _DAMAGED
