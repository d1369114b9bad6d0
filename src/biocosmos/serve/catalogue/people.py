"""What people said of the specimens, followed as it is written: the ledger of ``specimens.by_hand``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from biocosmos.specimens.by_hand import Ledger
from biocosmos.specimens.by_hand.ledger import STATUSES


class Called(NamedTuple):
    """What the last who named a specimen calls it. taxon: None where somebody doubts without a name."""

    taxon: str | None
    rank: str | None
    status: str


class People:
    """The identifications that people made, and which of each specimen stands. ``ledger`` may be read and added to by others."""

    def __init__(self, collection: Path) -> None:
        self.ledger = Ledger(collection)
        self._acts = 0

    def read_new(self) -> set[str]:
        """Read the acts that were not there before; the ids they are about. Raises BiocosmosError for a damaged file."""
        with self.ledger.lock:
            self.ledger.read_new()
            about, self._acts = self.ledger.since(self._acts), len(self.ledger.acts)
        return set(about)

    def of(self, ids: Iterable[str]) -> list[Called | None]:
        """What each specimen is called by the last who named it, as ``by_hand.current`` has it; None where nothing stands."""
        ledger, shared = self.ledger, dict[tuple[int, int], Called]()
        with ledger.lock:
            entries, called, status, _ = ledger.table()
            subjects = np.array([ledger.subjects.number.get(id_, -1) for id_ in ids], np.int64)
            stands = np.flatnonzero(subjects >= 0)
            stands = stands[entries[subjects[stands]] >= 0]
            found: list[Called | None] = [None] * len(subjects)
            for place, *key in zip(stands.tolist(), called[subjects[stands]].tolist(), status[subjects[stands]].tolist()):
                name, state = key
                if (name, state) not in shared:
                    taxon, rank = ledger.called.words[name]
                    shared[name, state] = Called(taxon, rank, STATUSES[state])
                found[place] = shared[name, state]
        return found

    def ids(self) -> list[str]:
        """Ids of all specimens that anybody said something of."""
        with self.ledger.lock:
            return list(self.ledger.subjects.words)
