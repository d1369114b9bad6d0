"""What specimens are called, from the catalogue in memory, for a session that grows clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.serve.catalogue import Catalogue
from biocosmos.serve.catalogue.view import STATES
from biocosmos.specimens.by_hand import Recorded

Array = npt.NDArray[Any]
NAMED, GUESSED = STATES.index("validated"), STATES.index("predicted")


class OfCatalogue:
    """Names by row of a session: what is validated has one, what is predicted a guess, and what is doubted none.

    ids: (n,) of the session, in its order.
    """

    def __init__(self, catalogue: Catalogue, ids: Sequence[str]) -> None:
        self._catalogue, self._ids = catalogue, list(ids)
        self._stored: Any = None
        self._rows = np.empty(0, np.int32)
        self._seen = -1
        self.names: Array = np.full(len(self._ids), None, object)
        self.guessed: Array | None = None
        self.version = 0
        self.refresh()

    @property
    def rows(self) -> Array:
        """(n,) int32 row of the catalogue of each; -1 where it was removed."""
        return self._rows

    def refresh(self) -> None:
        """Take over what the catalogue knows now."""
        self._catalogue.refresh()
        now = self._catalogue.now
        if now.number == self._seen:
            return
        if now.stored is not self._stored:
            self._stored, self._rows = now.stored, now.stored.rows_of_ids(self._ids)
        there = self._rows >= 0
        rows = np.where(there, self._rows, 0)
        states, called = now.states[rows], now.taxonomy.names[now.nodes[rows]].astype(object)
        self.names = np.full(len(rows), None, object)
        named, guessed = there & (states == NAMED), there & (states == GUESSED)
        self.names[named] = called[named]
        self.names[~there] = ""  # what was removed is not asked about
        self.guessed = np.full(len(rows), None, object)
        self.guessed[guessed] = called[guessed]
        self._seen, self.version = now.number, self.version + 1

    def record(self, ids: Sequence[str], taxon: str, rank: str | None, *, by: str | None, how: str, note: str) -> Recorded:
        """A server names through its annotations, which the catalogue follows."""
        raise NotImplementedError
