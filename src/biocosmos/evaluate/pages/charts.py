"""Charts as inline SVG: bars with intervals, shares of a whole, lines, scatter, reliability, boxes, two histograms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biocosmos.evaluate.pages.svg import (
    SERIES,
    Drawing,
    Scale,
    axes,
    fit,
    legend,
    legend_room,
    number,
    percent,
    points_of,
    room,
    tick_percent,
    tick_points,
)

WIDTH = 520.0
BAR = 13.0
GAP = 16.0
LEFT = 4.0  # where legends begin


@dataclass(frozen=True)
class Bar:
    """A share in [0, 1] with its interval (NaN: none) and what stands on hover."""

    value: float
    low: float = math.nan
    high: float = math.nan
    tip: str = ""


def bars(title: str, groups: Sequence[tuple[str, Sequence[Bar]]], series: Sequence[str], *, shades: bool = False) -> str:
    """Horizontal bars of shares, one group per label and one bar per series, whiskers for intervals.

    shades: the series are steps of one thing (k = 1, 5, 10), drawn in shades of one colour.
    """
    left = room([label for label, _ in groups], 190)
    css = [f"s{i + 1}" if shades else f"c{i % SERIES + 1}" for i in range(len(series))]
    named = list(zip(css, series)) if len(series) > 1 else []
    top = 26.0 + legend_room(LEFT, WIDTH, named) if named else 6.0
    height = top + sum(len(row) * BAR + GAP for _, row in groups) + 26
    drawing = Drawing(WIDTH, height, title, f"Bars for {', '.join(label for label, _ in groups)}.")
    x = Scale(0, 1, left, WIDTH - 62)
    legend(drawing, LEFT, 12, named)
    for tick in x.ticks(4):
        drawing.line(x(tick), top, x(tick), height - 26, "grid")
        drawing.text(x(tick), height - 10, tick_percent(tick), "tick", "middle")
    y = top + GAP / 2
    for label, row in groups:
        drawing.text(left - 8, y + len(row) * BAR / 2 + 4, fit(label, left - 8), "label", "end")
        for i, bar in enumerate(row):
            if not math.isnan(bar.value):
                drawing.rect(x.start, y + 1, x(bar.value) - x.start, BAR - 3, css[i], bar.tip)
                if not math.isnan(bar.low):
                    drawing.line(x(bar.low), y + BAR / 2 - 0.5, x(bar.high), y + BAR / 2 - 0.5, "whisker")
            drawing.text(x.stop + 8, y + BAR - 3, percent(bar.value), "tick")
            y += BAR
        y += GAP
    return drawing.render()


def stacked(title: str, rows: Sequence[tuple[str, Sequence[float]]], series: Sequence[str], css: Sequence[str]) -> str:
    """Horizontal bars of counts that add up to a whole, as shares of it, with the counts on hover."""
    left = room([label for label, _ in rows], 190)
    named = list(zip(css, series))
    top = 26 + legend_room(LEFT, WIDTH, named)
    height = top + len(rows) * 26 + 26
    drawing = Drawing(WIDTH, height, title, f"Shares of {', '.join(series)} for {', '.join(label for label, _ in rows)}.")
    x = Scale(0, 1, left, WIDTH - 20)
    legend(drawing, LEFT, 12, named)
    for r, (label, values) in enumerate(rows):
        y, total, done = top + 2 + r * 26, sum(values) or 1, 0.0
        drawing.text(left - 8, y + 13, fit(label, left - 8), "label", "end")
        for value, name, style in zip(values, series, css):
            tip = f"{label}: {number(value)} of {number(total)} {name} ({percent(value / total)})"
            drawing.rect(x(done / total), y, x((done + value) / total) - x(done / total), 18, style, tip)
            done += value
    for tick in x.ticks(4):
        drawing.text(x(tick), height - 10, tick_percent(tick), "tick", "middle")
    return drawing.render()


Points = Sequence[tuple[float, float]]


def lines(
    title: str,
    series: Sequence[tuple[str, Points]],
    x_name: str,
    y_name: str,
    marks: Sequence[tuple[int, float, float, str]] = (),
) -> str:
    """Lines over shares: both axes in percent; ``marks`` are (series, x, y, words on hover), drawn as dots."""
    named = [(f"c{i % SERIES + 1}", name) for i, (name, _) in enumerate(series)]
    more = legend_room(60, WIDTH, named)
    drawing = Drawing(WIDTH, 350 + more, title, f"Lines for {', '.join(name for name, _ in series)}.")
    lowest = min((y for _, points in series for _, y in points), default=0.0)
    x = Scale(0, 1, 60, WIDTH - 20)
    y = Scale(min(math.floor(lowest * 10) / 10, 0.9), 1, 290 + more, 34 + more)
    legend(drawing, 60, 14, named)
    axes(drawing, x, y, x_name, y_name, x_percent=True, y_percent=True)
    for i, (_, points) in enumerate(series):
        drawing.path([(x(a), y(b)) for a, b in points], f"l{i % SERIES + 1}")
    for i, a, b, words in marks:
        drawing.dot(x(a), y(b), 5, f"c{i % SERIES + 1} ring", words)
    return drawing.render()


@dataclass(frozen=True)
class Point:
    """A point of a scatter: x, y, its words on hover and its series."""

    x: float
    y: float
    tip: str = ""
    series: int = 0


def scatter(
    title: str,
    points: Sequence[Point],
    x_name: str,
    y_name: str,
    *,
    y_range: tuple[float, float],
    x_range: tuple[float, float] | None = None,
    names: Sequence[str] = (),
) -> str:
    """Points over a log count, or over x between ``x_range``; y is a share or a difference of shares, with a line at zero when it
    can be negative."""
    named = [(f"c{i % SERIES + 1}", name) for i, name in enumerate(names)]
    more = legend_room(64, WIDTH, named)
    drawing = Drawing(WIDTH, 350 + more, title, f"{len(points)} points.")
    most = max((p.x for p in points), default=1)
    least = min((p.x for p in points), default=1)
    x = Scale(max(least * 0.8, 0.5), max(most * 1.25, least * 2), 64, WIDTH - 16, log=True)
    if x_range is not None:
        x = Scale(*x_range, 64, WIDTH - 16)
    y = Scale(*y_range, 290 + more, 34 + more if names else 16)
    axes(drawing, x, y, x_name, y_name, y_percent=True, y_points=y_range[0] < 0)
    if y_range[0] < 0:
        drawing.line(x.start, y(0), x.stop, y(0), "zero")
    legend(drawing, 64, 14, named)
    for p in points:
        drawing.dot(x(p.x), y(p.y), 4, f"c{p.series % SERIES + 1} point", p.tip)
    return drawing.render()


@dataclass(frozen=True)
class Bin:
    """Answers whose confidence falls in one bin: mean confidence, share right with its interval, and their number."""

    confidence: float
    accuracy: float
    low: float
    high: float
    count: int


def reliability(title: str, bins: Sequence[Bin]) -> str:
    """Said confidence against share right, with the diagonal of perfect calibration, and below how many answers each bin
    holds."""
    size = 300.0
    drawing = Drawing(WIDTH * 0.7, 430, title, f"{len(bins)} bins of confidence.")
    x, y = Scale(0, 1, 60, 60 + size - 20), Scale(0, 1, 300, 20)
    axes(drawing, x, y, "", "share right", y_percent=True)
    drawing.path([(x(0), y(0)), (x(1), y(1))], "diagonal")
    most = max((b.count for b in bins), default=1)
    floor = 400.0
    for b in bins:
        tip = (
            f"said {percent(b.confidence)} on average, right {percent(b.accuracy)} ({percent(b.low)} to "
            f"{percent(b.high)}), {b.count:,} answers"
        )
        drawing.line(x(b.confidence), y(b.low), x(b.confidence), y(b.high), "whisker")
        drawing.dot(x(b.confidence), y(b.accuracy), 4.5, "c1", tip)
        high = 62 * b.count / most
        drawing.rect(x(b.confidence) - 5, floor - high, 10, high, "s2", tip)
    drawing.path([(x(b.confidence), y(b.accuracy)) for b in bins], "l1 thin")
    drawing.line(x.start, floor, x.stop, floor, "axis")
    drawing.text(x.start - 8, floor - 54, number(most), "tick", "end")
    drawing.text(x.start - 8, floor, "0", "tick", "end")
    drawing.text(x.start - 46, floor - 30, "answers", "name", "middle", turn=-90)
    drawing.text((x.start + x.stop) / 2, floor + 20, "confidence said", "name", "middle")
    return drawing.render()


def boxes(title: str, groups: Sequence[tuple[str, npt.NDArray[np.float64]]], x_name: str) -> str:
    """Box plots of differences: median, quartiles, whiskers at 1.5 quartile ranges, every taxon as a dot."""
    left = room([f"{label} ({len(values)})" for label, values in groups], 200)
    row = 40.0
    height = 16 + len(groups) * row + 46
    drawing = Drawing(WIDTH, height, title, f"Boxes for {', '.join(label for label, _ in groups)}.")
    spread = max((float(np.abs(values).max()) for _, values in groups if len(values)), default=0.1)
    edge = min(1.0, math.ceil(spread * 10 + 0.2) / 10)
    x = Scale(-edge, edge, left, WIDTH - 28)
    bottom = 16 + len(groups) * row
    for tick in x.ticks(6):
        drawing.line(x(tick), 8, x(tick), bottom, "zero" if tick == 0 else "grid")
        drawing.text(x(tick), bottom + 16, tick_points(tick), "tick", "middle")
    drawing.text((x.start + x.stop) / 2, bottom + 36, x_name, "name", "middle")
    for i, (label, values) in enumerate(groups):
        middle = 16 + i * row + row / 2
        drawing.text(left - 8, middle + 4, fit(f"{label} ({len(values)})", left - 8), "label", "end")
        if len(values):
            q1, q2, q3 = (points_of(float(q)) for q in np.quantile(values, (0.25, 0.5, 0.75)))
            _box(drawing, x, middle, values, 9, "c1", f"{label}: median {q2}, middle half {q1} to {q3}, {len(values)} taxa")
    return drawing.render()


def _box(drawing: Drawing, x: Scale, middle: float, values: npt.NDArray[np.float64], half: float, css: str, tip: str) -> None:
    """One box of values around y = middle, half its height; dots in the colour ``css``."""
    q1, q2, q3 = np.quantile(values, (0.25, 0.5, 0.75))
    reach = 1.5 * (q3 - q1)
    inside = values[(values >= q1 - reach) & (values <= q3 + reach)]
    # Dots spread by a fixed pattern, so that the same table always gives the same picture.
    for j, value in enumerate(np.sort(values)):
        drawing.dot(x(float(value)), middle + ((j * 7) % 15 - 7) * half / 8.2, 2.4, f"{css} faint")
    drawing.line(x(inside.min()), middle, x(q1), middle, "whisker")
    drawing.line(x(q3), middle, x(inside.max()), middle, "whisker")
    drawing.rect(x(q1), middle - half, max(x(q3) - x(q1), 1.5), 2 * half, f"box {css}-box", tip)
    drawing.line(x(q2), middle - half, x(q2), middle + half, "median")


def share_boxes(
    title: str, groups: Sequence[tuple[str, Sequence[npt.NDArray[np.float64]]]], series: Sequence[str], x_name: str
) -> str:
    """Box plots of shares in [0, 1], one group per label and one box per series; drawn as :func:`boxes` are."""
    names = [f"{label} ({len(row[0])})" for label, row in groups]
    named = [(f"c{i % SERIES + 1}", name) for i, name in enumerate(series)]
    left, step, top = room(names, 200), 22.0, 30.0 + legend_room(LEFT, WIDTH, named)
    height = top + sum(len(row) * step + 10 for _, row in groups) + 46
    drawing = Drawing(WIDTH, height, title, f"Boxes for {', '.join(label for label, _ in groups)}.")
    x, bottom = Scale(0, 1, left, WIDTH - 28), height - 46
    legend(drawing, LEFT, 12, named)
    for tick in x.ticks(4):
        drawing.line(x(tick), top - 6, x(tick), bottom, "grid")
        drawing.text(x(tick), bottom + 16, tick_percent(tick), "tick", "middle")
    drawing.text((x.start + x.stop) / 2, bottom + 36, x_name, "name", "middle")
    y = top
    for name, (label, row) in zip(names, groups):
        drawing.text(left - 8, y + len(row) * step / 2 + 4, fit(name, left - 8), "label", "end")
        for i, values in enumerate(row):
            if len(values):
                q1, q2, q3 = (percent(float(q)) for q in np.quantile(values, (0.25, 0.5, 0.75)))
                tip = f"{label}, {series[i]}: median {q2}, middle half {q1} to {q3}, {len(values)} taxa"
                _box(drawing, x, y + step / 2, values, 7, f"c{i % SERIES + 1}", tip)
            y += step
        y += 10
    return drawing.render()


def histograms(
    title: str,
    series: Sequence[tuple[str, npt.NDArray[np.float64]]],
    x_name: str,
    bins: int = 30,
    *,
    of: str = "queries",
    x_percent: bool = False,
) -> str:
    """Histograms of a score laid over each other, each as shares of its own series; of: what is counted."""
    every = np.concatenate([values for _, values in series])
    low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    shares = [np.histogram(values, edges)[0] / max(len(values), 1) for _, values in series]
    most = max((float(share.max()) for share in shares), default=1.0) or 1.0
    named = [(f"c{i % SERIES + 1}", f"{name} ({len(values):,})") for i, (name, values) in enumerate(series)]
    more = legend_room(60, WIDTH, named)
    drawing = Drawing(WIDTH, 300 + more, title, f"Histograms of {', '.join(name for name, _ in series)}.")
    x, y = Scale(float(edges[0]), float(edges[-1]), 60, WIDTH - 16), Scale(0, most, 240 + more, 34 + more)
    legend(drawing, 60, 14, named)
    axes(drawing, x, y, x_name, f"share of {of}", x_percent=x_percent, y_percent=True)
    for i, share in enumerate(shares):
        outline = [(x(edges[0]), y(0))]
        for left, right, value in zip(edges[:-1], edges[1:], share):
            outline += [(x(left), y(value)), (x(right), y(value))]
        drawing.path([*outline, (x(edges[-1]), y(0))], f"a{i % SERIES + 1}", closed=True)
    return drawing.render()


@dataclass(frozen=True)
class Difference:
    """A difference in [-1, 1] with its interval and what stands on hover."""

    value: float
    low: float
    high: float
    tip: str = ""


def differences(title: str, groups: Sequence[tuple[str, Sequence[Difference]]], series: Sequence[str], x_name: str) -> str:
    """Dots with whiskers around a line at zero, one group per label and one dot per series."""
    left = room([label for label, _ in groups], 190)
    named = [(f"c{i % SERIES + 1}", name) for i, name in enumerate(series)]
    top, step = 30.0 + legend_room(LEFT, WIDTH, named), 16.0
    height = top + sum(len(row) * step + 12 for _, row in groups) + 46
    drawing = Drawing(WIDTH, height, title, f"Differences for {', '.join(label for label, _ in groups)}.")
    ends = [abs(end) for _, row in groups for d in row for end in (d.value, d.low, d.high) if not math.isnan(end)]
    edge = min(1.0, math.ceil(max([*ends, 0.02]) * 50) / 50)
    x = Scale(-edge, edge, left, WIDTH - 62)
    legend(drawing, LEFT, 12, named)
    bottom = height - 46
    for tick in x.ticks(5):
        drawing.line(x(tick), top, x(tick), bottom, "zero" if tick == 0 else "grid")
        drawing.text(x(tick), bottom + 16, tick_points(tick), "tick", "middle")
    drawing.text((x.start + x.stop) / 2, bottom + 36, x_name, "name", "middle")
    y = top + 6
    for label, row in groups:
        drawing.text(left - 8, y + len(row) * step / 2 + 4, fit(label, left - 8), "label", "end")
        for i, d in enumerate(row):
            middle = y + step / 2
            if not math.isnan(d.low):
                drawing.line(x(d.low), middle, x(d.high), middle, "whisker")
            drawing.dot(x(d.value), middle, 4.5, f"c{i % SERIES + 1}", d.tip)
            drawing.text(x.stop + 8, middle + 4, points_of(d.value), "tick")
            y += step
        y += 12
    return drawing.render()
