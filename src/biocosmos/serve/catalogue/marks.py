"""Whether anything changed on disk, told by a few looks at folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from biocosmos.specimens.identifications import FOLDER


@dataclass(frozen=True)
class Marks:
    """When the folders of a collection were last written to, ns; 0 where there is none."""

    stored: tuple[int, int]
    answers: int


def marks_of(collection: Path) -> Marks:
    """The marks of a collection. A file that is written or removed changes the time of its folder."""
    return Marks(
        (_written(collection / "specimens.lance" / "_versions"), _written(collection / "collection.json")),
        _written(collection / FOLDER),
    )


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
