"""The chart of a report on promises: every resplit as a dot, against what was promised."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from biocosmos.evaluate.pages.charts import WIDTH
from biocosmos.evaluate.pages.svg import Drawing, Scale, fit, percent, room, tick_percent

STEP, ROW = 46.0, 21.0


@dataclass(frozen=True)
class Promised:
    """One promise: its error rate, what each resplit observed, their mean and its standard error."""

    label: str
    alpha: float
    observed: Sequence[float]
    mean: float
    error: float
    css: str


def against(title: str, rows: Sequence[Promised]) -> str:
    """A row for each promise: a dot for each resplit on a scale of shares of alpha, so that 1 is what was promised; the mean with
    two standard errors below them."""
    left = room([row.label for row in rows], 190)
    most = max((value / row.alpha for row in rows for value in row.observed), default=1.0)
    height = 18 + len(rows) * STEP + 44
    drawing = Drawing(WIDTH, height, title, f"Dots for {', '.join(row.label for row in rows)}; the line is what was promised.")
    x, bottom = Scale(0, max(math.ceil(most * 4 + 0.2) / 4, 1.25), left, WIDTH - 66), height - 44
    for tick in x.ticks(5):
        drawing.line(x(tick), 10, x(tick), bottom, "grid")
        drawing.text(x(tick), bottom + 16, f"{tick:g}", "tick", "middle")
    drawing.line(x(1), 10, x(1), bottom, "zero")
    drawing.text((x.start + x.stop) / 2, bottom + 36, "observed error as a multiple of the promised", "name", "middle")
    for i, row in enumerate(rows):
        y = 18 + i * STEP + 14
        drawing.text(left - 8, y + 8, row.label, "label", "end")
        for j, value in enumerate(row.observed):  # spread by a fixed pattern, as in other charts
            drawing.dot(
                x(value / row.alpha),
                y + ((j * 7) % 15 - 7) * 0.9,
                3.2,
                f"{row.css} point",
                f"resplit {j + 1}: {percent(value, 2)}",
            )
        tip = f"{row.label}: mean {percent(row.mean, 2)}, standard error {percent(row.error, 2)}"
        low, high = ((row.mean + side * 2 * row.error) / row.alpha for side in (-1, 1))
        drawing.line(x(low), y + 17, x(high), y + 17, "whisker")
        drawing.dot(x(row.mean / row.alpha), y + 17, 4.5, row.css, tip)
        drawing.text(x.stop + 8, y + 8, percent(row.mean, 2), "tick")
    return drawing.render()


def group_errors(title: str, rows: Sequence[tuple[str, float, str]], promised: float, css: str) -> str:
    """Horizontal bars of error shares, (label, share, words on hover), with a line at the promised share."""
    left = room([label for label, _, _ in rows], 190)
    drawing = Drawing(WIDTH, 12 + len(rows) * ROW + 26, title, f"Bars for {', '.join(label for label, _, _ in rows)}.")
    most = max([promised, *(share for _, share, _ in rows)])
    x, bottom = Scale(0, min(math.ceil(most * 20 + 0.5) / 20, 1.0), left, WIDTH - 62), drawing.height - 26
    for tick in x.ticks(4):
        drawing.line(x(tick), 6, x(tick), bottom, "grid")
        drawing.text(x(tick), bottom + 16, tick_percent(tick), "tick", "middle")
    for i, (label, share, tip) in enumerate(rows):
        y = 12 + i * ROW
        drawing.text(left - 8, y + 11, fit(label, left - 8), "label", "end")
        drawing.rect(x.start, y + 2, x(share) - x.start, 11, css, tip)
        drawing.text(x.stop + 8, y + 11, percent(share), "tick")
    drawing.line(x(promised), 6, x(promised), bottom, "zero")
    return drawing.render()
