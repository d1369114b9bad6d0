"""Which barcodes are the same, letter for letter, under several names: 16 bytes a barcode, whatever their number."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

MOST_GROUPS = 1000
"""Groups that are told one by one."""
MOST_NAMES = 10


@dataclass(frozen=True)
class Group:
    """One barcode under several names: name -> how many rows have it, most first."""

    names: dict[str, int]

    def told(self) -> str:
        """The group in words."""
        shown = [f"{name!r} ({count:,})" for name, count in list(self.names.items())[:MOST_NAMES]]
        more = f" and {len(self.names) - MOST_NAMES:,} more" if len(self.names) > MOST_NAMES else ""
        return f"identical barcodes stand under {len(self.names)} names: {', '.join(shown)}{more}"


class SameBarcodes:
    """Takes in barcodes with their names, and says which are the same under several.

    Two different barcodes are taken for the same by their 64-bit hashes once in about a million times among 5 million.
    """

    def __init__(self) -> None:
        self._hashes, self._names = array("q"), array("q")
        self._codes: dict[str, int] = {}

    def add(self, pairs: Iterable[tuple[str | None, str | None]]) -> None:
        """Take in (barcode, name); those without either say nothing."""
        codes = self._codes
        for barcode, name in pairs:
            if barcode is not None and name is not None:
                self._hashes.append(hash(barcode))
                self._names.append(codes.setdefault(name, len(codes)))

    def groups(self) -> list[Group]:
        """Barcodes under more than one name, those with the most rows first."""
        if not len(self._hashes):
            return []
        hashes, codes = np.frombuffer(self._hashes, np.int64), np.frombuffer(self._names, np.int64)
        order = np.lexsort((codes, hashes))
        hashes, codes = hashes[order], codes[order]
        first = np.flatnonzero(np.append(True, (hashes[1:] != hashes[:-1]) | (codes[1:] != codes[:-1])))  # of each pair
        counts, pairs = np.diff(np.append(first, len(hashes))), hashes[first]
        starts = np.flatnonzero(np.append(True, pairs[1:] != pairs[:-1]))
        sizes = np.diff(np.append(starts, len(pairs)))
        names = list(self._codes)
        found = []
        for start, size in zip(starts[sizes > 1], sizes[sizes > 1]):
            rows = [(int(counts[i]), names[int(codes[first[i]])]) for i in range(start, start + size)]
            found.append(Group({name: count for count, name in sorted(rows, key=lambda row: (-row[0], row[1]))}))
        return sorted(found, key=lambda group: (-sum(group.names.values()), *group.names))


__all__ = ["MOST_GROUPS", "Group", "SameBarcodes"]
