"""The chart of the dial: loss against speed, what was judged with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from biocosmos.evaluate.pages.charts import WIDTH
from biocosmos.evaluate.pages.svg import SERIES, Drawing, Scale, axes, legend, legend_room, points_of

Row = dict[str, Any]
LEFT, HEIGHT = 64.0, 330.0
ROOM = 1.6
"""Times the margin that is shown above it at least."""


def method_of(tokens: str) -> str:
    """ "atc.single-0.5" -> "atc.single"."""
    return tokens.partition("-")[0]


def front(title: str, rows: Sequence[Row], margin: float) -> str:
    """Ways as dots over how many times as fast they are: judged ones filled, with their interval; those that the choosing
    specimens alone saw faint; the one that was taken large. The line is what may be lost."""
    shown = [row for row in rows if row["loss"] is not None or row["choosing_loss"] is not None]
    series = list(dict.fromkeys(method_of(row["tokens"]) for row in shown))
    css = {name: f"c{i % SERIES + 1}" for i, name in enumerate(series)}
    named = [(css[name], name) for name in series]
    more = legend_room(LEFT, WIDTH, named)
    drawing = Drawing(WIDTH, HEIGHT + 40 + more, title, f"{len(shown)} ways; the line is a loss of {100 * margin:g} points.")
    most = max((row["times"] for row in shown), default=1.0)
    ends = [row["high"] for row in shown if row["high"] is not None and row["loss"] <= 3 * margin]
    top = max([ROOM * margin, *ends, *(_loss(row) for row in shown if _loss(row) <= 4 * margin)])
    low = min([0.0, *(row["low"] for row in shown if row["low"] is not None), *map(_loss, shown)])
    x = Scale(min(0.9, *(row["times"] for row in shown)) if shown else 0.9, max(1.1 * most, 1.3), LEFT, WIDTH - 16)
    y = Scale(max(1.05 * low, -4 * margin), top * 1.05, HEIGHT - 20 + more, 34 + more)
    legend(drawing, LEFT, 14, named)
    axes(drawing, x, y, "times as fast as all tokens in float32", "points lost", y_percent=True, y_points=True)
    drawing.line(x.start, y(margin), x.stop, y(margin), "zero")
    drawing.text(x.stop, y(margin) - 5, "may be lost", "tick", "end")
    for row in sorted(shown, key=lambda row: row["loss"] is not None):
        left, colour = x(row["times"]), css[method_of(row["tokens"])]
        way = f"{row['tokens']}, {row['precision']} by {row['backend']}"
        tip = f"{way}: {row['times']:.2f} times, {points_of(_loss(row))} points lost"
        if row["loss"] is not None:
            drawing.line(left, y(row["low"]), left, y(row["high"]), "whisker")
            drawing.dot(left, y(row["loss"]), 8 if row["taken"] else 5, f"{colour} ring", tip)
        else:
            drawing.dot(left, y(_loss(row)), 3.4, f"{colour} faint", f"{tip} (choosing specimens)")
        if row["taken"]:
            turned = left > (x.start + x.stop) / 2
            drawing.text(left + (-12 if turned else 12), y(_loss(row)) + 4, "taken", "label", "end" if turned else "start")
    return drawing.render()


def _loss(row: Row) -> float:
    return float(row["choosing_loss"] if row["loss"] is None else row["loss"])
