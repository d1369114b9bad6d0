"""The land of the world for maps in a page: the file that the browser's map is drawn with too."""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt

FILE = "serve/static/vendor/coastline/land-50m.bin"
"""Natural Earth's land at 1:50 million (public domain) by world-atlas (ISC licence); its NOTICE lies beside it."""
Floats = npt.NDArray[np.float64]


@cache
def rings() -> tuple[Floats, ...]:
    """Each ring of the land as (k, 2) float64 longitude and latitude in degrees, its first point not said twice; land is what
    lies within an odd number of them. The layout is told in tools/make_coastline.py."""
    data = resources.files("biocosmos").joinpath(FILE).read_bytes()
    count = int(np.frombuffer(data, "<u4", 1)[0])
    lengths = np.frombuffer(data, "<u4", count, 4)
    units = np.frombuffer(data, "<u2", offset=4 + 4 * count).reshape(-1, 2).astype(np.float64)
    degrees = units / 65535 * (360, 180) - (180, 90)
    return tuple(np.split(degrees, np.cumsum(lengths)[:-1]))


@cache
def _boxes() -> Floats:
    """(rings, 4) float64 west, south, east, north of each ring."""
    return np.array([[*ring.min(axis=0), *ring.max(axis=0)] for ring in rings()])


def land_in(west: float, south: float, east: float, north: float, finest: float) -> list[Floats]:
    """Rings cut to a window in degrees, whose ``east`` may be above 180; points nearer than ``finest`` degrees to the one before
    are left out."""
    found = []
    boxes = _boxes()
    for turn in (-360.0, 0.0, 360.0):
        beside = (boxes[:, 2] + turn < west) | (boxes[:, 0] + turn > east) | (boxes[:, 3] < south) | (boxes[:, 1] > north)
        for i in np.flatnonzero(~beside):
            ring = _coarse(rings()[i], finest) + np.array([turn, 0.0])
            for axis, at, side in ((0, west, 1), (0, east, -1), (1, south, 1), (1, north, -1)):
                ring = _cut(ring, axis, at, side)
            if len(ring) >= 3:
                found.append(ring)
    return found


def _coarse(ring: Floats, finest: float) -> Floats:
    """Points that fall into another square of ``finest`` degrees than the one before."""
    squares = np.floor(ring / finest)
    moved = (squares != np.roll(squares, 1, axis=0)).any(axis=1)
    return ring[moved] if moved.sum() >= 3 else ring[:0]


def _cut(ring: Floats, axis: int, at: float, side: int) -> Floats:
    """The part of a ring where side * (coordinate - at) >= 0 (Sutherland & Hodgman 1974)."""
    if not len(ring):
        return ring
    here = side * (ring[:, axis] - at)
    if (here >= 0).all():
        return ring
    there, after = np.roll(here, -1), np.roll(ring, -1, axis=0)
    crosses = (here < 0) != (there < 0)
    share = np.divide(here, here - there, out=np.zeros_like(here), where=crosses)
    edge = ring + (after - ring) * share[:, None]
    edge[:, axis] = at
    both = np.stack([ring, edge], axis=1)
    kept: Floats = both[np.stack([here >= 0, crosses], axis=1)]
    return kept
