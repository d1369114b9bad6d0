"""How a view falls apart: by state, part, tag, column, date and place. Each facet leaves its own filter out, so that what else
could be chosen is seen with its count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.serve.catalogue import days
from biocosmos.serve.catalogue.parts import Parts
from biocosmos.serve.catalogue.state import Moment
from biocosmos.serve.catalogue.view import STATES

MOST_VALUES, MOST_BARS = 50, 60
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Values:
    """Counts of a column: the most frequent values first; rest: specimens of the others; distinct: how many values there are."""

    column: str
    counts: dict[str, int]
    rest: int
    distinct: int


@dataclass(frozen=True)
class Bar:
    """Specimens of a span of days, ISO, both ends included."""

    first: str
    last: str
    count: int


@dataclass(frozen=True)
class Dates:
    """bars: one after another without gaps; unit: of a bar; coarser: dated less exactly than a bar is long; without: no date."""

    bars: tuple[Bar, ...]
    unit: str
    coarser: int
    without: int


@dataclass(frozen=True)
class Facets:
    """total: of the view; states, parts (split -> part -> count), tags: name -> count; places: how many have one, and box: west,
    south, east, north of these, None where there is none."""

    total: int
    states: dict[str, int]
    parts: dict[str, dict[str, int]]
    tags: dict[str, int]
    columns: tuple[Values, ...]
    dates: Dates
    places: int
    box: tuple[float, float, float, float] | None


def state_counts(moment: Moment, mask: Bool | None) -> dict[str, int]:
    counts = np.bincount(_of(moment.states, mask), minlength=len(STATES))
    return {state: int(count) for state, count in zip(STATES, counts, strict=True)}


def part_counts(moment: Moment, parts: Parts, mask: Bool | None) -> dict[str, dict[str, int]]:
    found = {}
    for split in parts.splits:
        codes = parts.split(moment.stored, split)
        counts = np.bincount(_of(codes.codes, mask) + 1, minlength=len(codes.names) + 1)[1:]
        found[split] = {name: int(count) for name, count in zip(codes.names, counts, strict=True)}
    return found


def value_counts(moment: Moment, column: str, mask: Bool | None) -> Values:
    codes = moment.stored.column(column)
    counts = np.bincount(_of(codes.codes, mask), minlength=len(codes.values))
    top = np.argsort(-counts, kind="stable")[:MOST_VALUES]
    top = top[counts[top] > 0]
    names = codes.values.take(pa.array(top)).to_pylist()
    shown = {name: int(count) for name, count in zip(names, counts[top], strict=True)}
    return Values(column, shown, int(counts.sum()) - sum(shown.values()), int((counts > 0).sum()))


def date_bars(moment: Moment, mask: Bool | None) -> Dates:
    """Bars of a day, month, year or more: the finest of which :data:`MOST_BARS` reach from the first to the last."""
    first, last = (_of(each, mask) for each in moment.stored.days)
    dated = first != days.NONE
    without = int(len(first) - dated.sum())
    if not dated.any():
        return Dates((), "day", 0, without)
    first, last = first[dated], last[dated]
    edges, unit = _edges(int(first.min()), int(last.max()))
    at = np.searchsorted(edges, first, side="right") - 1
    whole = last < edges[at + 1]
    counts = np.bincount(at[whole], minlength=len(edges) - 1)
    bars = zip(edges, edges[1:], counts, strict=False)
    shown = tuple(Bar(days.day_text(start), days.day_text(end - 1), int(count)) for start, end, count in bars)
    return Dates(shown, unit, int(len(whole) - whole.sum()), without)


def _edges(first: int, last: int) -> tuple[npt.NDArray[np.int64], str]:
    """Days at which bars begin, and the day after the last."""
    if last - first < MOST_BARS:
        return np.arange(first, last + 2, dtype=np.int64), "day"
    start, end = date.fromisoformat(days.day_text(first)), date.fromisoformat(days.day_text(last))
    months = (end.year - start.year) * 12 + end.month - start.month + 1
    if months <= MOST_BARS:
        begin = start.year * 12 + start.month - 1
        return np.array([_month(begin + i) for i in range(months + 1)], np.int64), "month"
    step = 1
    for step in (1, 10, 100, 1000):
        years = range(start.year // step * step, end.year + step + 1, step)
        if len(years) - 1 <= MOST_BARS:
            break
    return np.array([_month(max(year, 1) * 12) for year in years], np.int64), "year" if step == 1 else f"{step} years"


def _month(number: int) -> int:
    """The day on which a month begins; months are counted from the year 0."""
    year, month = divmod(number, 12)
    if year > 9999:
        return days.day_number(date.max) + 1
    return days.day_number(date(year, month + 1, 1))


def places(moment: Moment, mask: Bool | None) -> tuple[int, tuple[float, float, float, float] | None]:
    """(specimens with a place, west, south, east, north of them); the box crosses 180° where that makes it narrower."""
    latitude, longitude = _of(moment.stored.latitude, mask), _of(moment.stored.longitude, mask)
    there = ~(np.isnan(latitude) | np.isnan(longitude))
    if not there.any():
        return 0, None
    latitude, longitude = latitude[there], longitude[there]
    west, east = _narrowest(longitude)
    box = (west, float(latitude.min()), east, float(latitude.max()))
    return int(there.sum()), (box[0], box[1], box[2], box[3])


def _narrowest(longitude: npt.NDArray[np.float32]) -> tuple[float, float]:
    """West and east of the narrowest span that has all: what lies outside is the widest gap."""
    west, east = float(longitude.min()), float(longitude.max())
    if east - west <= 180:
        return west, east
    at = np.flatnonzero(np.bincount(np.clip((longitude + 180).astype(np.int64), 0, 359), minlength=360))  # by whole degrees
    gaps = np.diff(at)
    widest = int(gaps.argmax()) if len(gaps) else 0
    if not len(gaps) or gaps[widest] - 1 <= 360 - (at[-1] - at[0]):
        return west, east
    split = at[widest] - 180 + 1
    return float(longitude[longitude >= split].min()), float(longitude[longitude < split].max())


def _of(values: npt.NDArray[np.generic], mask: Bool | None) -> npt.NDArray[np.generic]:
    return values if mask is None else values[mask]


def chosen(columns: Sequence[str], view_columns: Sequence[tuple[str, str]]) -> list[str]:
    """Columns to count: those asked for, and those that the view selects by."""
    return list(dict.fromkeys([*columns, *(name for name, _ in view_columns)]))
