"""Whether anything changed on disk, told by a few looks at folders."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from biocosmos.specimens.collection import Collection
from biocosmos.specimens.identifications import FOLDER

SETTLED = 2_000_000_000
"""Nanoseconds after which the time of a folder tells of everything written there; before, two changes may be of one tick."""


@dataclass(frozen=True)
class Marks:
    """When the folders of a collection were last written to, ns; 0 where there is none."""

    versions: int
    facts: int
    answers: int

    @property
    def settled(self) -> bool:
        """Whether a change after these were looked at is sure to give others."""
        return time.time_ns() - max(self.versions, self.facts, self.answers) > SETTLED


@dataclass(frozen=True)
class Exact:
    """What is there: the version of the specimens, when their description was written, and the names of kept answers."""

    version: int
    facts: int
    answers: tuple[str, ...]


def marks_of(collection: Path) -> Marks:
    """The marks of a collection. A file that is written or removed changes the time of its folder."""
    versions = collection / "specimens.lance" / "_versions"
    return Marks(_written(versions), _written(collection / "collection.json"), _written(collection / FOLDER))


def exact_of(collection: Collection) -> Exact:
    """The same for sure, in a few milliseconds."""
    names = sorted(path.name for path in (collection.path / FOLDER).glob("*.parquet"))
    return Exact(collection.dataset.version, _written(collection.path / "collection.json"), tuple(names))


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
