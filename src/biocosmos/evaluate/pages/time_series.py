"""Values over time as inline SVG: a line for each taxon or station, with the interval of every value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Self

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.pages.blocks import Grid
from biocosmos.evaluate.pages.svg import SERIES, Drawing, Scale, legend, legend_room, number
from biocosmos.places.days import span_of
from biocosmos.specimens.dates import MONTHS

WIDTH, TALL = 720.0, 260.0
LEFT = 64.0
FEW = 40
"""Moments up to which each has a dot and whiskers; more have the line and its band alone."""
MOST_TICKS = 8
STEPS = ((1, "days"), (2, "days"), (7, "days"), (14, "days"), (1, "months"), (3, "months"), (6, "months"))
AS_TABLE = "The time series as a table"
MOST_ROWS = 400


@dataclass(frozen=True)
class Moment:
    """A day, the value there and its interval (NaN: none); words: of the day where it is an interval or less than a day."""

    day: date
    value: float
    low: float = math.nan
    high: float = math.nan
    words: str = ""

    @classmethod
    def of(cls, when: str, value: float, low: float = math.nan, high: float = math.nan) -> Self:
        """Of a date as ISO 8601 has it: the middle of an interval, of a month or of a year.

        Raises BiocosmosError for what is none.

        >>> Moment.of("2019-05-01/2019-05-03", 2.5).day
        datetime.date(2019, 5, 2)
        """
        span = span_of(when)
        if span is None:
            raise BiocosmosError(f"{when[:40]!r} is no date: write it as 2019-05-31, 2019-05 or 2019-05-31/2019-06-02")
        first, last = span
        return cls(first + (last - first) // 2, value, low, high, when)


Series = tuple[str, Sequence[Moment]]
"""A name and its moments."""


def time_series(title: str, series: Sequence[Series], y_name: str) -> str:
    """Values over days, each with whiskers or a band for its interval; 0 is on the axis where nothing is negative.

    y_name: what is drawn and its unit. A moment whose value is not known breaks the line: nothing was counted there, which is not
    nothing.
    """
    shown = [(name, sorted(moments, key=lambda moment: moment.day)) for name, moments in series]
    every = [moment for _, moments in shown for moment in moments if math.isfinite(moment.value)]
    named = [(f"c{i % SERIES + 1}", name) for i, (name, _) in enumerate(shown)]
    top = 34.0 + legend_room(LEFT, WIDTH, named)
    first, last = (end([moment.day for moment in every], default=date(2000, 1, 1)) for end in (min, max))
    said = f"{y_name} from {first} to {last}" if every else f"{y_name}: nothing to show"
    drawing = Drawing(WIDTH, top + TALL + 46, title, f"{said}, for {', '.join(name for _, name in named)}.")
    ends = [end for moment in every for end in (moment.value, moment.low, moment.high) if math.isfinite(end)]
    margin = max((last - first).days * 0.02, 0.5)
    x = Scale(first.toordinal() - margin, last.toordinal() + margin, LEFT, WIDTH - 16)
    y = Scale(min([*ends, 0.0]), (max([*ends, 0.0]) or 1.0) * 1.04, top + TALL, top)
    legend(drawing, LEFT, 12, named)
    for tick in y.ticks():
        drawing.line(x.start, y(tick), x.stop, y(tick), "zero" if tick == 0 and y.low < 0 else "grid")
        drawing.text(x.start - 8, y(tick) + 4, number(tick), "tick", "end")
    for day, words in _ticks(first, last):
        at = x(day.toordinal())
        drawing.line(at, y.start, at, y.start + 4, "axis")
        drawing.text(at, y.start + 18, words, "tick", "middle")
    drawing.line(x.start, y.start, x.stop, y.start, "axis")
    drawing.text(14, (y.start + y.stop) / 2, y_name, "name", "middle", turn=-90)
    for i, (_, moments) in enumerate(shown):
        for run in _runs(moments):
            band = [moment for moment in run if math.isfinite(moment.low) and math.isfinite(moment.high)]
            if len(band) == len(run) > 1:
                upper = [(x(moment.day.toordinal()), y(moment.high)) for moment in run]
                lower = [(x(moment.day.toordinal()), y(moment.low)) for moment in run]
                drawing.path([*upper, *reversed(lower)], f"b{i % SERIES + 1}", closed=True)
    for i, (name, moments) in enumerate(shown):
        for run in _runs(moments):
            drawing.path([(x(moment.day.toordinal()), y(moment.value)) for moment in run], f"l{i % SERIES + 1}")
            if len(moments) <= FEW or len(run) == 1:
                _dots(drawing, name, run, x, y, f"c{i % SERIES + 1}")
    return drawing.render()


def time_table(series: Sequence[Series], value: str) -> Grid:
    """The same as a table; value: the heading of the values, with their unit."""
    rows = [
        [
            name,
            _words(moment),
            number(moment.value) if math.isfinite(moment.value) else "–",
            f"{number(moment.low)} to {number(moment.high)}" if math.isfinite(moment.low + moment.high) else "–",
        ]
        for name, moments in series
        for moment in sorted(moments, key=lambda moment: moment.day)
    ]
    left = len(rows) - MOST_ROWS
    return Grid(
        ["what", "date", value, "interval"], rows[:MOST_ROWS], f"{left:,} more are left out." if left > 0 else "", AS_TABLE, 2
    )


def _dots(drawing: Drawing, name: str, run: Sequence[Moment], x: Scale, y: Scale, css: str) -> None:
    for moment in run:
        at = x(moment.day.toordinal())
        tip = f"{name}, {_words(moment)}: {number(moment.value)}"
        if math.isfinite(moment.low) and math.isfinite(moment.high):
            drawing.line(at, y(moment.low), at, y(moment.high), "whisker")
            tip += f" ({number(moment.low)} to {number(moment.high)})"
        drawing.dot(at, y(moment.value), 4.5, f"{css} ring", tip)


def _words(moment: Moment) -> str:
    return moment.words or moment.day.isoformat()


def _runs(moments: Sequence[Moment]) -> list[list[Moment]]:
    """Neighbours whose value is known."""
    runs: list[list[Moment]] = [[]]
    for moment in moments:
        if math.isfinite(moment.value):
            runs[-1].append(moment)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _month(day: date) -> str:
    return MONTHS[day.month - 1][:3].capitalize()


def _ticks(first: date, last: date) -> list[tuple[date, str]]:
    """Round days, months or years between two days, at most eight of them, and what each is called."""
    days = (last - first).days
    for count, unit in STEPS:
        if unit == "days" and days / count <= MOST_TICKS:
            start = first.toordinal()
            found = [date.fromordinal(at) for at in range(start, last.toordinal() + 1, count)]
            words = [f"{day.day} {_month(day)}" for day in found]
            return list(zip(found, [f"{words[0]} {first.year}", *words[1:]]))
        if unit == "months" and days / (30.44 * count) <= MOST_TICKS:
            months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
            found = [date(month // 12, month % 12 + 1, 1) for month in months if month % count == 0]
            return [(day, f"{_month(day)} {day.year}") for day in found if first <= day <= last]
    years = last.year - first.year + 1
    step = next(m * 10**power for power in range(4) for m in (1, 2, 5) if years / (m * 10**power) <= MOST_TICKS)
    found = [date(year, 1, 1) for year in range(first.year, last.year + 2) if year % step == 0 and year < 10_000]
    return [(day, str(day.year)) for day in found if first <= day <= last]


__all__ = ["Moment", "Series", "time_series", "time_table"]
