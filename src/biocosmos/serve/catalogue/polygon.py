"""Which points lie within a polygon that a person drew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_CHUNK = 1 << 16


def inside(x: npt.ArrayLike, y: npt.ArrayLike, corners: Sequence[tuple[float, float]]) -> npt.NDArray[np.bool_]:
    """(n,) whether each point lies within the polygon, by the even-odd rule; a point on an edge may count either way.

    x, y: (n,) of any number type; NaN lies nowhere. corners: three or more, closed by itself. Only points within the polygon's
    box are looked at edge by edge.
    """
    x, y = np.asarray(x), np.asarray(y)
    xs, ys = (np.asarray(each, np.float64) for each in zip(*corners))
    found = np.zeros(len(x), bool)
    near = np.flatnonzero((x >= xs.min()) & (x <= xs.max()) & (y >= ys.min()) & (y <= ys.max()))
    for start in range(0, len(near), _CHUNK):  # the work stays in the cache
        rows = near[start : start + _CHUNK]
        found[rows] = _even_odd(x[rows].astype(np.float64), y[rows].astype(np.float64), xs, ys)
    return found


def _even_odd(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], xs: npt.NDArray[np.float64], ys: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    odd = np.zeros(len(x), bool)
    for x1, y1, x2, y2 in zip(xs, ys, np.roll(xs, -1), np.roll(ys, -1)):
        if y1 == y2:
            continue
        crossed = (y1 > y) != (y2 > y)
        odd ^= crossed & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return odd
