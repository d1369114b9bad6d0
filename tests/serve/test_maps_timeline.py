"""Dates in steps."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import numpy as np
import pytest

from biocosmos.serve.places.timeline import MOST_STEPS, NONE, Timeline

EPOCH = date(1970, 1, 1)


def days(*dates: date) -> np.ndarray:
    return np.array([(each - EPOCH).days for each in dates], np.int32)


@pytest.mark.parametrize(
    ("years", "unit", "letters"),
    [(0.5, "day", 10), (3, "month", 7), (60, "year", 4), (900, "decade", 3), (1900, "decade", 3)],
)
def test_steps_are_those_of_the_calendar(years: float, unit: str, letters: int) -> None:
    random = np.random.default_rng(0)
    span = int(years * 365)
    found = [date(2020, 1, 1) - timedelta(days=int(back)) for back in random.integers(0, span, 3000)]
    numbers = days(*found)
    line = Timeline.of(numbers, numbers)
    assert line.unit == unit and len(line.firsts) <= MOST_STEPS
    expected = Counter(each.isoformat()[:letters] for each in found)
    assert {first[:letters]: count for first, count in zip(line.firsts, line.every.tolist()) if count} == expected
    assert line.every.sum() == 3000 and line.vague == line.undated == 0
    mask = random.random(3000) < 0.3
    assert line.counts(mask).sum() == mask.sum()


def test_what_is_dated_less_exactly_is_counted_apart() -> None:
    first = days(date(2020, 1, 1), date(2020, 1, 1), date(2021, 5, 5), date(1, 1, 1))
    last = days(date(2020, 1, 1), date(2020, 12, 31), date(2021, 5, 5), date(1900, 12, 31))
    first, last = np.append(first, NONE), np.append(last, NONE)
    line = Timeline.of(first.astype(np.int32), last.astype(np.int32))
    assert line.unit == "month" and line.firsts[0] == "2020-01" and line.lasts[-1] == "2021-05"
    assert (line.every.sum(), line.vague, line.undated) == (2, 2, 1)
    assert line.steps.tolist() == [0, -1, 16, -1, -1]


def test_nothing_is_dated() -> None:
    none = np.full(4, NONE, np.int32)
    line = Timeline.of(none, none)
    assert (line.unit, line.firsts, line.undated) == ("", [], 4)
    assert line.counts(np.ones(4, bool)).tolist() == []
    empty = Timeline.of(none[:0], none[:0])
    assert empty.undated == 0


def test_steps_are_dates_that_a_view_understands() -> None:
    from biocosmos.serve.catalogue import View

    numbers = days(date(1, 1, 1), date(9999, 12, 31))
    line = Timeline.of(numbers, numbers)
    assert line.every.sum() == 2
    view = View(dates=(line.firsts[0], line.lasts[-1]))
    assert view.dates == ("0001", "9999")
