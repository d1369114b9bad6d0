"""What the history says of one specimen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from biocosmos.specimens.care.entry import CELLS, NEW, OLD, Entry
from biocosmos.specimens.care.log import Log

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

ROWS = 65_536


@dataclass(frozen=True)
class Change:
    """A change of the history that touched a specimen. cells: column -> (value before, value after), those that differ."""

    entry: Entry
    cells: dict[str, tuple[Any, Any]]


def changes_of(collection: Collection, id_: str, columns: Sequence[str]) -> list[Change]:
    """The changes of some columns of one specimen, oldest first. Raises BiocosmosError for a damaged history."""
    log, found = Log(collection.path), []
    for entry in log.entries():
        cells: dict[str, tuple[Any, Any]] = {}
        for piece in entry.pieces:
            wanted = [name for name in columns if name in piece.columns] if piece.kind == CELLS else []
            if wanted:
                read = ["id", *(mark + name for name in wanted for mark in (OLD, NEW))]
                for batch in log.batches(piece, read, rows=ROWS):
                    for row in batch.filter(pc.equal(batch.column("id"), id_)).to_pylist():
                        cells |= {name: (row[OLD + name], row[NEW + name]) for name in wanted}
        cells = {name: (old, new) for name, (old, new) in cells.items() if old != new}
        if cells:
            found.append(Change(entry, cells))
    return found
