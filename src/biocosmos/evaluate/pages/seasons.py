"""A season wheel as inline SVG: the year as a circle, January on top and clockwise, a wedge for each month or week."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from biocosmos.evaluate.pages.blocks import Grid
from biocosmos.evaluate.pages.svg import Drawing, legend, legend_room, number
from biocosmos.specimens.dates import MONTHS

SIZE, INNER, OUTER = 360.0, 34.0, 138.0
LENGTHS = (31, 28.45, 31, 30, 31, 30, 31, 31, 30, 31, 30, 30.8)
"""Of months, such that noon of every day of a common and of a leap year, both stretched to 365.25 days, lies in its own."""
YEAR = 365.25
WEEKS = 52
AS_TABLE = "The wheel as a table"
Floats = npt.NDArray[np.float64]


def season_counts(day: npt.ArrayLike, *, weights: npt.ArrayLike | None = None, weeks: bool = False) -> Floats:
    """(12,) float64 by month, or (52,) by weeks of 7.02 days.

    day: (n,) float64 days since 1 January of a year of 365.25 days, NaN where not known; weights: (n,) float64, 1 each without.
    """
    days = np.asarray(day, np.float64)
    known = np.isfinite(days)
    taken = None if weights is None else np.asarray(weights, np.float64)[known]
    edges = _edges(WEEKS if weeks else 12)
    step = np.searchsorted(edges, days[known] % YEAR, side="right") - 1
    return np.bincount(step.clip(0, len(edges) - 2), taken, len(edges) - 1).astype(np.float64)


def season_wheel(
    title: str,
    counts: Sequence[float],
    *,
    every: Sequence[float] | None = None,
    of: str = "specimens",
    css: str = "c1",
    marked: tuple[float, str] | None = None,
) -> str:
    """Counts by month (12) or week (52): the area of a wedge goes by its count.

    every: counts of all that was collected, of whatever taxon, drawn as an outline of its own scale: a taxon is found when people
    look. of: what is counted. marked: a day of the year that is pointed at from outside, and what it is.
    """
    values = np.nan_to_num(np.asarray(counts, np.float64))
    everything = None if every is None else np.nan_to_num(np.asarray(every, np.float64))
    words = f"{number(float(values.sum()))} {of} around the year" + (f", most in {_peak(values)}." if values.sum() else ".")
    keys = [(css, of), ("outline-key", "all that was collected, to its own scale")] if everything is not None else []
    keys += [("here", marked[1])] if marked is not None else []
    drawing = Drawing(SIZE, SIZE + (24 + legend_room(20, SIZE, keys) if keys else 0), title, words)
    middle = SIZE / 2
    for share in (0.5, 1.0):
        drawing.dot(middle, middle, _radius(share), "ring-line")
    for month, (start, stop) in enumerate(pairwise(_edges(12))):
        drawing.line(*_at(INNER, start / YEAR), *_at(OUTER + 6, start / YEAR), "rule")
        x, y = _at(OUTER + 20, (start + stop) / 2 / YEAR)
        drawing.text(x, y + 4, _named(month, 12)[:3], "tick", "middle")
    most = float(values.max(initial=0.0))
    edges = _edges(len(values)) / YEAR
    for i, value in enumerate(values):
        if value > 0:
            _wedge(
                drawing,
                edges[i],
                edges[i + 1],
                _radius(value / most),
                css,
                f"{_named(i, len(values))}: {number(float(value))} {of}",
            )
    if everything is not None and everything.sum() > 0:
        around = [
            _at(_radius(v / everything.max()), share) for i, v in enumerate(everything) for share in (edges[i], edges[i + 1])
        ]
        drawing.path(around, "outline", closed=True)
    drawing.text(middle, middle + 4, number(float(values.sum())), "label", "middle")
    drawing.text(*_at(_radius(1.0) - 9, 0.003), number(most), "tick")
    if marked is not None:
        share = marked[0] % YEAR / YEAR
        drawing.path([_at(OUTER - 7, share), _at(OUTER + 8, share - 0.01), _at(OUTER + 8, share + 0.01)], "here", closed=True)
    legend(drawing, 20, SIZE + 14, keys)
    return drawing.render()


def season_table(wheels: Sequence[tuple[str, Sequence[float]]]) -> Grid:
    """The same as a table: a row a month (or week), a column a wheel."""
    steps = len(wheels[0][1]) if wheels else 12
    rows = [[_named(i, steps), *(number(float(counts[i])) for _, counts in wheels)] for i in range(steps)]
    return Grid(["month" if steps == 12 else "week", *(name for name, _ in wheels)], rows, "", AS_TABLE)


def _edges(steps: int) -> Floats:
    """(steps + 1,) days since 1 January at which months or weeks begin, the end of the year behind them."""
    return np.append(0, np.cumsum(LENGTHS)) if steps == 12 else np.linspace(0, YEAR, steps + 1)


def _named(step: int, steps: int) -> str:
    return MONTHS[step].capitalize() if steps == 12 else f"week {step + 1}"


def _peak(values: Floats) -> str:
    return _named(int(values.argmax()), len(values))


def _radius(share: float) -> float:
    """So that the area beyond the inner circle goes by the share."""
    return math.sqrt(INNER**2 + (OUTER**2 - INNER**2) * min(max(share, 0.0), 1.0))


def _at(radius: float, share: float) -> tuple[float, float]:
    turn = 2 * math.pi * share
    return SIZE / 2 + radius * math.sin(turn), SIZE / 2 - radius * math.cos(turn)


def _wedge(drawing: Drawing, start: float, stop: float, radius: float, css: str, tip: str) -> None:
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = _at(INNER, start), _at(radius, start), _at(radius, stop), _at(INNER, stop)
    out = f"M{ax:.1f} {ay:.1f}L{bx:.1f} {by:.1f}A{radius:.1f} {radius:.1f} 0 0 1 {cx:.1f} {cy:.1f}"
    drawing.shape(f"{out}L{dx:.1f} {dy:.1f}A{INNER} {INNER} 0 0 0 {ax:.1f} {ay:.1f}Z", f"{css} wedge", tip)
