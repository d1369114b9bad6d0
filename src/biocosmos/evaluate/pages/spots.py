"""Spots of a map: few with their names, or a million as arrays, gathered to as many circles as a page can hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from biocosmos.evaluate.pages.svg import Scale, number

CELL, WIDER = 9.0, 1.3
"""Pixels of a square whose spots of one series become one, and by how much it grows where there are too many."""
MOST_CIRCLES, MANY = 1500, 400
"""Circles that a map has, and from how many on those of several series become one where they lie together."""
LOOKED_AT, MOST_SAID = 200, 3
"""Spots of a circle whose names are looked at, and names that are said of it."""
EXACT = 4
"""Decimals of a degree (11 m) up to which places of a table are told apart."""
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Spot:
    """A place in degrees (WGS84), how many are there, its series, and what it is called."""

    latitude: float
    longitude: float
    count: float = 1
    series: int = 0
    name: str = ""


@dataclass(frozen=True)
class Spots:
    """The same as arrays: latitude, longitude, count (n,) float64, series (n,) int64, and n names or none."""

    latitude: Floats
    longitude: Floats
    count: Floats
    series: Ints
    names: Sequence[str] = ()

    @classmethod
    def of(cls, spots: Sequence[Spot]) -> Spots:
        """From single ones."""
        latitude, longitude, count = (
            np.array([getattr(spot, name) for spot in spots], np.float64) for name in ("latitude", "longitude", "count")
        )
        names = [spot.name for spot in spots]
        return cls(latitude, longitude, count, np.array([spot.series for spot in spots], np.int64), names if any(names) else ())

    @classmethod
    def at(cls, latitude: npt.ArrayLike, longitude: npt.ArrayLike, series: npt.ArrayLike | int = 0) -> Spots:
        """One specimen at each of (n,) places."""
        north, east = np.asarray(latitude, np.float64), np.asarray(longitude, np.float64)
        which = np.broadcast_to(np.asarray(series, np.int64), north.shape)
        return cls(north, east, np.ones(len(north)), which)

    def __len__(self) -> int:
        return len(self.latitude)

    def take(self, rows: Ints) -> Spots:
        """Some of them."""
        names = [self.names[row] for row in rows] if len(self.names) else ()
        return Spots(self.latitude[rows], self.longitude[rows], self.count[rows], self.series[rows], names)

    def placed(self) -> Spots:
        """Those that have a place."""
        known = np.isfinite(self.latitude) & np.isfinite(self.longitude)
        return self if known.all() else self.take(np.flatnonzero(known))


@dataclass(frozen=True)
class Circle:
    """Spots that became one: x, y in pixels, how many, the series of most of them, and what stands on hover."""

    x: float
    y: float
    count: float
    series: int
    words: str


def circles_of(spots: Spots, x: Scale, y: Scale, west: float, names: Sequence[str], of: str) -> tuple[list[Circle], bool]:
    """At most :data:`MOST_CIRCLES`, each in the middle of its spots, the largest first so that small ones lie above; and whether
    series share circles, which they do where there are many.

    names: of the series; of: what is counted.
    """
    if not len(spots):
        return [], False
    across, down = _pixels(x, west + (spots.longitude - west) % 360), _pixels(y, spots.latitude)
    cell, mixed = CELL, False
    while True:
        column, row = (np.floor((values - values.min()) / cell).astype(np.int64) for values in (across, down))
        tall = int(row.max()) + 1
        square, squares = column * tall + row, (int(column.max()) + 1) * tall
        first, group = _groups(square if mixed else spots.series * squares + square)
        if len(first) > MANY and not mixed and np.ptp(spots.series):
            mixed = True
        elif len(first) <= MOST_CIRCLES or cell > 200:
            break
        else:
            cell *= WIDER
    return _summed(spots, across, down, group, first, names, of), mixed


def _summed(spots: Spots, across: Floats, down: Floats, group: Ints, first: Ints, names: Sequence[str], of: str) -> list[Circle]:
    groups, kinds = len(first), int(spots.series.max()) + 1
    weight = np.maximum(spots.count, 1e-9)
    of_group = np.bincount(group, weight)
    middles = [np.bincount(group, weight * values) / of_group for values in (across, down)]
    each = np.bincount(group * kinds + spots.series, spots.count, groups * kinds).reshape(groups, kinds)
    said, found = _said(spots, group, groups), []
    for i, row in enumerate(first):
        where = said[i] or f"{degrees(spots.latitude[row], 'NS', 3)}, {degrees(spots.longitude[row], 'EW', 3)}"
        there = np.flatnonzero(each[i])[np.argsort(-each[i][each[i] != 0], kind="stable")]
        series = int(there[0]) if len(there) else int(spots.series[row])
        total = float(each[i].sum())
        words = f"{where}{_group(names, series)}: {number(total)} {of}"
        if len(there) > 1:
            parts = [f"{number(float(each[i, k]))} {names[k] if k < len(names) else k + 1}" for k in there[:MOST_SAID]]
            words = f"{where}: {number(total)} {of}, {', '.join(parts)}" + (" and others" if len(there) > MOST_SAID else "")
        found.append(Circle(float(middles[0][i]), float(middles[1][i]), total, series, words))
    return sorted(found, key=lambda circle: -circle.count)


def _group(names: Sequence[str], series: int) -> str:
    return f", {names[series]}" if len(names) > 1 and series < len(names) else ""


def gathered(spots: Spots, most: int) -> tuple[list[Spot], int]:
    """One spot for each name, series and place (to 11 m), the ``most`` with most, and how many there are."""
    there = spots.placed()
    if not len(there):
        return [], 0
    codes = {name: i for i, name in enumerate(dict.fromkeys(there.names))}
    named = np.array([codes[name] for name in there.names], np.int64) if codes else np.zeros(len(there), np.int64)
    places = [np.round(values * 10**EXACT).astype(np.int64) for values in (there.latitude, there.longitude)]
    place = (places[0] + 90 * 10**EXACT) * 1000 * 10**EXACT + places[1] % (360 * 10**EXACT)
    kind = named * (int(there.series.max()) + 1) + there.series
    order = np.lexsort((place, kind)) if kind.any() else np.argsort(place, kind="stable")
    changes = (np.diff(place[order]) != 0) | (np.diff(kind[order]) != 0)
    starts = np.flatnonzero(np.append(True, changes))
    counts = np.add.reduceat(there.count[order], starts)
    rows = order[starts]
    shown = np.lexsort((rows, -counts))[:most]
    spot = [
        Spot(
            float(there.latitude[row]),
            float(there.longitude[row]),
            float(count),
            int(there.series[row]),
            there.names[row] if codes else "",
        )
        for row, count in zip(rows[shown], counts[shown])
    ]
    return spot, len(starts)


def degrees(value: float, letters: str, digits: int = 1) -> str:
    """-33.4 -> "33.4° S"; 190 -> "170° W"."""
    value = value if letters == "NS" else (value + 180) % 360 - 180
    shown = f"{abs(round(value, digits)):.{digits}f}".rstrip("0").rstrip(".") if digits else f"{abs(value):.0f}"
    return f"{shown}°" + (f" {letters[0] if value > 0 else letters[1]}" if float(shown) % 180 else "")


def _groups(keys: Ints) -> tuple[Ints, Ints]:
    """(first row of each key that is there, (n,) which of them each row has); keys: (n,) from 0, not much more than there are."""
    there = np.flatnonzero(np.bincount(keys))
    number, first = np.zeros(int(keys.max()) + 1, np.int64), np.zeros(int(keys.max()) + 1, np.int64)
    number[there] = np.arange(len(there))
    first[keys[::-1]] = np.arange(len(keys))[::-1]
    return first[there], number[keys]


def _pixels(scale: Scale, values: Floats) -> Floats:
    share = np.clip((values - scale.low) / (scale.high - scale.low), 0, 1)
    return np.asarray(scale.start + share * (scale.stop - scale.start))


def _said(spots: Spots, group: Ints, groups: int) -> list[str]:
    """The first names of each group."""
    if not len(spots.names):
        return [""] * groups
    order = np.argsort(group, kind="stable")
    ends = np.searchsorted(group[order], np.arange(groups + 1))
    found = []
    for start, stop in pairwise(ends):
        rows = order[start : min(stop, start + LOOKED_AT)]
        names = list(dict.fromkeys(spots.names[row] for row in rows if spots.names[row]))
        more = len(names) - MOST_SAID
        found.append(", ".join(names[:MOST_SAID]) + (f" and {more:,} more" if more > 0 else ""))
    return found


__all__ = ["Circle", "Floats", "Spot", "Spots", "circles_of", "degrees", "gathered"]
