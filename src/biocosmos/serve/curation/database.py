"""The file in which tags and saved views are kept: SQLite, so that several processes write at once and a kill loses nothing said.

    plankton.cosmos/web/curation.sqlite

Every act is one transaction with a row of its own: who, when, what, and what it takes to take it back.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.outputs import WEB
from biocosmos.unfinished import writing

PLACE = Path(WEB) / "curation.sqlite"
VERSION = 1
WAIT_SECONDS = 30.0
"""How long one process waits for another's transaction."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS acts (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    other TEXT,
    by TEXT NOT NULL,
    at TEXT NOT NULL,
    count INTEGER NOT NULL,
    undoes INTEGER UNIQUE REFERENCES acts (number),
    before BLOB
);
CREATE INDEX IF NOT EXISTS acts_of ON acts (by, number);
CREATE TABLE IF NOT EXISTS tagged (
    tag TEXT NOT NULL,
    id TEXT NOT NULL,
    act INTEGER NOT NULL,
    PRIMARY KEY (tag, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tagged_by ON tagged (act);
CREATE INDEX IF NOT EXISTS tags_of ON tagged (id);
CREATE TABLE IF NOT EXISTS views (
    name TEXT PRIMARY KEY,
    query TEXT NOT NULL,
    by TEXT NOT NULL,
    at TEXT NOT NULL
) WITHOUT ROWID;
"""


class Database:
    """One connection, used by one thread at a time; made with the first use, in the process that uses it."""

    def __init__(self, collection: Path) -> None:
        self.path = collection / PLACE
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, to read, also where nothing may be written. Raises BiocosmosError where the file is damaged, or a
        newer biocosmos wrote it."""
        with self._lock, self._told():
            if self._connection is not None or _may_write(self.path.parent):
                yield self._opened()
                return
            with closing(self._read_only()) as connection:
                yield connection

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """The connection in a transaction of its own, which is on the disk when this ends, or not at all."""
        with self._lock, self._told():
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Let the file go; the next use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            with writing(self.path.parent):
                self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _read_only(self) -> sqlite3.Connection:
        """A connection of its own to a file in a folder that may not be written to; nothing is in it where there is no file."""
        if not self.path.exists():
            connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            connection.executescript(SCHEMA)
            return connection
        alive = self.path.with_name(f"{self.path.name}-shm").exists()  # somebody else writes, or did till a crash
        place = f"{self.path.resolve().as_uri()}?{'mode=ro' if alive else 'immutable=1'}"
        connection = sqlite3.connect(place, uri=True, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)
        self._version_of(connection)
        return connection

    def _version_of(self, connection: sqlite3.Connection) -> int:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise BiocosmosError(
                f"{self.path} was written by a newer biocosmos (version {version}, this one knows {VERSION}): update biocosmos"
            )
        return int(version)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if self._version_of(connection) < VERSION:
            connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise BiocosmosError(
                f"cannot use {self.path} ({first_line(error)}): see that its folder may be written to and the disk has room"
            ) from error
        except sqlite3.DatabaseError as error:
            raise BiocosmosError(
                f"{self.path} is damaged ({first_line(error)}): restore it from a backup, or remove it (tags and views are in it)"
            ) from error


def _may_write(folder: Path) -> bool:
    """Whether a folder, or the one in which it would be made, may be written to."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK)
