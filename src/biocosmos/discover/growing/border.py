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


def grow_to_border(ordered: Array, judge: Judge, *, page: int, tolerance: float) -> Grown:
    """Take the nearest outsiders as long as they belong.

    Pages 1, 2, 4, 8, ... of ``ordered`` (m,) rows are looked at until one has more than ``tolerance`` strangers; then the border
    is found by halving between it and the last good one: 2 log2(border) looks instead of as many as there are pages. Pages
    before the last good one are taken unseen, but for the strangers that were met. What belongs on a bad page is kept too.
    (The search of MorphoCluster's growing step, Schroeder et al. 2020, Sensors 20:3060, section 2.)
    """
    pages = [ordered[start : start + page] for start in range(0, len(ordered), page)]
    seen: dict[int, Array] = {}

    def good(number: int) -> bool:
        if number not in seen:
            seen[number] = np.asarray(judge(pages[number]), bool)
        return bool((~seen[number]).mean() <= tolerance)

    last, step = -1, 1
    bad = len(pages)
    while last + 1 < len(pages):
        number = min(last + step, len(pages) - 1)
        if not good(number):
            bad = number
            break
        last, step = number, step * 2
    while bad - last > 1:
        middle = (last + bad) // 2
        if good(middle):
            last = middle
        else:
            bad = middle
    empty = np.empty(0, np.int64)
    belong = [pages[number][mask] for number, mask in sorted(seen.items())]
    strangers = [pages[number][~mask] for number, mask in sorted(seen.items())]
    unseen = [pages[number] for number in range(last + 1) if number not in seen]
    joined = [np.concatenate([empty, *part]) for part in (belong, unseen, strangers)]
    return Grown(joined[0], joined[1], joined[2], len(seen))
