"""What people did while they grew clusters: a file an act, none ever changed, and the clusters that follow from all of them.

    plankton.cosmos/discoveries/growing/20261129T101500000000Z-4711-0.parquet

A file for each act, under a name that no other process makes: two sessions at once lose nothing, and one that is killed loses at
most the act it was in. An act is taken back by an act more, which names it; the clusters are then what the others made. What is
named is not here but among the identifications by hand (biocosmos.specimens.by_hand).
"""

from __future__ import annotations

import bisect
import itertools
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.discover.kept import FOLDER
from biocosmos.errors import BiocosmosError, first_line
from biocosmos.tables import PROVENANCE_KEY, write_table

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

KIND = "growing"
Act = Literal["proposed", "looked", "grown", "named", "merged", "dissolved"]
Row = tuple[Act, str, str | None, bool, int, str | None]
"""act, cluster, id, belongs, size, taxon"""
PROPOSED: Act = "proposed"
LOOKED: Act = "looked"
GROWN: Act = "grown"
NAMED: Act = "named"
MERGED: Act = "merged"
DISSOLVED: Act = "dissolved"
SCHEMA = pa.schema(
    [
        ("act", pa.string()),
        ("cluster", pa.string()),
        ("id", pa.string()),
        ("belongs", pa.bool_()),
        ("size", pa.int32()),
        ("taxon", pa.string()),
    ]
)
_numbers = itertools.count()


@dataclass(frozen=True)
class Done:
    """One act. name: of its file; what: "propose", "look", "grow", "merge", ...; by: None in files of the first format; undoes:
    the act that this one took back; kept: the clusters that were proposed, of those kept with the collection; clusters: those
    it is of; count: specimens."""

    name: str
    what: str
    by: str | None
    undoes: str | None
    kept: str | None
    clusters: tuple[str, ...]
    count: int

    @property
    def at(self) -> str:
        """When it was done: UTC, ISO 8601."""
        return act_time(self.name)


@dataclass(frozen=True)
class Event:
    """What one act did to one cluster, in rows of one kind. ids, belongs: (m,) of the specimens; none where it is of all."""

    name: str
    act: str
    ids: tuple[str, ...]
    belongs: tuple[bool, ...]
    size: int
    taxon: str | None


@dataclass
class Cluster:
    """A cluster as the acts have made it.

    members: ids, the centre first as it was proposed, those that were grown behind; strangers: ids that were looked at and do not
    belong; looked: ids that were looked at; size: of the round that proposed it; taxon: its name, once it has one; dissolved:
    whether others took its place (merged, split, proposed anew); version: grows with every change.
    """

    name: str
    size: int = 0
    members: dict[str, None] = field(default_factory=dict)
    strangers: set[str] = field(default_factory=set)
    looked: set[str] = field(default_factory=set)
    taxon: str | None = None
    dissolved: bool = False
    version: int = 0
    events: list[Event] = field(default_factory=list, repr=False)

    def add(self, event: Event, undone: Iterable[str]) -> None:
        """One more event; one that comes late is put where it belongs."""
        place = bisect.bisect_right([each.name for each in self.events], event.name) if self.events else 0
        late = place < len(self.events)
        self.events.insert(place, event)
        if late or event.name in undone:
            self.replay(undone)
        else:
            self._take(event)
            self.version += 1

    def replay(self, undone: Iterable[str]) -> None:
        """Be what the acts that stand make of it."""
        self.members, self.strangers, self.looked = {}, set(), set()
        self.size, self.taxon, self.dissolved = 0, None, False
        for event in self.events:
            if event.name not in undone:
                self._take(event)
        self.version += 1

    def _take(self, event: Event) -> None:
        if event.act == NAMED:
            self.taxon = event.taxon
        if event.act == PROPOSED:
            self.size = event.size
        if event.act == DISSOLVED:
            self.dissolved = True
            return
        for id_, belongs in zip(event.ids, event.belongs):
            if event.act == LOOKED:
                self.looked.add(id_)
            if belongs:
                self.members.setdefault(id_)
                self.strangers.discard(id_)
            else:
                self.members.pop(id_, None)
                self.strangers.add(id_)


def act_name() -> str:
    """A name that no other act has: when, process, number."""
    return f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S%f}Z-{os.getpid()}-{next(_numbers)}"


def act_time(name: str) -> str:
    """When an act was done, by its name: UTC, ISO 8601; "" for a name that somebody gave."""
    try:
        when = datetime.strptime(name.split("Z-")[0], "%Y%m%dT%H%M%S%f").replace(tzinfo=timezone.utc)
    except ValueError:
        return ""
    return when.isoformat(timespec="microseconds")


def append(collection: Collection, rows: Sequence[Row], name: str, what: str = "", by: str | None = None, **more: str) -> Path:
    """Write an act under its name. more: undoes, kept."""
    columns = [pa.array([row[i] for row in rows], kind) for i, kind in enumerate(SCHEMA.types)]
    facts = {"kind": KIND, "what": what, "by": by, **more}
    return write_table(pa.table(columns, schema=SCHEMA), collection.path / FOLDER / KIND / f"{name}.parquet", facts)


class History:
    """The acts of a collection, read as they come: what was read is not read again."""

    def __init__(self, collection: Collection) -> None:
        self._folder = collection.path / FOLDER / KIND
        self._read: set[str] = set()
        self.clusters: dict[str, Cluster] = {}
        self.acts: list[Done] = []
        self.undone: set[str] = set()
        """Names of acts that were taken back."""

    def refresh(self) -> bool:
        """Read the acts that came since, of this session and of others; whether there were any. Raises BiocosmosError for a
        damaged file."""
        try:
            with os.scandir(self._folder) as found:
                new = sorted(one.name for one in found if one.name.endswith(".parquet") and one.name not in self._read)
        except FileNotFoundError:
            return False
        for name in new:
            if not name.startswith("."):
                self._take(self._folder / name)
                self._read.add(name)
        return bool(new)

    def last(self, by: str) -> Done | None:
        """The last act of a user that stands and that can be taken back here."""
        return next(
            (act for act in reversed(self.acts) if act.by == by and act.what != "undo" and act.name not in self.undone), None
        )

    def of(self, name: str) -> list[Cluster]:
        """The clusters that an act is of."""
        return [self.clusters[each] for act in self.acts if act.name == name for each in act.clusters]

    def _take(self, path: Path) -> None:
        try:
            table = pq.read_table(path, columns=SCHEMA.names)
        except (OSError, KeyError, pa.ArrowException) as error:
            raise BiocosmosError(f"{path} is damaged ({first_line(error)}): restore it from a backup, or remove it") from error
        facts = _facts(table)
        events = list(_events(path.stem, table))
        undoes = facts.get("undoes")
        clusters = tuple(dict.fromkeys(cluster for cluster, _ in events))
        count = sum(len(event.ids) for _, event in events)
        done = Done(path.stem, str(facts.get("what") or ""), facts.get("by"), undoes, facts.get("kept"), clusters, count)
        place = bisect.bisect_right([act.name for act in self.acts[-64:]], done.name) + max(len(self.acts) - 64, 0)
        self.acts.insert(place, done)
        for cluster, event in events:
            self.clusters.setdefault(cluster, Cluster(cluster)).add(event, self.undone)
        if undoes is not None and undoes not in self.undone:
            self.undone.add(undoes)
            for each in self.of(undoes):
                each.replay(self.undone)


def _facts(table: pa.Table) -> dict[str, Any]:
    try:
        found = json.loads((table.schema.metadata or {}).get(PROVENANCE_KEY, b"{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _events(name: str, table: pa.Table) -> Iterable[tuple[str, Event]]:
    """(cluster, event) of each run of rows of one kind and one cluster."""
    rows = zip(*(table[column].to_pylist() for column in SCHEMA.names))
    for (act, cluster), run in itertools.groupby(rows, key=lambda row: (row[0], row[1])):
        part = list(run)
        ids = [(row[2], bool(row[3])) for row in part if row[2] is not None]
        size, taxon = int(part[0][4] or 0), part[0][5]
        yield cluster, Event(name, act, tuple(id_ for id_, _ in ids), tuple(belongs for _, belongs in ids), size, taxon)
