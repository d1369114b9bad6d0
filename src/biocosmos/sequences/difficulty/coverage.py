"""How much of each box the other boxes of its frame cover, in whole pixels, without a mask of the frame.

A box is cut to whole pixels, both ends included: (width + 1)(height + 1) pixels. What covers it is drawn inside the box itself,
on the grid of the edges that lie in it, so that neither the size of the frame nor that of the box costs anything: four edges make
a grid of nine cells, each covered or not, in a picture of 160 x 120 pixels as in one of 4K.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Order = Literal["release", "nearer"]
PAIRS = 1 << 18
"""Pairs of boxes looked at at once."""
CELLS = 1 << 22
"""Cells of grids drawn at once."""


def covered_shares(frame: Ints, box: Floats, *, order: Order | None = None, itself: bool = False) -> Floats:
    """Share of each box's pixels that other boxes of its frame cover.

    frame: (n,) int64, ascending. box: (n, 4) float64 x, y, width, height, 0-based, not negative. order: only boxes whose lower
    edge is further down the picture cover ("nearer": they stand nearer to a camera that looks down on them), or only those whose
    lower edge is further up, as the public code decides ("release"). itself: a box covers itself too, as in the public code.

    Returns: (n,) float64 from 0 to 1; nan where a box is alone in its frame.
    """
    shares = np.full(len(frame), np.nan)
    whole = box.astype(np.int64)
    own = np.stack([whole[:, 0], whole[:, 1], whole[:, 0] + whole[:, 2], whole[:, 1] + whole[:, 3]], axis=1)
    # the covering box is added up before it is cut to whole pixels, the covered one after: as the public code does
    other = np.stack([box[:, 0], box[:, 1], box[:, 0] + box[:, 2], box[:, 1] + box[:, 3]], axis=1).astype(np.int64)
    left, right, before, behind = own[:, 0].copy(), own[:, 2].copy(), other[:, 0].copy(), other[:, 2].copy()
    for rows, i, j in _pairs(frame):
        # most pairs are told apart by where they stand across the picture
        near = (right[i] >= before[j]) & (left[i] <= behind[j])
        if not itself:
            near &= i != j
        i, j = i[near], j[near]
        if order == "release":
            kept = other[j, 3] < own[i, 3]
        elif order == "nearer":
            kept = other[j, 3] > own[i, 3]
        else:
            kept = np.ones(len(i), bool)
        low, high = np.maximum(own[i, :2], other[j, :2]), np.minimum(own[i, 2:], other[j, 2:])
        kept &= (high >= low).all(axis=1)
        i, low, high = i[kept], low[kept] - own[i[kept], :2], high[kept] - own[i[kept], :2] + 1
        shares[rows] = 0.0
        shares[np.unique(i)] = _areas(i, np.concatenate([low, high], axis=1))
    size = (whole[:, 2] + 1) * (whole[:, 3] + 1)
    found: Floats = shares / size
    return found


def _pairs(frame: Ints) -> Iterator[tuple[Ints, Ints, Ints]]:
    """(rows, i, j): rows that share their frame, in pieces, and all pairs of a row with a row of its frame, itself too."""
    _, first, count = np.unique(frame, return_index=True, return_counts=True)
    partners = np.repeat(count, count)
    starts = np.repeat(first, count)
    rows = np.flatnonzero(partners > 1)
    if not len(rows):
        return
    piece = np.cumsum(partners[rows]) // PAIRS
    for part in np.split(rows, np.flatnonzero(np.diff(piece)) + 1):
        number = partners[part]
        i = np.repeat(part, number)
        j = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number) + starts[i]
        yield part, i, j


def _areas(owner: Ints, inside: Ints) -> Floats:
    """Pixels covered together by the rectangles of each owner.

    owner: (m,) int64 ascending. inside: (m, 4) int64 left, top, right, bottom, the last two excluded. Returns one for each owner.
    """
    _, first, count = np.unique(owner, return_index=True, return_counts=True)
    areas = np.zeros(len(first))
    sides = inside[:, 2:] - inside[:, :2]
    alone = count == 1
    areas[alone] = sides[first[alone]].prod(axis=1)
    for padded, who in _by_size(count):
        at = first[who, None] + np.minimum(
            np.arange(padded), count[who, None] - 1
        )  # the last stands for those that are not there
        step = max(1, CELLS // (2 * padded) ** 2)
        for start in range(0, len(who), step):
            part = slice(start, start + step)
            areas[who[part]] = _drawn(inside[at[part]])
    return areas


def _by_size(count: Ints) -> Iterator[tuple[int, Ints]]:
    """(most rectangles, owners) of those with two or more, so that little is filled up."""
    low = 2
    while (count >= low).any():
        high = max(low, low * 5 // 4)
        who = np.flatnonzero((count >= low) & (count <= high))
        if len(who):
            yield int(count[who].max()), who
        low = high + 1


def _drawn(rectangles: Ints) -> Floats:
    """Area of the union of k rectangles, for m of them at once: (m, k, 4) int64 -> (m,) float64."""
    columns = np.sort(rectangles[:, :, 0::2].reshape(len(rectangles), -1), axis=1)
    lines = np.sort(rectangles[:, :, 1::2].reshape(len(rectangles), -1), axis=1)
    across = (rectangles[:, :, :1] <= columns[:, None, :-1]) & (rectangles[:, :, 2:3] > columns[:, None, :-1])
    down = (rectangles[:, :, 1:2] <= lines[:, None, :-1]) & (rectangles[:, :, 3:] > lines[:, None, :-1])
    covered = np.matmul(down.transpose(0, 2, 1).astype(np.float32), across.astype(np.float32)) > 0
    wide, high = np.diff(columns, axis=1).astype(np.float64), np.diff(lines, axis=1).astype(np.float64)
    found: Floats = np.matmul(np.matmul(high[:, None, :], covered.astype(np.float64)), wide[:, :, None])[:, 0, 0]
    return found
