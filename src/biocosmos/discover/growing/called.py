"""What specimens are called so far: the names of a collection, and over them those that people gave by hand."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from biocosmos.specimens.by_hand import DUBIOUS, FOLDER, Recorded, current, record

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

Array = npt.NDArray[Any]


class Called(Protocol):
    """Where names come from and go to: a server that holds them in memory has its own.

    names: (n,) object, str or None; guessed: the same of what a model says, None where it says nothing of any; version: grows
    when they change.
    """

    names: Array
    guessed: Array | None
    version: int

    def refresh(self) -> None:
        """Take note of names that were given or taken back since."""

    def record(self, ids: Sequence[str], taxon: str, rank: str | None, *, by: str | None, how: str, note: str) -> Recorded:
        """Give specimens a name."""


class ByHand:
    """Names by hand in the collection's folder; read again only when there is an act more.

    labels: (n,) object, what the specimens are called without them; row_of: id -> row.
    """

    def __init__(self, collection: Collection, labels: Array, row_of: Mapping[str, int]) -> None:
        self._collection, self._labels, self._row_of = collection, labels, row_of
        self._files: frozenset[str] | None = None
        self.guessed: Array | None = None
        self.names, self.version = labels.copy(), 0

    def refresh(self) -> None:
        """Take note of what was said since."""
        files = self._listed()
        if files == self._files:
            return
        said = current(self._collection)
        names = self._labels.copy()
        for id_, taxon, status in zip(*(said[name].to_pylist() for name in ("id", "taxon", "status"))):
            row = self._row_of.get(id_)
            if row is not None and status != DUBIOUS:
                names[row] = taxon
        self._files, self.names, self.version = files, names, self.version + 1

    def record(self, ids: Sequence[str], taxon: str, rank: str | None, *, by: str | None, how: str, note: str) -> Recorded:
        """Give specimens a name, by an act of :mod:`biocosmos.specimens.by_hand`."""
        table = {"id": list(ids), "taxon": [taxon] * len(ids), "rank": [rank] * len(ids)}
        return record(self._collection, table, by=by, how=how, note=note)

    def _listed(self) -> frozenset[str]:
        try:
            with os.scandir(self._collection.path / FOLDER) as found:
                return frozenset(entry.name for entry in found)
        except FileNotFoundError:
            return frozenset()


def free_of(names: Array) -> Array:
    """(n,) bool, without a name."""
    return np.array([name is None for name in names], bool)
