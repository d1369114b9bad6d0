"""Tags of specimens and saved views, and taking back what one did with them."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.serve.curation.database import Database

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

Kind = Literal["tag", "untag", "rename tag", "delete tag", "save view", "delete view", "undo"]
LONGEST_NAME, LONGEST_QUERY = 100, 8_000
MOST_SAVED = 2_000
"""Saved views, and tags, of a collection."""


@dataclass(frozen=True)
class Tag:
    """name; count: specimens that have it; by, at: who gave it last, and when (UTC, ISO 8601)."""

    name: str
    count: int
    by: str
    at: str


@dataclass(frozen=True)
class SavedView:
    """A view by name. query: its address, as View.query() gives it."""

    name: str
    query: str
    by: str
    at: str


@dataclass(frozen=True)
class CurationAct:
    """One act. subject: the tag or view; other: its new name, of a rename; count: specimens it changed; undoes: the act that this
    one took back."""

    number: int
    kind: str
    subject: str
    other: str | None
    by: str
    at: str
    count: int
    undoes: int | None = None


class Curation:
    """What people put beside the specimens of a collection; any number of threads and processes at once.

    collection: it, or where it is; catalogue: the resident one, for :meth:`rows`. A tag is there as long as a specimen has it.
    Names of tags are compared as they are written.
    """

    def __init__(self, collection: str | Path | Collection, catalogue: Any = None) -> None:
        self._database = Database(Path(collection) if isinstance(collection, str | Path) else collection.path)
        self.catalogue = catalogue
        self._listeners: list[Callable[[], None]] = []
        self._masks: dict[str, frozenset[str]] = {}
        self._version = -1

    @property
    def path(self) -> Path:
        """Where it is kept."""
        return self._database.path

    @property
    def version(self) -> int:
        """A number that grows with every act, of this and of other processes."""
        with self._database.reading() as connection:
            return _version(connection)

    def listen(self, changed: Callable[[], None]) -> None:
        """Have ``changed`` called after every act of this process, so that masks made of tags can be made anew."""
        self._listeners.append(changed)

    def join(self, desk: Any) -> None:
        """Have views filter by tags, and the desk's undo know of these acts."""
        self.catalogue.register("tag", self.rows, lambda: self.version)
        self.catalogue.tell_tags(lambda: [tag.name for tag in self.tags()])
        desk.undoes(self._last_time, self._taken_back)

    def _last_time(self, by: str) -> str | None:
        found = self.last(by)
        return None if found is None else found.at

    def _taken_back(self, by: str) -> dict[str, Any] | None:
        found = self.undo(by)
        if found is None:
            return None
        about = "" if "view" in found.kind else f" ({found.count:,} specimens)"
        return {"kind": "curation", "what": f"{found.kind} “{found.subject}”{about}", "count": found.count}

    def close(self) -> None:
        """Let the file go."""
        self._database.close()

    # ---------------------------------------------------------------- what there is

    def tags(self) -> list[Tag]:
        """All tags by name."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT t.tag, t.count, acts.by, acts.at FROM (SELECT tag, COUNT(*) AS count, MAX(act) AS last FROM tagged "
                "GROUP BY tag) AS t JOIN acts ON acts.number = t.last ORDER BY t.tag COLLATE NOCASE, t.tag"
            ).fetchall()
        return [Tag(*row) for row in rows]

    def tags_of(self, ids: Sequence[str]) -> dict[str, list[str]]:
        """id -> its tags, of those that have any."""
        found: dict[str, list[str]] = {}
        with self._database.reading() as connection:
            for start in range(0, len(ids), 500):
                part = [str(each) for each in ids[start : start + 500]]
                asked = f"SELECT id, tag FROM tagged WHERE id IN ({', '.join('?' * len(part))}) ORDER BY tag COLLATE NOCASE, tag"
                for id_, tag in connection.execute(asked, part):
                    found.setdefault(id_, []).append(tag)
        return found

    def ids(self, tag: str) -> frozenset[str]:
        """The specimens that have a tag, kept until somebody changes tags; none where there is no such tag."""
        with self._database.reading() as connection:
            version = _version(connection)
            if version != self._version:
                self._masks, self._version = {}, version
            if tag not in self._masks:
                rows = connection.execute("SELECT id FROM tagged WHERE tag = ?", (tag,)).fetchall()
                self._masks[tag] = frozenset(row[0] for row in rows)
            return self._masks[tag]

    def rows(self, tag: str) -> npt.NDArray[np.int32]:
        """(m,) int32 rows of the catalogue that have a tag; specimens that were removed since are left out."""
        found = np.asarray(self.catalogue.rows_of_ids(sorted(self.ids(tag))), np.int32)
        return found[found >= 0]

    def views(self) -> list[SavedView]:
        """All saved views by name."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT name, query, by, at FROM views ORDER BY name COLLATE NOCASE, name").fetchall()
        return [SavedView(*row) for row in rows]

    def acts(self, by: str | None = None, limit: int = 100) -> list[CurationAct]:
        """The last acts, of one user or of all, the latest first."""
        asked = f"SELECT {_ACT} FROM acts {'' if by is None else 'WHERE by = ?'} ORDER BY number DESC LIMIT ?"
        with self._database.reading() as connection:
            rows = connection.execute(asked, (limit,) if by is None else (by, limit)).fetchall()
        return [CurationAct(*row) for row in rows]

    # ---------------------------------------------------------------- tags

    def tag(self, name: str, ids: Iterable[str], *, by: str) -> CurationAct | None:
        """Give specimens a tag; returns the act, None where all had it. Raises BiocosmosError for a name that cannot be one."""
        name = checked_name(name, "tag")

        def act(connection: sqlite3.Connection, number: int) -> tuple[int, Any]:
            if not _has(connection, name) and _count(connection, "SELECT COUNT(DISTINCT tag) FROM tagged") >= MOST_SAVED:
                raise BiocosmosError(f"there are {MOST_SAVED:,} tags: delete one before you make another")
            before = connection.total_changes
            rows = ((name, str(id_), number) for id_ in ids)
            connection.executemany("INSERT OR IGNORE INTO tagged (tag, id, act) VALUES (?, ?, ?)", rows)
            return connection.total_changes - before, None

        return self._do("tag", name, None, by, act)

    def untag(self, name: str, ids: Iterable[str], *, by: str) -> CurationAct | None:
        """Take a tag from specimens; returns the act, None where none had it."""

        def act(connection: sqlite3.Connection, _: int) -> tuple[int, Any]:
            asked = {str(id_) for id_ in ids}
            there = connection.execute("SELECT id, act FROM tagged WHERE tag = ?", (name,)).fetchall()
            taken = [(id_, given) for id_, given in there if id_ in asked]
            connection.executemany("DELETE FROM tagged WHERE tag = ? AND id = ?", ((name, id_) for id_, _ in taken))
            return len(taken), taken

        return self._do("untag", name, None, by, act)

    def rename(self, old: str, new: str, *, by: str) -> CurationAct | None:
        """Call a tag otherwise; where ``new`` is there already the two become one. Raises BiocosmosError without a tag
        ``old``."""
        new = checked_name(new, "tag")

        def act(connection: sqlite3.Connection, _: int) -> tuple[int, Any]:
            self._wanted(connection, old)
            if old == new:
                return 0, None
            both = "SELECT id FROM tagged WHERE tag = ?"
            lost = connection.execute(f"SELECT id, act FROM tagged WHERE tag = ? AND id IN ({both})", (old, new)).fetchall()
            connection.execute(f"DELETE FROM tagged WHERE tag = ? AND id IN ({both})", (old, new))
            moved = connection.execute("SELECT id, act FROM tagged WHERE tag = ?", (old,)).fetchall()
            connection.execute("UPDATE tagged SET tag = ? WHERE tag = ?", (new, old))
            return len(lost) + len(moved), {"lost": lost, "moved": moved}

        return self._do("rename tag", old, new, by, act)

    def delete(self, name: str, *, by: str) -> CurationAct | None:
        """Take a tag from all that have it. Raises BiocosmosError where there is none of the name."""

        def act(connection: sqlite3.Connection, _: int) -> tuple[int, Any]:
            self._wanted(connection, name)
            taken = connection.execute("SELECT id, act FROM tagged WHERE tag = ?", (name,)).fetchall()
            connection.execute("DELETE FROM tagged WHERE tag = ?", (name,))
            return len(taken), taken

        return self._do("delete tag", name, None, by, act)

    # ---------------------------------------------------------------- views

    def save_view(self, name: str, query: str, *, by: str) -> CurationAct | None:
        """Keep a view under a name; one that is there takes the new address. Returns None where it is so already."""
        name = checked_name(name, "view")
        if len(query) > LONGEST_QUERY:
            raise BiocosmosError(
                f"the view's address has {len(query):,} letters, at most {LONGEST_QUERY:,}: choose fewer filters"
            )

        def act(connection: sqlite3.Connection, _: int) -> tuple[int, Any]:
            before = connection.execute("SELECT query, by, at FROM views WHERE name = ?", (name,)).fetchone()
            if before is None and _count(connection, "SELECT COUNT(*) FROM views") >= MOST_SAVED:
                raise BiocosmosError(f"there are {MOST_SAVED:,} saved views: delete one before you save another")
            if before is not None and before[0] == query:
                return 0, None
            connection.execute("INSERT OR REPLACE INTO views VALUES (?, ?, ?, ?)", (name, query, by, _now()))
            return 1, before

        return self._do("save view", name, None, by, act)

    def delete_view(self, name: str, *, by: str) -> CurationAct | None:
        """Forget a saved view. Raises BiocosmosError where there is none of the name."""

        def act(connection: sqlite3.Connection, _: int) -> tuple[int, Any]:
            before = connection.execute("SELECT query, by, at FROM views WHERE name = ?", (name,)).fetchone()
            if before is None:
                raise BiocosmosError(f"there is no saved view '{name}': somebody may have deleted it; load the page again")
            connection.execute("DELETE FROM views WHERE name = ?", (name,))
            return 1, before

        return self._do("delete view", name, None, by, act)

    # ---------------------------------------------------------------- undo

    def last(self, by: str) -> CurationAct | None:
        """The last act of a user that stands: what :meth:`undo` would take back."""
        with self._database.reading() as connection:
            return _last(connection, by)

    def undo(self, by: str) -> CurationAct | None:
        """Take back the user's last act that stands, by an act more; returns the act that was taken back, None without one.

        What others did since stays: a tag that somebody took away, or gave, in between is as they left it.
        """
        from biocosmos.serve.curation.undoing import take_back

        undone: list[CurationAct] = []

        def act(connection: sqlite3.Connection, number: int) -> tuple[int, Any]:
            found = _last(connection, by)
            if found is None:
                return 0, None
            (kept,) = connection.execute("SELECT before FROM acts WHERE number = ?", (found.number,)).fetchone()
            count = take_back(connection, found, _unpacked(kept))
            connection.execute(
                "UPDATE acts SET subject = ?, undoes = ?, count = ? WHERE number = ?",
                (found.subject, found.number, count, number),
            )
            undone.append(found)
            return -1, None

        self._do("undo", "", None, by, act)
        return undone[0] if undone else None

    # ---------------------------------------------------------------- within

    def _do(
        self,
        kind: Kind,
        subject: str,
        other: str | None,
        by: str,
        act: Callable[[sqlite3.Connection, int], tuple[int, Any]],
    ) -> CurationAct | None:
        """One act as one transaction. act: returns (how much it changed, 0 for nothing, -1 if it says so itself; what it takes
        to take it back)."""
        at = _now()
        with self._database.changing() as connection:
            done = connection.execute(
                "INSERT INTO acts (kind, subject, other, by, at, count) VALUES (?, ?, ?, ?, ?, 0)", (kind, subject, other, by, at)
            )
            number = int(done.lastrowid or 0)
            count, before = act(connection, number)
            if count == 0:
                connection.execute("DELETE FROM acts WHERE number = ?", (number,))
                return None
            if count > 0:
                connection.execute("UPDATE acts SET count = ?, before = ? WHERE number = ?", (count, _packed(before), number))
        for changed in self._listeners:
            changed()
        return CurationAct(number, kind, subject, other, by, at, max(count, 0))

    @staticmethod
    def _wanted(connection: sqlite3.Connection, name: str) -> None:
        if not _has(connection, name):
            raise BiocosmosError(f"there is no tag '{name}': somebody may have renamed or deleted it; load the page again")


_ACT = "number, kind, subject, other, by, at, count, undoes"


def checked_name(name: str, what: str) -> str:
    """A name of a tag or a view without blanks around it. Raises BiocosmosError for one that cannot be shown in one line."""
    name = " ".join(name.split())
    if not name:
        raise BiocosmosError(f"a {what} needs a name: type one")
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise BiocosmosError(f"a {what}'s name has at most {LONGEST_NAME} letters that can be printed: choose another")
    return name


def _last(connection: sqlite3.Connection, by: str) -> CurationAct | None:
    row = connection.execute(
        f"SELECT {_ACT} FROM acts WHERE by = ? AND kind != 'undo' AND number NOT IN "
        "(SELECT undoes FROM acts WHERE undoes IS NOT NULL AND by = ?) ORDER BY number DESC LIMIT 1",
        (by, by),
    ).fetchone()
    return None if row is None else CurationAct(*row)


def _has(connection: sqlite3.Connection, name: str) -> bool:
    return connection.execute("SELECT 1 FROM tagged WHERE tag = ? LIMIT 1", (name,)).fetchone() is not None


def _count(connection: sqlite3.Connection, asked: str) -> int:
    return int(connection.execute(asked).fetchone()[0])


def _version(connection: sqlite3.Connection) -> int:
    return _count(connection, "SELECT COALESCE(MAX(number), 0) FROM acts")


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


def _packed(before: Any) -> bytes | None:
    return None if before is None else zlib.compress(json.dumps(before).encode(), 1)


def _unpacked(kept: bytes | None) -> Any:
    return None if kept is None else json.loads(zlib.decompress(kept))
