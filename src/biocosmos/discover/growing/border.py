"""Where strangers begin: the end of what belongs in an ordered list, found with few looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Judge = Callable[[Array], Array]
"""Shown a page (m,) of rows, returns (m,) bool: which belong."""


@dataclass(frozen=True)
class Grown:
    """belong: rows that were looked at and belong; unseen: rows between good pages, taken without a look; strangers: rows that
    were looked at and do not belong; pages: how many were looked at."""

    belong: Array
    unseen: Array
    strangers: Array
    pages: int


class Border:
    """The search for the border, one page at a time: look at :attr:`page`, :meth:`say` what belongs, until it is None.

    Pages 1, 2, 4, 8, ... of ``ordered`` (m,) rows are looked at until one has more than ``tolerance`` strangers; then the border
    is found by halving between it and the last good one: 2 log2(border) looks instead of as many as there are pages. Pages
    before the last good one are taken unseen, but for the strangers that were met. What belongs on a bad page is kept too.
    (The search of MorphoCluster's growing step, Schroeder et al. 2020, Sensors 20:3060, section 2.)
    """

    def __init__(self, ordered: Array, *, page: int, tolerance: float) -> None:
        self._pages = [ordered[start : start + page] for start in range(0, len(ordered), page)]
        self._seen: dict[int, Array] = {}
        self._tolerance = tolerance
        self._last, self._step, self._bad = -1, 1, len(self._pages)
        self._doubling = True
        self.number = self._next()

    @property
    def page(self) -> Array | None:
        """The rows to be looked at next; None when the border is found."""
        return None if self.number is None else self._pages[self.number]

    def say(self, belong: Array) -> None:
        """belong: (m,) bool, of the rows of :attr:`page`."""
        assert self.number is not None
        self._seen[self.number] = np.asarray(belong, bool)
        good = bool((~self._seen[self.number]).mean() <= self._tolerance)
        if good:
            self._last = self.number
            self._step *= 2
        else:
            self._bad, self._doubling = self.number, False
        self.number = self._next()

    def unseen(self) -> Array:
        """Rows of pages before the last good one that nobody looked at."""
        empty = np.empty(0, np.int64)
        return np.concatenate([empty, *(self._pages[n] for n in range(self._last + 1) if n not in self._seen)])

    def found(self) -> Grown:
        """What was learnt so far."""
        empty = np.empty(0, np.int64)
        seen = sorted(self._seen.items())
        belong = np.concatenate([empty, *(self._pages[number][mask] for number, mask in seen)])
        strangers = np.concatenate([empty, *(self._pages[number][~mask] for number, mask in seen)])
        return Grown(belong, self.unseen(), strangers, len(seen))

    def _next(self) -> int | None:
        if self._doubling and self._last + 1 < len(self._pages):
            return min(self._last + self._step, len(self._pages) - 1)
        return (self._last + self._bad) // 2 if self._bad - self._last > 1 else None


def grow_to_border(ordered: Array, judge: Judge, *, page: int, tolerance: float) -> Grown:
    """Take the nearest outsiders as long as they belong: :class:`Border`, with somebody who looks at each page."""
    border = Border(ordered, page=page, tolerance=tolerance)
    while (rows := border.page) is not None:
        border.say(judge(rows))
    return border.found()
