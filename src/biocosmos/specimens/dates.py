"""Dates and times as people write them: what is certain is understood, what is not is said to be so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timezone

from biocosmos.places.days import ends_of

MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")
"""Museum labels number the months so: 13.vi.2020."""

_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?"
_ZONE = r"(?P<zone>Z|z|UTC|GMT|[+-]\d{2}:?\d{2})"
TIME = re.compile(rf"(?:{_CLOCK}|(?P<digits>\d{{4}}(?:\d{{2}})?))\s*{_ZONE}?")
YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})")
COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")
YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})")
PARTIAL = re.compile(r"(?:[A-Za-z]{3,}\.? )?\d{4}(?:[-/.]\d{1,2}(?:[-/.]0{1,2})?)?")
SHORT_YEAR = re.compile(r"\d{1,2}[-/.]\d{1,2}[-/.]\d{2}")
DAY_NAMED = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?[\s./-]+([A-Za-z]+)\.?,?[\s./-]+(\d{4})")
NAMED_DAY = re.compile(r"([A-Za-z]+)\.?\s+(\d{1,2})(?:st|nd|rd|th)?,?\s+(\d{4})")

ISO = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d{2})(?:-(?P<day>\d{2})"
    r"(?:T(?P<hour>\d{2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.\d+)?)?(?:Z|[+-]\d{2}(?::?\d{2})?)?)?)?)?"
)
"""A day, a month, a year or a moment as Darwin Core's eventDate wants them."""

UNKNOWN = "is not a date that is understood"


@dataclass(frozen=True)
class When:
    """What a text says of a time: the whole day and the time of day where they are certain, else the reason in ``problem``.

    day: None where the text names no whole day, or might mean two. clock: None where no time of day is told. Both are UTC where
    the text names a time zone, else as they are written.
    """

    day: date | None = None
    clock: time | None = None
    problem: str | None = None


def read_date(text: str) -> When:
    """Understand a date, with or without a time behind it; ISO 8601, compact, day.month.year and named months.

    >>> read_date("13.06.2020").day
    datetime.date(2020, 6, 13)
    >>> read_date("3/7/2010").problem
    'may be 3 July or 7 March'
    """
    text = " ".join(text.split())
    if not text:
        return When()
    first, slash, last = text.partition("/")
    if slash and re.fullmatch(r"\d{4}(-?\d{2}){0,2}([T ].*)?", first) and "/" not in last and len(last) >= 4:
        start, end = read_date(first), read_date(last)
        return start if start.day is not None and start == end else When(problem="is a span of time, not one day")
    when = _day(text)
    if when.day is None and (split := _split(text)) is not None:
        apart = _day(split[0])
        if apart.day is not None:
            return _with_clock(apart, split[1])
        return apart if when.problem == UNKNOWN else when
    return when


def iso_date(text: str) -> tuple[str | None, str | None]:
    """(the text as ISO 8601 has it, what is wrong with it): a year, month, day or span that is written so stays as it is.

    A time of day without a zone stays without one; where only the time is not understood the day is there all the same.

    >>> iso_date("13.06.2020 10:05")
    ('2020-06-13T10:05:00', None)
    >>> iso_date("2020-06/2020-08")
    ('2020-06/2020-08', None)
    """
    text = " ".join(text.split())
    if all(_is_iso(end) for end in ends_of(text)):
        return text, None
    said = read_date(text)
    if said.day is None:
        return None, said.problem or UNKNOWN
    if said.clock is None:
        return said.day.isoformat(), said.problem
    zone = "Z" if re.search(rf"{_ZONE}$", text) else ""
    return f"{said.day.isoformat()}T{said.clock.isoformat()}{zone}", said.problem


def moment_of(text: str) -> tuple[datetime | None, bool]:
    """(the moment at which a date begins, whether the text tells it whole): midnight and UTC where it does not say.

    >>> moment_of("2020-06-13T10:05+02")[0].isoformat()
    '2020-06-13T10:05:00+02:00'
    """
    date, _ = iso_date(text)
    if date is None:
        return None, False
    day, _, clock = ends_of(date)[0].partition("T")
    found = datetime.fromisoformat(f"{day}{'-01' * (2 - day.count('-'))}T{clock or '00:00'}")
    return (found, True) if found.tzinfo is not None else (found.replace(tzinfo=timezone.utc), False)


def _is_iso(text: str) -> bool:
    found = ISO.fullmatch(text)
    if found is None:
        return False
    try:
        date(int(found["year"]), int(found["month"] or 1), int(found["day"] or 1))
        time.fromisoformat(text.partition("T")[2] or "00:00")
    except ValueError:
        return False
    return True


def read_time(text: str) -> When:
    """Understand a time of day: 10:11, 10:11:12, 3:45 PM, 1011, 101112; digits that a spreadsheet robbed of their zeros too."""
    text = text.strip()
    if not text:
        return When()
    if re.fullmatch(r"\d{1,6}", text):  # 320 is 03:20 and 92530 is 09:25:30
        text = text.zfill(4) if len(text) <= 4 else text.zfill(6)
    return _with_clock(When(date(2000, 1, 1)), text, zoned=False)


def _split(text: str) -> tuple[str, str] | None:
    """(date, time) at the last place where a time of day may begin."""
    for found in reversed(list(re.finditer(r"(?<=\d)[Tt](?=\d)|,?\s+(?=\d)", text))):
        clock = text[found.end() :]
        if TIME.fullmatch(clock):
            return text[: found.start()], clock
    return None


def _day(text: str) -> When:
    if found := YEAR_FIRST.fullmatch(text):
        year, _, month, day = found.groups()
        if int(day) or int(month):
            return _whole(int(year), int(month), int(day)) if int(day) else When(problem="names no day")
    if found := COMPACT.fullmatch(text):
        return _whole(*(int(part) for part in found.groups()))
    if found := YEAR_LAST.fullmatch(text):
        return _year_last(int(found[1]), found[2], int(found[3]), int(found[4]))
    for form, order in ((DAY_NAMED, (3, 2, 1)), (NAMED_DAY, (3, 1, 2))):
        if found := form.fullmatch(text):
            month = _month(found[order[1]])
            if month is not None:
                return _whole(int(found[order[0]]), month, int(found[order[2]]))
    if PARTIAL.fullmatch(text):
        return When(problem="names no day")
    if SHORT_YEAR.fullmatch(text):
        return When(problem="has a year of two digits")
    return When(problem=UNKNOWN)


def _year_last(first: int, separator: str, second: int, year: int) -> When:
    """Day and month before the year: points are written where the day comes first, slashes and hyphens by anybody."""
    if separator == "." or first > 12 or first == second:
        return _whole(year, second, first)
    if second > 12:
        return _whole(year, first, second)
    months = [MONTHS[number - 1].capitalize() if 1 <= number <= 12 else "?" for number in (first, second)]
    return When(problem=f"may be {first} {months[1]} or {second} {months[0]}")


def _whole(year: int, month: int, day: int) -> When:
    try:
        return When(date(year, month, day))
    except ValueError:
        return When(problem="is a day that no calendar has")


def _month(name: str) -> int | None:
    lowered = name.lower()
    if lowered in ROMAN:
        return ROMAN.index(lowered) + 1
    found = [i for i, month in enumerate(MONTHS, 1) if len(lowered) >= 3 and month.startswith(lowered)]
    if lowered == "sept":
        return 9
    return found[0] if len(found) == 1 else None


def _with_clock(when: When, text: str, *, zoned: bool = True) -> When:
    """The day with a time of day; moved to UTC where the text names a zone, which may change the day."""
    found = TIME.fullmatch(text)
    if found is None:
        return When(when.day, problem=f"{text!r} is not a time of day that is understood")
    digits = found["digits"]
    parts = (digits[:2], digits[2:4], digits[4:] or "0") if digits else (found["hour"], found["minute"], found["second"] or "0")
    hour, minute, second = (int(part) for part in parts)
    if half := (found["half"] or "").lower():
        if not 1 <= hour <= 12:
            return When(when.day, problem=f"{text!r} is a time of day that no clock shows")
        hour = hour % 12 + (12 if half == "p" else 0)
    try:
        clock = time(hour, minute, second)
    except ValueError:
        return When(when.day, problem=f"{text!r} is a time of day that no clock shows")
    zone = found["zone"]
    if zoned and zone and zone[0] in "+-" and when.day is not None:
        try:
            local = datetime.fromisoformat(f"{when.day.isoformat()}T{clock.isoformat()}{zone[:3]}:{zone[-2:]}")
            moved = local.astimezone(timezone.utc)
        except ValueError:
            return When(when.day, problem=f"{text!r} has a time zone that is none")
        except OverflowError:
            return When(when.day, problem=f"{text!r} lies outside the calendar")
        return When(moved.date(), moved.time())
    return When(when.day, clock)
