"""Dates as people write them: the sure ones are understood, the others are told apart and why."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biocosmos.specimens.dates import When, iso_date, moment_of, read_date, read_time

SIXTH = date(2020, 6, 13)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "2020-06-13",
            "2020-6-13",
            "2020/06/13",
            "20200613",
            "13.06.2020",
            "13.6.2020",
            "13/06/2020",
            "06/13/2020",
            "13-6-2020",
        ),
        *("13 June 2020", "13-Jun-2020", "June 13, 2020", "jun 13 2020", "13th June 2020", "13.vi.2020", "13 VI 2020"),
        *(" 2020-06-13 ", "2020-06-13/2020-06-13"),
    ],
)
def test_one_day_in_many_spellings(text: str) -> None:
    assert read_date(text) == When(SIXTH)


@pytest.mark.parametrize("text", ["2020-06-13T10:11:12Z", "2020-06-13 10:11:12.5", "13.06.2020 10:11:12", "20200613T101112"])
def test_a_time_behind_the_day(text: str) -> None:
    assert read_date(text) == When(SIXTH, time(10, 11, 12))


@pytest.mark.parametrize("zone", ["+99:00", "-2400"])
def test_of_a_zone_that_is_none_the_day_is_certain(zone: str) -> None:
    when = read_date(f"2020-01-01 10:00{zone}")
    assert when.day == date(2020, 1, 1) and when.clock is None and "zone" in str(when.problem)
    said, problem = iso_date(f"2020-01-01T10:00{zone}")
    assert said == "2020-01-01" and "zone" in str(problem)
    assert moment_of(f"2020-01-01T10:00{zone}") == (datetime(2020, 1, 1, tzinfo=timezone.utc), False)


def test_a_time_with_a_zone_is_moved_to_utc_and_may_change_the_day() -> None:
    assert read_date("2020-06-13T23:30-05:00") == When(date(2020, 6, 14), time(4, 30))
    assert read_date("6/13/2020 3:45 PM") == When(SIXTH, time(15, 45))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("3/7/2010", "3 July or 7 March"),
        ("3-7-2010", "3 July or 7 March"),
        ("2020-06", "no day"),
        ("2020", "no day"),
        ("June 2020", "no day"),
        ("2020-06-00", "no day"),
        ("13.06.20", "two digits"),
        ("31.02.2020", "no calendar"),
        ("20201399", "no calendar"),
        ("2020-06-01/2020-06-05", "span"),
        ("spring 2020", "no day"),
        ("yesterday", "not a date"),
        ("43995", "not a date"),
        ("NaN", "not a date"),
    ],
)
def test_what_is_not_one_day_is_told(text: str, why: str) -> None:
    said = read_date(text)
    assert said.day is None and why in str(said.problem)


@given(st.datetimes(min_value=datetime(1000, 1, 2), max_value=datetime(9998, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_every_iso_time_is_read_as_the_library_reads_it(when: datetime, minutes: int) -> None:
    when = when.replace(microsecond=0)
    assert read_date(when.isoformat()) == When(when.date(), when.time())
    zoned = when.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    utc = zoned.astimezone(timezone.utc)
    assert read_date(zoned.isoformat()) == When(utc.date(), utc.time().replace(tzinfo=None))


@given(st.text(max_size=24))
def test_no_text_makes_it_fail(text: str) -> None:
    said = read_date(text)
    assert (said.day is None) <= (said.problem is not None or not text.strip())
    read_time(text)


def test_times_that_lost_their_zeros_in_a_spreadsheet() -> None:
    assert [read_time(text).clock for text in ("92530", "320", "5", "1011", "10:11", "")] == [
        time(9, 25, 30),
        time(3, 20),
        time(0, 5),
        time(10, 11),
        time(10, 11),
        None,
    ]
    assert read_time("126000").clock is None and "no clock" in str(read_time("126000").problem)
