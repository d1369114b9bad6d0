"""What people said of the specimens, followed as it is written: the files of ``specimens.by_hand``, each of them read once.

A day of work is thousands of acts; a standing name is found again only for the specimens that a new act is about.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.specimens.by_hand import FOLDER, WITHDRAWN

_COLUMNS = ["id", "taxon", "rank", "status", "by", "at"]


class Said(NamedTuple):
    """One identification: at, order: microseconds, and which of the rows of that moment it is."""

    at: int
    order: tuple[str, int]
    by: str
    taxon: str
    rank: str | None
    status: str


class People:
    """The identifications that people made, and which of each specimen stands; not for two threads at once."""

    def __init__(self, collection: Path) -> None:
        self._folder = collection / FOLDER
        self._seen: set[str] = set()
        self._said: dict[str, list[Said]] = {}

    def read_new(self) -> set[str]:
        """Read the files that were not there before; the ids they are about. Raises BiocosmosError for a damaged one."""
        new = sorted({path.name for path in self._folder.glob("*.parquet")} - self._seen)
        about: set[str] = set()
        for name in new:
            about |= self._take(self._folder / name)
            self._seen.add(name)
        return about

    def current(self, id_: str) -> Said | None:
        """What a specimen is called by the last who named it, as ``by_hand.current`` has it; None where nothing stands."""
        said = self._said.get(id_, ())
        if len(said) == 1:
            return None if said[0].status == WITHDRAWN else said[0]
        standing: dict[str, list[Said]] = {}
        for each in said:
            mine = standing.setdefault(each.by, [])
            if each.status != WITHDRAWN:
                mine.append(each)
            elif mine:
                mine.pop()
        return max((mine[-1] for mine in standing.values() if mine), key=lambda each: each[:2], default=None)

    def ids(self) -> Iterable[str]:
        """Ids of all specimens that anybody said something of."""
        return self._said

    def _take(self, path: Path) -> set[str]:
        try:
            table = pq.ParquetFile(path).read(columns=_COLUMNS)
            at = table["at"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_pylist()
            columns = [table[name].cast(pa.string()).to_pylist() for name in _COLUMNS[:-1]]
        except (OSError, KeyError, pa.ArrowException) as error:
            raise BiocosmosError(f"{path} is damaged ({first_line(error)}): restore it from a backup") from error
        about = set()
        for row, (id_, taxon, rank, status, by, when) in enumerate(zip(*columns, at)):
            mine = self._said.setdefault(id_, [])
            mine.append(Said(when, (path.name, row), by, taxon, rank, status))
            if len(mine) > 1 and mine[-2][:2] > mine[-1][:2]:  # another process was late to write it
                mine.sort(key=lambda each: each[:2])
            about.add(id_)
        return about
