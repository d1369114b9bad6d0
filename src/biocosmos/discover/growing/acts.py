"""What people did while they grew clusters: a file an act, none ever changed, and the clusters that follow from all of them.

    plankton.cosmos/discoveries/growing/20261129T101500000000Z-4711-0.parquet

A file for each act, under a name that no other process makes: two sessions at once lose nothing, and one that is killed loses at
most the act it was in. What is named is not here but among the identifications by hand (biocosmos.specimens.by_hand).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.discover.kept import FOLDER
from biocosmos.errors import BiocosmosError, first_line
from biocosmos.tables import write_table

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

KIND = "growing"
Act = Literal["proposed", "looked", "grown", "named"]
Row = tuple[Act, str, str | None, bool, int, str | None]
"""act, cluster, id, belongs, size, taxon"""
PROPOSED: Act = "proposed"
LOOKED: Act = "looked"
GROWN: Act = "grown"
NAMED: Act = "named"
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


@dataclass
class Cluster:
    """A cluster as the acts have made it.

    members: ids, the centre first as it was proposed, those that were grown behind; strangers: ids that were looked at and do not
    belong; looked: ids that were looked at; size: of the round that proposed it; taxon: its name, once it has one.
    """

    name: str
    size: int = 0
    members: dict[str, None] = field(default_factory=dict)
    strangers: set[str] = field(default_factory=set)
    looked: set[str] = field(default_factory=set)
    taxon: str | None = None

    def take(self, act: str, id_: str, belongs: bool) -> None:
        """One row of an act."""
        if act == LOOKED:
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


def append(collection: Collection, rows: Sequence[Row], name: str) -> Path:
    """Write an act under its name."""
    columns = [pa.array(list(column), kind) for column, kind in zip(zip(*rows), SCHEMA.types)]
    return write_table(pa.table(columns, schema=SCHEMA), collection.path / FOLDER / KIND / f"{name}.parquet", {"kind": KIND})


class History:
    """The acts of a collection, read as they come: what was read is not read again."""

    def __init__(self, collection: Collection) -> None:
        self._folder = collection.path / FOLDER / KIND
        self._read: set[str] = set()
        self.clusters: dict[str, Cluster] = {}

    def refresh(self) -> None:
        """Read the acts that came since, of this session and of others. Raises BiocosmosError for a damaged file."""
        for path in sorted(self._folder.glob("*.parquet")):
            if path.name not in self._read:
                self._take(path)
                self._read.add(path.name)

    def _take(self, path: Path) -> None:
        try:
            table = pq.read_table(path, columns=SCHEMA.names)
        except (OSError, KeyError, pa.ArrowException) as error:
            raise BiocosmosError(f"{path} is damaged ({first_line(error)}): restore it from a backup, or remove it") from error
        for act, name, id_, belongs, size, taxon in zip(*(table[column].to_pylist() for column in SCHEMA.names)):
            cluster = self.clusters.setdefault(name, Cluster(name))
            if act == NAMED:
                cluster.taxon = taxon
            if act == PROPOSED:
                cluster.size = size
            if id_ is not None:
                cluster.take(act, id_, belongs)
