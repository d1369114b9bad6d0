"""Arrays that grow, and words by number: what a ledger is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Array = npt.NDArray[Any]


@dataclass
class Words:
    """Words and their numbers, in the order in which they came."""

    words: list[Any] = field(default_factory=list)
    number: dict[Any, int] = field(default_factory=dict)

    def numbers(self, words: Sequence[Any]) -> Array:
        """(n,) int32, a new one for each word that was not there."""
        found = np.empty(len(words), np.int32)
        for place, word in enumerate(words):
            known = self.number.get(word)
            if known is None:
                known = self.number[word] = len(self.words)
                self.words.append(word)
            found[place] = known
        return found


class Column:
    """An array that grows at its end."""

    def __init__(self, kind: Any, fill: int = 0) -> None:
        self._fill, self._held, self._count = fill, np.full(1024, fill, kind), 0

    def __len__(self) -> int:
        return self._count

    @property
    def all(self) -> Array:
        """A view of what is there."""
        return self._held[: self._count]

    def extend(self, values: Any, count: int | None = None) -> None:
        """Append an array, or ``count`` times the same."""
        more = len(values) if count is None else count
        if self._count + more > len(self._held):
            grown = np.full(max(self._count + more, 2 * len(self._held)), self._fill, self._held.dtype)
            grown[: self._count] = self.all
            self._held = grown
        self._held[self._count : self._count + more] = values
        self._count += more


def marked(numbers: Array, count: int) -> Array:
    """Which of the numbers 0 to ``count`` - 1 occur, ascending."""
    there = np.zeros(count, bool)
    there[numbers] = True
    return np.flatnonzero(there)


def coded(column: pa.ChunkedArray) -> tuple[Array, list[Any]]:
    """((n,) numbers, words), null the last of the words."""
    whole = column.unify_dictionaries().combine_chunks()
    whole = whole if isinstance(whole, pa.DictionaryArray) else whole.chunk(0)
    words = whole.dictionary.to_pylist()
    codes = whole.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
    return np.asarray(codes, np.int64), [*words, None]


def distinct(column: pa.ChunkedArray) -> tuple[list[Any], Array]:
    coded = column.combine_chunks().dictionary_encode()
    return coded.dictionary.to_pylist(), np.asarray(coded.indices.to_numpy(zero_copy_only=False), np.int64)
