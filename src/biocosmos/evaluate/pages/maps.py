"""A map as inline SVG: specimens or samples as circles on the land of the world, the larger the more of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from biocosmos.evaluate.pages.blocks import Grid
from biocosmos.evaluate.pages.coastline import land_in
from biocosmos.evaluate.pages.spots import Circle, Floats, Spot, Spots, circles_of, degrees, gathered
from biocosmos.evaluate.pages.svg import SERIES, Drawing, Scale, legend, legend_room, number
from biocosmos.places import spanned

WIDTH = 720.0
TALLEST, LOWEST = 0.78, 0.3
"""Height of a map at most and at least, of its width."""
LEFT = 4.0
SMALL, LARGE = 3.5, 15.0
"""Pixels of the radius of one specimen, and of very many."""
FULL = 0.45
"""Share of the map that circles may cover before they are drawn smaller."""
MARGIN, LEAST = 0.12, 0.05
"""Share of the window that stays free around the spots, and how many degrees a window has at least."""
RULES = (60, 30, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
AS_TABLE = "The map as a table"
MOST_ROWS = 200


def map_of(
    title: str,
    spots: Sequence[Spot] | Spots,
    *,
    names: Sequence[str] = (),
    of: str = "specimens",
    marked: tuple[float, float, str] | None = None,
    width: float = WIDTH,
) -> str:
    """Spots on the coastline, in the smallest window that holds them, across the antimeridian where that is smaller.

    Equirectangular, a degree of longitude as wide as it is at the middle latitude. Spots of one series that fall together become
    one circle, larger by the logarithm of the count; there are never more than some 1,500 circles, however many spots there are.
    names: of the series; of: what is counted; marked: latitude, longitude and words of a place that is pointed at; width: in
    pixels. Spots without a place are left out and said below the map.
    """
    every = spots if isinstance(spots, Spots) else Spots.of(spots)
    there = every.placed()
    pin = () if marked is None else (marked[:2],)
    view = _Window.around(
        np.append(there.latitude, [at[0] for at in pin]), np.append(there.longitude, [at[1] for at in pin]), width
    )
    several = names if len(names) > 1 or pin else ()
    named = [(f"c{i % SERIES + 1}", name) for i, name in enumerate(several)] + ([("here", marked[2])] if marked else [])
    top = 22.0 + legend_room(LEFT, width, named) if named else 2.0
    x = Scale(view.west, view.east, 1, width - 1)
    y = Scale(view.north, view.south, top, top + view.height)
    circles, mixed = circles_of(there, x, y, view.west, names, of)
    sizes = _Sizes.of(circles, width * view.height)
    without, below = len(every) - len(there), top + view.height + 24
    described = f"{number(float(there.count.sum()))} {of} at {len(there):,} places, {view.words()}."
    key = 2 * sizes.large + 4 if sizes.most > 1 else 0.0
    drawing = Drawing(width, below + key + (18 if without else 0), title, described)
    legend(drawing, LEFT, 12, named)
    drawing.rect(1, top, width - 2, view.height, "sea")
    outlines = [
        "M" + " ".join(f"{x(a):.1f} {y(b):.1f}" for a, b in ring) + "Z"
        for ring in land_in(view.west, view.south, view.east, view.north, (view.east - view.west) / width)
    ]
    drawing.add(f'<path class="land" fill-rule="evenodd" d="{"".join(outlines)}"/>')
    labels = _rules(drawing, view, x, y)
    for circle in circles:
        drawing.dot(circle.x, circle.y, sizes(circle.count), f"c{circle.series % SERIES + 1} spot", circle.words)
    for at, base, words in labels:
        drawing.text(at, base, words, "tick halo")
    if marked is not None:
        at, base = x(view.west + (marked[1] - view.west) % 360), y(marked[0])
        turn = 1 if base - top > 24 else -1  # from below where there is no room above
        drawing.path([(at, base), (at - 7, base - 17 * turn), (at + 7, base - 17 * turn)], "here", closed=True, tip=marked[2])
    if key:
        _key(drawing, sizes, below + key / 2, of + (", the colour of the group with most" if mixed else ""))
        below += key
    if without:
        drawing.text(LEFT, below + 13, f"{without:,} of {len(every):,} without a place are not on the map", "tick")
    return drawing.render()


def map_table(spots: Sequence[Spot] | Spots, *, names: Sequence[str] = (), of: str = "specimens") -> Grid:
    """The same as a table, the places with most first, for who cannot see the map; what has one name, series and place is one
    row."""
    rows, total = gathered(spots if isinstance(spots, Spots) else Spots.of(spots), MOST_ROWS)
    several, called = len(names) > 1, any(spot.name for spot in rows)
    columns = [*(["what"] if called else []), *(["group"] if several else []), "latitude", "longitude", of]
    cells = [
        [
            *([spot.name] if called else []),
            *([names[spot.series] if spot.series < len(names) else "–"] if several else []),
            f"{spot.latitude:.4f}",
            f"{spot.longitude:.4f}",
            number(spot.count),
        ]
        for spot in rows
    ]
    left = total - len(cells)
    return Grid(columns, cells, f"{left:,} more places are left out." if left else "", AS_TABLE, called + several)


@dataclass(frozen=True)
class _Sizes:
    """Radius in pixels by count: ``small`` of one, ``large`` of ``most``."""

    most: float
    small: float
    large: float

    @classmethod
    def of(cls, circles: Sequence[Circle], area: float) -> _Sizes:
        """Such that circles cover no more than a part of the map."""
        most = max((circle.count for circle in circles), default=1.0)
        large = min(LARGE, SMALL + 1.2 * math.log2(max(most, 1)))
        fits = max(math.sqrt(FULL * area / (math.pi * max(len(circles), 1))), 2.5)
        # Crowded circles are told apart by their sizes alone, as in a halftone.
        return cls(most, SMALL, large) if fits >= large else cls(most, 0.2 * fits if most > 1 else fits, fits)

    def __call__(self, count: float) -> float:
        share = math.log(max(count, 1)) / math.log(self.most) if self.most > 1 else 0.0
        return self.small + share * (self.large - self.small)


def _key(drawing: Drawing, sizes: _Sizes, y: float, of: str) -> None:
    """How large the circles of some counts are."""
    tens = math.log10(sizes.most)
    counts = [10.0**power for power in range(0, int(tens) + 1, max(1, math.ceil(tens / 3)))]
    counts += [sizes.most] if sizes.most >= 2 * counts[-1] else []
    x = LEFT + sizes.large
    for i, count in enumerate(counts):
        words = number(count) + (f" {of}" if i == len(counts) - 1 else "")
        drawing.dot(x, y, sizes(count), "size-key")
        drawing.text(x + sizes(count) + 5, y + 4, words, "tick")
        x += sizes(count) + len(words) * 7 + 22 + sizes.large


@dataclass(frozen=True)
class _Window:
    """Degrees, ``east`` above 180 where it crosses the antimeridian; height in pixels."""

    west: float
    south: float
    east: float
    north: float
    height: float

    @classmethod
    def around(cls, latitude: Floats, longitude: Floats, width: float) -> _Window:
        """The smallest that holds all places, with room around them; the world without any."""
        if not len(latitude):
            return cls(-180, -90, 180, 90, width / 2)
        low, high = float(latitude.min()), float(latitude.max())
        west, east = spanned(longitude)
        wide = max((east - west) * (1 + 2 * MARGIN), LEAST)
        middle, centre = (west + east) / 2, (low + high) / 2
        tall = max((high - low) * (1 + 2 * MARGIN), LEAST)
        narrow = max(math.cos(math.radians(centre)), 0.15)
        # The longer side decides, the other is filled up, so that shapes stay as they are.
        tall = min(max(tall, wide * narrow * LOWEST), 180.0)
        wide = min(max(wide, tall / narrow / TALLEST), 360.0)
        centre = min(max(centre, tall / 2 - 90), 90 - tall / 2)
        middle = middle if wide < 360 else 0.0
        height = min(max(tall / (wide * narrow), LOWEST), TALLEST) * width
        middle -= 360 if middle > 180 else 0
        return cls(middle - wide / 2, centre - tall / 2, middle + wide / 2, centre + tall / 2, height)

    def words(self) -> str:
        """Of the window, for who cannot see it."""
        low, high = degrees(self.west, "EW"), degrees(self.east, "EW")
        return f"from {degrees(self.south, 'NS')} to {degrees(self.north, 'NS')}, {low} to {high}"


def _rules(drawing: Drawing, view: _Window, x: Scale, y: Scale) -> list[tuple[float, float, str]]:
    """Lines of longitude and latitude; the degrees that are to stand on the map, and where."""
    labels = []
    for low, high, scale, letters in ((view.west, view.east, x, "EW"), (view.south, view.north, y, "NS")):
        pixels = abs(scale.stop - scale.start)
        step = next((s for s in reversed(RULES) if s * pixels / (high - low) >= 80), RULES[0])
        digits = max(0, math.ceil(-math.log10(step)))
        for i in range(math.ceil(low / step), math.floor(high / step) + 1):
            at = scale(i * step)
            words = degrees(i * step, letters, digits)
            if letters == "EW":
                drawing.line(at, y.start, at, y.stop, "rule")
                if 20 < at < x.stop - 20:
                    drawing.text(at, y.stop + 15, words, "tick", "middle")
            else:
                drawing.line(x.start, at, x.stop, at, "rule")
                if y.start + 14 < at:
                    labels.append((x.start + 4, at - 4, words))
    return labels


__all__ = ["Spot", "Spots", "degrees", "map_of", "map_table"]
