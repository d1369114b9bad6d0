"""Days of the year, cyclic: dates and spans in ISO 8601 as a collection keeps them, and how far two days are apart."""

from __future__ import annotations

import re
from calendar import isleap
from datetime import date, datetime, timedelta, timezone

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError

YEAR = 365.25
"""Days of a year, on average: one way around the seasons."""
LONGEST = 183.0
"""A span of more days than this is of no season."""
SEASON_DAY = re.compile(r"(?:--)?(\d{1,2})-(\d{1,2})")
SHORT_END = r"\d{2}(-\d{2})?"
"""The end of a span without what it shares with the beginning: 2007-11-13/15."""
MOMENT = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?(Z|[+-]\d{2}(?::?\d{2})?)?)?)?)?")


def days_apart(day: npt.ArrayLike, other: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Days between two days of the year, the shorter way around: 0 to 182.625; nan where one is nan; shapes broadcast.

    >>> float(days_apart(364.5, 0.5))
    1.25
    """
    apart = np.abs(np.asarray(day, np.float64) - np.asarray(other, np.float64)) % YEAR
    nearer: npt.NDArray[np.float64] = np.minimum(apart, YEAR - apart)
    return nearer


def day_of(text: str | None) -> float:
    """Days since 1 January 00:00 of a year of 365.25 days, in [0, 365.25), of the middle of what a text in ISO 8601 names.

    A day is the span of its 24 hours, a month all of it; "2007-11-13/15" and "2007-12-30/2008-01-02" are spans. nan: no text, no
    date, a year, or a span of more than half a year. Years of 365 and of 366 days are stretched to one length: 29 February lies
    between the 28th and 1 March, and 31 December before 1 January, in all of them.

    >>> round(day_of("2024-02-29"), 2), round(day_of("2023-12-31/2024-01-01"), 2), day_of("2024")
    (59.38, 0.0, nan)
    """
    span = _span(text) if text else None
    if span is None:
        return float("nan")
    start, end = span
    if end < start or (end - start).total_seconds() > LONGEST * 86400:
        return float("nan")
    return _phase(start + (end - start) / 2)


def days_of(texts: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
    """(n,) float64: :func:`day_of` of each; equal texts are read once."""
    known: dict[str | None, float] = {}
    return np.array([known[text] if text in known else known.setdefault(text, day_of(text)) for text in texts], np.float64)


def parse_day(text: str) -> float:
    """:func:`day_of` a text that a person gave: a date, a month, a span, or a day of any year ("06-04", month first).

    Raises:
        BiocosmosError: no such day, or none of a season.

    >>> parse_day("06-04") == parse_day("2026-06-04")
    True
    """
    text = text.strip()
    found = SEASON_DAY.fullmatch(text)
    if found:
        month, of_month = int(found[1]), int(found[2])
        day = day_of(f"{2024 if (month, of_month) == (2, 29) else 2026}-{month:02}-{of_month:02}")
    else:
        day = day_of(text)
    if np.isnan(day):
        raise BiocosmosError(f"{text!r} is not a day of the year: write 2026-06-04, 2026-06, 06-04 or 2026-06-01/2026-06-15")
    return day


def ends_of(text: str) -> tuple[str, str]:
    """The first and the last part of a span, the last one whole; what is no span is both.

    >>> ends_of("2007-11-13/15")
    ('2007-11-13', '2007-11-15')
    """
    first, slash, last = text.partition("/")
    if re.fullmatch(SHORT_END, last):
        last = first[: -len(last)] + last
    return first, last if slash else first


def span_of(text: str) -> tuple[date, date] | None:
    """(first day, last day) of what a text in ISO 8601 names; None: it names none, or its end lies before its beginning."""
    span = _span(text)
    if span is None or span[1] < span[0]:
        return None
    end = span[1] if span[1] == span[0] else span[1] - timedelta(microseconds=1)
    return span[0].date(), end.date()


def _phase(moment: datetime) -> float:
    start = datetime(moment.year, 1, 1)
    length = 366 if isleap(moment.year) else 365
    return (moment - start).total_seconds() / 86400 / length * YEAR % YEAR


def _span(text: str) -> tuple[datetime, datetime] | None:
    first, last = ends_of(text.strip())
    start, end = _moment(first), _moment(last)
    return None if start is None or end is None else (start[0], end[1])


def _moment(text: str) -> tuple[datetime, datetime] | None:
    """From when to when: a year, a month, a day, or a moment (UTC where it names a zone)."""
    found = MOMENT.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (None if part is None else int(part) for part in found.groups()[:6])
    try:
        start = datetime(int(year or 0), month or 1, day or 1, hour or 0, minute or 0, second or 0)
        if hour is not None:
            start = _without_zone(start, found[7])
            return start, start
        if day is not None:
            return start, start + timedelta(days=1)
        if month is not None:
            return start, datetime(start.year + month // 12, month % 12 + 1, 1)
        return start, datetime(start.year + 1, 1, 1)
    except (ValueError, OverflowError):
        return None


def _without_zone(start: datetime, zone: str | None) -> datetime:
    if not zone or zone == "Z":
        return start
    hours, minutes = int(zone[1:3]), int(zone[-2:]) if len(zone) > len("+01") else 0
    ahead = timedelta(hours=hours, minutes=minutes) * (1 if zone[0] == "+" else -1)
    return start.replace(tzinfo=timezone(ahead)).astimezone(timezone.utc).replace(tzinfo=None)
