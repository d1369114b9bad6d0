"""What it takes to take back an act of curation, so that what others did since stays."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from biocosmos.serve.curation.curation import CurationAct

Given = Iterable[tuple[str, int]]
"""(id, number of the act that gave it the tag)"""


def take_back(connection: sqlite3.Connection, act: CurationAct, before: Any) -> int:
    """Write back what ``act`` changed, as far as nobody changed it since; returns how much that was.

    before: what the act kept. A tag that was given is taken where it still is that act's, under whatever name the tag has now;
    one that was taken comes back where it is not there again, unless who had given it has taken that back.
    """
    if act.kind == "tag":
        return connection.execute("DELETE FROM tagged WHERE act = ?", (act.number,)).rowcount
    if act.kind in ("untag", "delete tag"):
        return _give_back(connection, act.subject, before)
    if act.kind == "rename tag":
        return _moved_back(connection, act.subject, str(act.other), before["moved"]) + _give_back(
            connection, act.subject, before["lost"]
        )
    if before is None:  # a view that was saved, and was not there
        return connection.execute("DELETE FROM views WHERE name = ? AND by = ?", (act.subject, act.by)).rowcount
    if act.kind == "delete view":
        rule = "INSERT OR IGNORE INTO views VALUES (?, ?, ?, ?)"
        return connection.execute(rule, (act.subject, *before)).rowcount
    there = connection.execute("SELECT by FROM views WHERE name = ?", (act.subject,)).fetchone()
    if there is not None and there[0] != act.by:
        return 0
    connection.execute("INSERT OR REPLACE INTO views VALUES (?, ?, ?, ?)", (act.subject, *before))
    return 1


def _give_back(connection: sqlite3.Connection, tag: str, taken: Given) -> int:
    before = connection.total_changes
    undone = {row[0] for row in connection.execute("SELECT undoes FROM acts WHERE undoes IS NOT NULL")}
    rows = ((tag, id_, given) for id_, given in taken if given not in undone)
    connection.executemany("INSERT OR IGNORE INTO tagged (tag, id, act) VALUES (?, ?, ?)", rows)
    return connection.total_changes - before


def _moved_back(connection: sqlite3.Connection, old: str, new: str, moved: Given) -> int:
    before = connection.total_changes
    rows = ((old, new, id_, given) for id_, given in moved)
    connection.executemany("UPDATE OR IGNORE tagged SET tag = ? WHERE tag = ? AND id = ? AND act = ?", rows)
    return connection.total_changes - before
