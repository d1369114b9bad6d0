"""A heat table as inline SVG: a share for every row and column, the darker the higher."""

from __future__ import annotations

import math
from collections.abc import Sequence

from biocosmos.evaluate.pages.charts import WIDTH
from biocosmos.evaluate.pages.svg import FONT_PX, Drawing, fit, room

SHADES = 9  # h0..h8 of the style sheet
ROW = 24.0
LABEL, HEADING = 250.0, 150.0  # most pixels of a row's label and of a turned heading
NARROW = 84.0  # a column narrower than this has its heading turned
WIDEST = 120.0  # but for a heading that needs more


def heat(
    title: str, rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float]], tips: Sequence[Sequence[str]]
) -> str:
    """values: [row][column] shares in [0, 1], NaN for none; shades run from the lowest to the highest of them, which has a frame.
    tips: on hover, for each value."""
    left = room(rows, LABEL)
    wide = min((WIDTH - left - 4) / max(len(columns), 1), max(WIDEST, room(columns, HEADING)))
    turned = wide < NARROW
    top = room(columns, HEADING) if turned else 26.0
    drawing = Drawing(WIDTH, top + len(rows) * ROW + 6, title, f"{', '.join(columns)} for {', '.join(rows)}.")
    for c, name in enumerate(columns):
        middle = left + (c + 0.5) * wide
        if turned:
            drawing.text(middle + FONT_PX / 3, top - 6, fit(name, top), "tick", turn=-90)
        else:
            drawing.text(middle, top - 9, fit(name, wide), "tick", "middle")
    there = [value for row in values for value in row if not math.isnan(value)]
    low, high = min(there, default=0.0), max(there, default=1.0)
    for r, (name, row, words) in enumerate(zip(rows, values, tips)):
        y = top + r * ROW
        drawing.text(left - 8, y + ROW / 2 + 4, fit(name, left - 8), "label", "end")
        for c, (value, tip) in enumerate(zip(row, words)):
            x = left + c * wide
            if math.isnan(value):
                drawing.rect(x + 1, y + 1, wide - 2, ROW - 2, "empty", tip)
                drawing.text(x + wide / 2, y + ROW / 2 + 4, "–", "tick", "middle")
                continue
            step = round((SHADES - 1) * (value - low) / (high - low)) if high > low else SHADES - 1
            drawing.rect(x + 1, y + 1, wide - 2, ROW - 2, f"h{step}", tip)
            if value == high:
                drawing.rect(x + 1, y + 1, wide - 2, ROW - 2, "best", tip)
            drawing.text(x + wide / 2, y + ROW / 2 + 4, f"{100 * value:.1f}" if wide > 34 else f"{100 * value:.0f}", "", "middle")
    return drawing.render()
