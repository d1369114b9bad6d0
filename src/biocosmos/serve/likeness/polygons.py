"""Lassos: polygons on the plane of a projection, in whole units of 0..65535, and which points lie within."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError

UNITS, MARGIN = 65535, 64
"""Coordinates on the plane are 0..UNITS, those of points MARGIN..UNITS - MARGIN: a lasso around all of them fits in."""
MOST_DRAWN = 20_000
"""Corners of a lasso as a hand draws it."""
MOST_KEPT = 160
"""Corners of a lasso in an address, which some programs cut at 2,000 to 4,000 letters."""

FAR = 16 * UNITS

Polygon = tuple[tuple[int, int], ...]
Array = npt.NDArray[Any]


def polygon_of(points: Iterable[Any]) -> Polygon:
    """A lasso as it was drawn, in whole units, with at most :data:`MOST_KEPT` corners and what the edge of the plane cuts off.

    points: pairs of numbers in units of the plane; outside of it they are allowed. Raises BiocosmosError for what is no lasso:
    fewer than three corners, more than :data:`MOST_DRAWN`, or a corner that is not two finite numbers.
    """
    corners: list[tuple[int, int]] = []
    for number, point in enumerate(points, 1):
        if number > MOST_DRAWN:
            raise BiocosmosError(f"a lasso has at most {MOST_DRAWN:,} corners: draw it again with fewer")
        corner = _corner(point, number)
        if not corners or corners[-1] != corner:
            corners.append(corner)
    while len(corners) > 1 and corners[0] == corners[-1]:
        corners.pop()
    if len(corners) < 3:
        raise BiocosmosError(
            f"a lasso needs at least three different corners, and this has {len(corners)}: draw around the points"
        )
    kept = _on_plane(_fewer(corners))
    if len(kept) < 3:
        raise BiocosmosError("the lasso lies beside the map: draw around the points")
    return tuple(kept)


def _corner(point: Any, number: int) -> tuple[int, int]:
    try:
        x, y = (float(value) for value in point)
    except (TypeError, ValueError, OverflowError) as error:
        raise BiocosmosError(f"corner {number} of the lasso is not a pair of numbers: give x and y") from error
    if not (math.isfinite(x) and math.isfinite(y)):
        raise BiocosmosError(f"corner {number} of the lasso is not a pair of finite numbers: give x and y")
    return round(min(max(x, -FAR), FAR)), round(min(max(y, -FAR), FAR))  # products of them must stay whole numbers of 64 bits


def _on_plane(corners: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """A polygon cut at the edges of the plane (Sutherland & Hodgman 1974)."""
    for axis in (0, 1):
        for side, at in ((1, 0), (-1, UNITS)):
            cut: list[tuple[int, int]] = []
            for here, there in zip(corners, (*corners[1:], *corners[:1])):
                a, b = side * (here[axis] - at), side * (there[axis] - at)
                if a >= 0:
                    cut.append(here)
                if (a < 0) != (b < 0):
                    other = round(here[1 - axis] + (there[1 - axis] - here[1 - axis]) * a / (a - b))
                    cut.append((at, other) if axis == 0 else (other, at))
            corners = [corner for place, corner in enumerate(cut) if corner != cut[place - 1] or len(cut) == 1]
    return corners


def _fewer(corners: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The corners that matter most: those whose triangle with their neighbours is small go first (Visvalingam & Whyatt 1993)."""
    n = len(corners)
    if n <= MOST_KEPT:
        return corners
    before, after = [(i - 1) % n for i in range(n)], [(i + 1) % n for i in range(n)]

    def area(i: int) -> int:
        (ax, ay), (bx, by), (cx, cy) = corners[before[i]], corners[i], corners[after[i]]
        return abs((bx - ax) * (cy - ay) - (cx - ax) * (by - ay))

    areas = [area(i) for i in range(n)]
    heap = [(areas[i], i) for i in range(n)]
    heapq.heapify(heap)
    gone = [False] * n
    left = n
    while left > MOST_KEPT:
        size, i = heapq.heappop(heap)
        if gone[i] or size != areas[i]:
            continue
        gone[i] = True
        left -= 1
        a, c = before[i], after[i]
        after[a], before[c] = c, a
        for j in (a, c):  # never smaller than what went before: so a fine spike goes as a whole
            areas[j] = max(area(j), size)
            heapq.heappush(heap, (areas[j], j))
    return [corner for corner, is_gone in zip(corners, gone) if not is_gone]


class Within:
    """Points of a plane, sorted once, so that many polygons can be asked about them.

    An edge of a polygon looks only at the points between its ends' heights: a lasso around a million points takes some
    hundredths of a second.
    """

    def __init__(self, x: npt.NDArray[np.uint16], y: npt.NDArray[np.uint16]) -> None:
        self._order = np.argsort(y, kind="stable")
        self._x = x[self._order].astype(np.int64)
        self._y = y[self._order].astype(np.int64)

    def __call__(self, polygon: Polygon) -> npt.NDArray[np.bool_]:
        """(n,) whether each point lies within, by the even-odd rule: where a lasso crosses itself, twice around is outside.

        A point on an edge at the left or below is inside, at the right or above outside.
        """
        toggled = np.zeros(len(self._x), np.bool_)
        for (x0, y0), (x1, y1) in zip(polygon, (*polygon[1:], *polygon[:1])):
            if y0 == y1:
                continue
            if y0 > y1:
                x0, y0, x1, y1 = x1, y1, x0, y0
            start, end = np.searchsorted(self._y, (y0, y1))
            if start == end:
                continue
            x, y = self._x[start:end], self._y[start:end]
            toggled[start:end] ^= (x - x0) * (y1 - y0) < (y - y0) * (x1 - x0)
        inside = np.empty(len(toggled), np.bool_)
        inside[self._order] = toggled
        return inside
