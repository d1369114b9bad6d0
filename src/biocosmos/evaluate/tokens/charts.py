"""Charts of a study of token reductions: accuracy against speed, and depth maps side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.evaluate.pages.charts import WIDTH
from biocosmos.evaluate.pages.heat import SHADES
from biocosmos.evaluate.pages.svg import (
    FONT_PX,
    GLYPH_PX,
    LEGEND_ROW,
    SERIES,
    Drawing,
    Entries,
    Scale,
    axes,
    fit,
    legend_room,
    number,
    placed,
)

Array = npt.NDArray[Any]
BROAD = 900.0
PANEL, PANEL_GAP = 118.0, 14.0
MARGIN = 0.08
LEAST_SPREAD = 0.04


@dataclass(frozen=True)
class Setting:
    """A point of the front: images a second, accuracy with its interval, words on hover, whether nothing beats it."""

    x: float
    y: float
    low: float
    high: float
    tip: str
    front: bool
    label: str


def front(title: str, series: Sequence[tuple[str, Sequence[Setting]]], y_name: str) -> str:
    """Accuracy over images a second: a line through the keep rates of each method, whiskers for intervals, a ring and a dashed
    line for what nothing beats. Neither axis begins at zero."""
    named = [(f"c{i % SERIES + 1}", name) for i, (name, _) in enumerate(series)]
    more = legend_room(60, BROAD, named)
    every = [one for _, points in series for one in points]
    drawing = Drawing(BROAD, 430 + more, title, f"{len(every)} settings of {', '.join(name for name, _ in series)}.")
    xs = [one.x for one in every]
    whiskers = [one for one in every if one.front and not math.isnan(one.low)]
    lows = [one.y for one in every] + [one.low for one in whiskers]
    highs = [one.y for one in every] + [one.high for one in whiskers]
    spread = max(max(highs) - min(lows), LEAST_SPREAD)
    x = Scale(min(xs) - 0.06 * (max(xs) - min(xs) or 1), max(xs) + 0.1 * (max(xs) - min(xs) or 1), 64, BROAD - 16)
    y = Scale(max(min(lows) - MARGIN * spread, 0.0), min(max(highs) + MARGIN * spread, 1.0), 370 + more, 34 + more)
    _legend(drawing, 60, 14, named)
    axes(drawing, x, y, "images a second", y_name, y_percent=True)
    best = sorted((one for one in every if one.front), key=lambda one: one.x)
    drawing.add('<g stroke-dasharray="5 4">')
    drawing.path([(x(one.x), y(one.y)) for one in best], "diagonal")
    drawing.add("</g>")
    for i, (_, points) in enumerate(series):
        drawing.path([(x(one.x), y(one.y)) for one in points], f"l{i % SERIES + 1} thin")
    for i, (_, points) in enumerate(series):
        for one in points:
            if one.front and not math.isnan(one.low):
                drawing.add('<g opacity="0.45">')
                drawing.line(x(one.x), y(one.low), x(one.x), y(one.high), "whisker")
                drawing.add("</g>")
            _mark(drawing, x(one.x), y(one.y), i, one)
            if one.front:
                drawing.dot(x(one.x), y(one.y), 8, "query-ring", one.tip)
    for left, top, words, anchor in _labels(best, x, y):
        drawing.text(left, top, words, "tick", anchor)
    return drawing.render()


def _mark(drawing: Drawing, x: float, y: float, place: int, one: Setting) -> None:
    """A dot; of the series whose colours come round again, a square."""
    css, half = f"c{place % SERIES + 1}", 5.0 if one.front else 4.0
    if place < SERIES:
        drawing.dot(x, y, half, css, one.tip)
    else:
        drawing.rect(x - half, y - half, 2 * half, 2 * half, css, one.tip)


def _legend(drawing: Drawing, x: float, y: float, entries: Entries) -> None:
    """As :func:`legend`; the first round of colours with dots, the second with squares."""
    for place, ((css, words), (left, row)) in enumerate(zip(entries, placed(x, drawing.width, entries))):
        if place < SERIES:
            drawing.dot(left + 5, y + row * LEGEND_ROW - 4, 5, css)
        else:
            drawing.rect(left, y + row * LEGEND_ROW - 9, 10, 10, css)
        drawing.text(left + 15, y + row * LEGEND_ROW, words, "tick")


def _labels(best: Sequence[Setting], x: Scale, y: Scale) -> list[tuple[float, float, str, str]]:
    """Words beside the front's points, left out where they would lie on one that has words already."""
    placed: list[tuple[float, float, float]] = []
    found = []
    for one in sorted(best, key=lambda one: -one.y):
        wide = len(one.label) * GLYPH_PX
        anchor, left = ("start", x(one.x) + 11) if x(one.x) + 11 + wide < BROAD else ("end", x(one.x) - 11)
        begins = left if anchor == "start" else left - wide
        top = y(one.y) - 8
        if any(abs(top - other) < FONT_PX and begins < end and begins + wide > start for start, end, other in placed):
            continue
        placed.append((begins, begins + wide, top))
        found.append((left, top, one.label, anchor))
    return found


def maps(title: str, panels: Sequence[tuple[str, Array]], low: float, high: float) -> str:
    """Maps (rows, columns) side by side, the darker the deeper, all on one scale from ``low`` to ``high``."""
    across = max(1, min(len(panels), int((WIDTH + PANEL_GAP) // (PANEL + PANEL_GAP))))
    down = -(-len(panels) // across)
    row = PANEL + 26
    drawing = Drawing(WIDTH, down * row + 34, title, f"Maps of {', '.join(name for name, _ in panels)}.")
    for place, (name, values) in enumerate(panels):
        left, top = (place % across) * (PANEL + PANEL_GAP), (place // across) * row
        drawing.text(left, top + 14, fit(name, PANEL), "tick")
        side = PANEL / max(values.shape)
        for (r, c), value in np.ndenumerate(values):
            tip = f"{name}: row {r + 1}, column {c + 1}, {number(round(float(value), 2))} blocks"
            drawing.rect(left + c * side, top + 20 + r * side, side, side, f"h{_shade(float(value), low, high)}", tip)
        drawing.rect(left, top + 20, values.shape[1] * side, values.shape[0] * side, "empty")
    top = down * row + 10
    drawing.text(0, top + 10, f"{low:g}", "tick")
    for step in range(SHADES):
        drawing.rect(34 + step * 16, top, 16, 12, f"h{step}")
    drawing.text(34 + SHADES * 16 + 8, top + 10, f"{high:g} blocks", "tick")
    return drawing.render()


def _shade(value: float, low: float, high: float) -> int:
    return round((SHADES - 1) * min(max((value - low) / (high - low), 0.0), 1.0)) if high > low else SHADES - 1
