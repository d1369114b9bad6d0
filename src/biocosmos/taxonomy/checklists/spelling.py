"""Names of a checklist that are spelt like one it lacks. They are offered, never taken."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pyarrow as pa

from biocosmos.taxonomy.checklists.checklist import Checklist, Int32
from biocosmos.taxonomy.checklists.hashing import UInt64, hashes_without_one

OFFERED = 5
FAR = 2  # edits between a word and one that is offered for it
SHORT = 5  # letters of a word below which one edit is the most


def edits(one: str, other: str, most: int) -> int:
    """Letters to put in, take out, change or swap with their neighbour to make one word the other; most + 1 if more.

    Optimal string alignment, row by row, given up once a row is past ``most``.
    """
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        two_before, before, row = before, row, [i] + [0] * len(other)
        for j, b in enumerate(other, 1):
            cost = before[j - 1] + (a != b)
            if cost > before[j] + 1:
                cost = before[j] + 1
            if cost > row[j - 1] + 1:
                cost = row[j - 1] + 1
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b and cost > two_before[j - 2] + 1:
                cost = two_before[j - 2] + 1
            row[j] = cost
        if min(row) > most:
            return most + 1
    return row[-1]


class Speller:
    """Close spellings in one checklist: one edit away, or two if both words lose the same letter but one."""

    def __init__(self, checklist: Checklist) -> None:
        self.checklist = checklist
        self._close: dict[str, list[int]] = {}

    def in_genus(self, genus: int, wanted: str) -> list[int]:
        """Keys of a genus (its place among ``genera``) whose rest is spelt like ``wanted``, closest first."""
        names, start = self.checklist.genera
        skip, low, high = len(names[genus].as_py()) + 1, int(start[genus]), int(start[genus + 1])
        rests = [key[skip:] for key in self.checklist.keys.slice(low, high - low).to_pylist()]
        shorter, owners = hashes_without_one(rests)
        places = np.unique(owners[np.isin(shorter, hashes_without_one([wanted])[0])])
        return [low + place for place in _closest(wanted, {int(place): rests[place] for place in places})]

    def genera(self, wanted: str) -> list[int]:
        """Genera spelt like ``wanted``, by their place among ``genera``, closest first."""
        if wanted not in self._close:
            names, _ = self.checklist.genera
            shorter, owners = self._shorter
            asked = np.unique(hashes_without_one([wanted])[0])
            low, high = np.searchsorted(shorter, asked, "left"), np.searchsorted(shorter, asked, "right")
            places = {int(place) for a, b in zip(low, high) for place in owners[a:b]}
            self._close[wanted] = _closest(wanted, {place: names[place].as_py() for place in places})
        return self._close[wanted]

    def species(self, wanted: str, rest: str) -> list[int]:
        """Keys of genera spelt like ``wanted`` that have this rest; the genera themselves where it is blank."""
        names, _ = self.checklist.genera
        texts = [f"{names[place].as_py()} {rest}".rstrip() for place in self.genera(wanted)]
        return [key for key in self.checklist.find(pa.array(texts, pa.string())).tolist() if key >= 0]

    @cached_property
    def _shorter(self) -> tuple[UInt64, Int32]:
        """(hashes of the genera and of them with one letter left out, sorted; the genus of each). Two words that an edit or a
        swap tells apart share one of these; what only shares a hash is sorted out by :func:`edits`."""
        found, owners = hashes_without_one(self.checklist.genera[0].to_pylist())
        order = np.argsort(found, kind="stable")
        return found[order], owners[order]


def _closest(wanted: str, words: dict[int, str]) -> list[int]:
    most = 1 if len(wanted) < SHORT else FAR
    found = sorted((edits(wanted, word, most), place) for place, word in words.items())
    return [place for far, place in found if far <= most][:OFFERED]
