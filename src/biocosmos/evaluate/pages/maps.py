"""A map as inline SVG: specimens or samples as circles on the land of the world, the larger the more of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from biocosmos.evaluate.pages.blocks import Grid
from biocosmos.evaluate.pages.coastline import land_in
from biocosmos.evaluate.pages.svg import SERIES, Drawing, Scale, legend, legend_room, number

WIDTH, TALLEST, LOWEST = 720.0, 560.0, 220.0
LEFT = 4.0
CELL = 9.0
"""Pixels of a square whose spots of one series become one."""
SMALL, LARGE = 3.5, 15.0
"""Pixels of the radius of one specimen, and of very many."""
MARGIN, LEAST = 0.12, 0.05
"""Share of the window that stays free around the spots, and how many degrees a window has at least."""
RULES = (60, 30, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
AS_TABLE = "The map as a table"
MOST_ROWS = 200


@dataclass(frozen=True)
class Spot:
    """A place in degrees (WGS84), how many are there, its series, and what it is called."""

    latitude: float
    longitude: float
    count: float = 1
    series: int = 0
    name: str = ""


def map_of(title: str, spots: Sequence[Spot], *, names: Sequence[str] = (), of: str = "specimens") -> str:
    """Spots on the coastline, in the smallest window that holds them, across the antimeridian where that is smaller.

    Equirectangular, a degree of longitude as wide as it is at the middle latitude. Spots of one series that fall together become
    one circle, its area by the logarithm of the count. names: of the series; of: what is counted. Spots without a place are left
    out and said below the map.
    """
    there = [spot for spot in spots if math.isfinite(spot.latitude) and math.isfinite(spot.longitude)]
    view = _Window.around(there)
    named = [(f"c{i % SERIES + 1}", name) for i, name in enumerate(names)] if len(names) > 1 else []
    top = 22.0 + legend_room(LEFT, WIDTH, named) if named else 2.0
    without = len(spots) - len(there)
    described = f"{number(sum(spot.count for spot in there))} {of} at {len(there):,} places, {view.words()}."
    drawing = Drawing(WIDTH, top + view.height + (42 if without else 22), title, described)
    legend(drawing, LEFT, 12, named)
    x = Scale(view.west, view.east, 1, WIDTH - 1)
    y = Scale(view.north, view.south, top, top + view.height)
    drawing.rect(1, top, WIDTH - 2, view.height, "sea")
    outlines = [
        "M" + " ".join(f"{x(a):.1f} {y(b):.1f}" for a, b in ring) + "Z"
        for ring in land_in(view.west, view.south, view.east, view.north, (view.east - view.west) / WIDTH)
    ]
    drawing.add(f'<path class="land" fill-rule="evenodd" d="{"".join(outlines)}"/>')
    _rules(drawing, view, x, y)
    for px, py, count, series, words in _together(there, view, x, y, names, of):
        radius = min(LARGE, SMALL + 1.2 * math.log2(max(count, 1)))
        drawing.dot(px, py, radius, f"c{series % SERIES + 1} spot", words)
    if without:
        drawing.text(LEFT, top + view.height + 38, f"{without:,} of {len(spots):,} without a place are not on the map", "tick")
    return drawing.render()


def map_table(spots: Sequence[Spot], *, names: Sequence[str] = (), of: str = "specimens") -> Grid:
    """The same as a table, the places with most first, for who cannot see the map."""
    rows = sorted((spot for spot in spots if math.isfinite(spot.latitude + spot.longitude)), key=lambda spot: -spot.count)
    several, called = len(names) > 1, any(spot.name for spot in rows)
    columns = [*(["what"] if called else []), *(["group"] if several else []), "latitude", "longitude", of]
    cells = [
        [
            *([spot.name] if called else []),
            *([names[spot.series]] if several else []),
            f"{spot.latitude:.4f}",
            f"{spot.longitude:.4f}",
            number(spot.count),
        ]
        for spot in rows[:MOST_ROWS]
    ]
    left = len(rows) - len(cells)
    return Grid(columns, cells, f"{left:,} more places are left out." if left else "", AS_TABLE, called + several)


@dataclass(frozen=True)
class _Window:
    """Degrees, ``east`` above 180 where it crosses the antimeridian; height in pixels."""

    west: float
    south: float
    east: float
    north: float
    height: float

    @classmethod
    def around(cls, spots: Sequence[Spot]) -> _Window:
        """The smallest that holds all spots, with room around them; the world without spots."""
        if not spots:
            return cls(-180, -90, 180, 90, WIDTH / 2)
        latitude = np.array([spot.latitude for spot in spots])
        longitude = np.unique(np.mod(np.array([spot.longitude for spot in spots]) + 180, 360) - 180)
        gaps = np.append(np.diff(longitude), longitude[0] + 360 - longitude[-1])
        after = int(gaps.argmax())
        west = float(longitude[(after + 1) % len(longitude)])
        wide = max((360 - float(gaps[after])) * (1 + 2 * MARGIN), LEAST)
        middle = west + (360 - float(gaps[after])) / 2
        centre = (float(latitude.min()) + float(latitude.max())) / 2
        tall = max(float(np.ptp(latitude)) * (1 + 2 * MARGIN), LEAST)
        narrow = max(math.cos(math.radians(centre)), 0.15)
        # The longer side decides, the other is filled up, so that shapes stay as they are.
        tall = min(max(tall, wide * narrow * LOWEST / WIDTH), 180.0)
        wide = min(max(wide, tall / narrow * WIDTH / TALLEST), 360.0)
        centre = min(max(centre, tall / 2 - 90), 90 - tall / 2)
        middle = middle if wide < 360 else 0.0
        height = min(max(tall / (wide * narrow) * WIDTH, LOWEST), TALLEST)
        middle -= 360 if middle > 180 else 0
        return cls(middle - wide / 2, centre - tall / 2, middle + wide / 2, centre + tall / 2, height)

    def words(self) -> str:
        """Of the window, for who cannot see it."""
        low, high = degrees(self.west, "EW"), degrees(self.east, "EW")
        return f"from {degrees(self.south, 'NS')} to {degrees(self.north, 'NS')}, {low} to {high}"


def degrees(value: float, letters: str, digits: int = 1) -> str:
    """-33.4 -> "33.4° S"; 190 -> "170° W"."""
    value = value if letters == "NS" else (value + 180) % 360 - 180
    shown = f"{abs(round(value, digits)):.{digits}f}".rstrip("0").rstrip(".") if digits else f"{abs(value):.0f}"
    return f"{shown}°" + (f" {letters[0] if value > 0 else letters[1]}" if float(shown) % 180 else "")


def _rules(drawing: Drawing, view: _Window, x: Scale, y: Scale) -> None:
    """Lines of longitude and latitude with their degrees."""
    for low, high, scale, letters in ((view.west, view.east, x, "EW"), (view.south, view.north, y, "NS")):
        pixels = abs(scale.stop - scale.start)
        step = next((s for s in reversed(RULES) if s * pixels / (high - low) >= 80), RULES[0])
        digits = max(0, math.ceil(-math.log10(step)))
        for i in range(math.ceil(low / step), math.floor(high / step) + 1):
            at = scale(i * step)
            words = degrees(i * step, letters, digits)
            if letters == "EW":
                drawing.line(at, y.start, at, y.stop, "rule")
                if 20 < at < WIDTH - 20:
                    drawing.text(at, y.stop + 15, words, "tick", "middle")
            else:
                drawing.line(x.start, at, x.stop, at, "rule")
                if y.start + 14 < at:
                    drawing.text(x.start + 4, at - 4, words, "tick")


def _together(
    spots: Sequence[Spot], view: _Window, x: Scale, y: Scale, names: Sequence[str], of: str
) -> list[tuple[float, float, float, int, str]]:
    """(x, y, count, series, words on hover) of the circles, the largest first so that small ones lie above."""
    cells: dict[tuple[int, int, int], list[tuple[float, float, Spot]]] = {}
    for spot in spots:
        longitude = view.west + (spot.longitude - view.west) % 360
        px, py = x(longitude), y(spot.latitude)
        cells.setdefault((spot.series, int(px // CELL), int(py // CELL)), []).append((px, py, spot))
    circles = []
    for (series, _, _), group in cells.items():
        weights = np.array([max(spot.count, 1e-9) for _, _, spot in group])
        px, py = (float(np.average([each[i] for each in group], weights=weights)) for i in (0, 1))
        count = sum(spot.count for _, _, spot in group)
        said = list(dict.fromkeys(spot.name for _, _, spot in group if spot.name))
        where = f"{degrees(group[0][2].latitude, 'NS', 3)}, {degrees(group[0][2].longitude, 'EW', 3)}"
        head = ", ".join(said[:3]) + (f" and {len(said) - 3:,} more" if len(said) > 3 else "") if said else where
        group_name = f", {names[series]}" if len(names) > 1 and series < len(names) else ""
        circles.append((px, py, count, series, f"{head}{group_name}: {number(count)} {of}"))
    return sorted(circles, key=lambda circle: -circle[2])


__all__ = ["Spot", "degrees", "map_of", "map_table"]
