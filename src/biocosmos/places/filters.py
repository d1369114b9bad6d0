"""Specimens by where and when they were found: what a person writes, as functions within a condition, and these as plain SQL.

    near(52.05, 5.05, 10)      within 10 km of a place, along the great circle
    box(50, 3, 54, 8)          south, west, north, east; over the antimeridian where west is greater than east
    season('03-01/05-31')      the first and the last day of a part of the year, over the new year where it begins later
    depths(0, 100)             metres below the surface; null leaves an end open
    country('NL')              ISO 3166-1, or a name in English

They stand in any condition: ``near(52.05, 5.05, 10) AND label = 'Pica pica'``. A specimen that does not say what a function asks
for is never within it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from biocosmos.errors import BiocosmosError
from biocosmos.places.coordinates import check_place, parse_degrees, parse_place
from biocosmos.places.countries import country_code
from biocosmos.places.sphere import EARTH

HALF_WAY_ROUND = 20_037.6
"""Kilometres: nothing is further away."""
MOST = 8
"""Functions in one condition; each is a long term of the engine's."""
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
LEAP_YEAR = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
_DAY = re.compile(r"(\d{1,2})-(\d{1,2})")
_NEAR = re.compile(r"(.+?)\s*:\s*(\d+(?:\.\d+)?)\s*(km|m)", re.IGNORECASE)
_DEPTHS = re.compile(r"(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)?\s*m?", re.IGNORECASE)


class Condition(NamedTuple):
    """sql: what must hold; known: that a specimen says what is asked for, ``what``."""

    sql: str
    known: str
    what: str


# ------------------------------------------------------------------ what a person writes after an option


def near_words(text: str) -> str:
    """ "52.05,5.05:10km", "52°03'N 5°03'E:500m" as a function.

    Raises BiocosmosError for a text that is no such thing, as all of these do.

    >>> near_words("52.05,5.05:500m")
    'near(52.05, 5.05, 0.5)'
    """
    found = _NEAR.fullmatch(text.strip())
    if found is None:
        raise BiocosmosError(f"--near {text!r} is not LATITUDE,LONGITUDE:KILOMETRESkm: write 52.05,5.05:10km")
    latitude, longitude = parse_place(found[1])
    said = f"near({latitude:.12g}, {longitude:.12g}, {float(found[2]) / (1 if found[3].lower() == 'km' else 1000):.12g})"
    _near([f"{part}" for part in said[5:-1].split(", ")], {"latitude": "", "longitude": ""}, list)
    return said


def box_words(text: str) -> str:
    """ "50,3,54,8" as a function.

    >>> box_words("-20,170,-10,-175")
    'box(-20, 170, -10, -175)'
    """
    parts = text.split(",")
    if len(parts) != 4:
        raise BiocosmosError(f"--box {text!r} is not SOUTH,WEST,NORTH,EAST: write 50,3,54,8")
    sides = [f"{parse_degrees(part):.12g}" for part in parts]
    _box(sides, {"latitude": "", "longitude": ""}, list)
    return f"box({', '.join(sides)})"


def season_words(text: str) -> str:
    """ "03-01/05-31", "11/02", "june/august", "04" as a function.

    >>> season_words("june/august")
    "season('06-01/08-31')"
    """
    return f"season('{'/'.join(season_days(text))}')"


def depths_words(text: str) -> str:
    """ "0-100", "200-" as a function, in metres below the surface.

    >>> depths_words("200-")
    'depths(200, null)'
    """
    found = _DEPTHS.fullmatch(text.strip())
    if found is None:
        raise BiocosmosError(f"--depths {text!r} is not LEAST-GREATEST in metres below the surface: write 0-100 or 200-")
    ends = [float(found[1]), None if found[2] is None else float(found[2])]
    parts = ["null" if end is None else f"{end:.12g}" for end in ends]
    _depths(parts, {"depth_min": ""}, list)
    return f"depths({', '.join(parts)})"


def country_words(text: str) -> str:
    """ "NL", "NLD", "Netherlands" as a function."""
    code = country_code(text)
    if code is None:
        raise BiocosmosError(f"{text!r} is no country: write a code of ISO 3166-1, NL or NLD, or its name in English")
    return f"country('{code}')"


OPTIONS: dict[str, Callable[[str], str]] = {
    "near": near_words,
    "box": box_words,
    "season": season_words,
    "depths": depths_words,
}


def season_days(text: str) -> tuple[str, str]:
    """("MM-DD", "MM-DD") of the first and the last day of a part of the year; of months alone their first and last."""
    first, slash, last = text.partition("/")
    return _season_day(first, text, last=False), _season_day(last if slash else first, text, last=True)


# ------------------------------------------------------------------ functions as SQL


def _numbers(parts: Sequence[str], count: int, name: str) -> list[float]:
    try:
        found = [float(part) for part in parts]
    except ValueError:
        found = []
    if len(found) != count or not all(abs(number) < 1e9 for number in found):
        raise BiocosmosError(f"{name}({', '.join(parts)}) needs {count} numbers: {EXAMPLES[name]}")
    return found


def _degrees(columns: Mapping[str, str]) -> tuple[str, str, str]:
    """(latitude, longitude, that there is a place): 0,0 is none, as :meth:`biocosmos.places.Places.of_table` has it."""
    latitude, longitude = (f"`{_column(columns, name)}`" for name in ("latitude", "longitude"))
    known = (
        f"({latitude} >= -90 AND {latitude} <= 90 AND {longitude} >= -180 AND {longitude} <= 180"
        f" AND NOT ({latitude} = 0 AND {longitude} = 0))"
    )
    return latitude, longitude, known


def _near(parts: Sequence[str], columns: Mapping[str, str], countries: Callable[[], Sequence[str]]) -> Condition:
    """The haversine formula, as :func:`biocosmos.places.great_circle`: right across the antimeridian and at the poles."""
    north, east, kilometres = _numbers(parts, 3, "near")
    check_place(north, east, f"near({', '.join(parts)})")
    if not 0 < kilometres <= HALF_WAY_ROUND:
        raise BiocosmosError(f"near({', '.join(parts)}): the distance must be above 0 and at most {HALF_WAY_ROUND:,.0f} km")
    latitude, longitude, known = _degrees(columns)
    half = (
        f"power(sin(radians({latitude} - ({north!r})) / 2), 2) + cos(radians({north!r})) * cos(radians({latitude}))"
        f" * power(sin(radians({longitude} - ({east!r})) / 2), 2)"
    )
    # rounding may lift the sum a hair above 1 on the other side of the Earth, where asin knows no answer
    return Condition(f"({known} AND 2 * {EARTH} * asin(sqrt(least(1.0, {half}))) <= {kilometres!r})", known, "place")


def _box(parts: Sequence[str], columns: Mapping[str, str], countries: Callable[[], Sequence[str]]) -> Condition:
    """Its sides belong to it."""
    south, west, north, east = _numbers(parts, 4, "box")
    said = f"box({', '.join(parts)})"
    if not (abs(south) <= 90 and abs(north) <= 90 and abs(west) <= 180 and abs(east) <= 180):
        raise BiocosmosError(f"{said} lies outside latitude -90..90, longitude -180..180: {EXAMPLES['box']}")
    if south > north:
        raise BiocosmosError(f"{said} has its south above its north: {EXAMPLES['box']}")
    latitude, longitude, known = _degrees(columns)
    sides = f"{longitude} >= ({west!r}) {'OR' if west > east else 'AND'} {longitude} <= ({east!r})"
    return Condition(f"({known} AND {latitude} >= ({south!r}) AND {latitude} <= ({north!r}) AND ({sides}))", known, "place")


def _season(parts: Sequence[str], columns: Mapping[str, str], countries: Callable[[], Sequence[str]]) -> Condition:
    """The first and the last day belong to it, 29 February lies between the 28th and 1 March. A date that is an interval must
    begin and end in the season, a month wholly; a year alone, and a date that is not ISO 8601, is of no season."""
    start, end = season_days(_quoted(parts, "season"))
    end = f"{end[:2]}-31" if int(end[3:]) == LENGTHS[int(end[:2]) - 1] else end  # so that a date that is a month lies in it
    column = f"`{_column(columns, 'date')}`"
    # an end without what it shares with the beginning, 2007-11-13/15 and 2007-11-13/12-02, is written out
    plain = rf"regexp_replace({column}, '^([0-9]{{4}}-[0-9]{{2}}-)([0-9]{{2}})/([0-9]{{2}})$', '${{1}}${{2}}/${{1}}${{3}}')"
    plain = (
        rf"regexp_replace({plain}, '^([0-9]{{4}}-)([0-9]{{2}}-[0-9]{{2}})/([0-9]{{2}}-[0-9]{{2}})$', '${{1}}${{2}}/${{1}}${{3}}')"
    )
    begin = f"split_part({plain}, '/', 1)"
    until = f"coalesce(nullif(split_part({plain}, '/', 2), ''), {begin})"
    first_day, last_day = f"right(left(concat({begin}, '-01'), 10), 5)", f"right(left(concat({until}, '-31'), 10), 5)"
    years = f"TRY_CAST(left({until}, 4) AS INT) - TRY_CAST(left({begin}, 4) AS INT)"
    ended = f"{last_day} <= '{end}'"
    if end == "02-28":  # a whole February of 28 days ends with it
        ended = f"({ended} OR (regexp_like({until}, '^[0-9]{{4}}-02$') AND NOT regexp_like({until}, '^{LEAP_YEAR}-')))"
    month, day = "(0[1-9]|1[0-2])", "(0[1-9]|[12][0-9]|3[01])"
    moment = f"[0-9]{{4}}-{month}(-{day}([T ][^/]*)?)?"
    known = (
        f"(regexp_like({column}, '^{moment}(/({moment}|{day}|{month}-{day}))?$')"
        f" AND NOT regexp_like({column}, '-02-3|-(04|06|09|11)-31'))"
    )
    if start <= end:
        inside = f"{first_day} >= '{start}' AND {ended} AND {years} = 0"
    else:
        one = f"({years} = 0 AND ({first_day} >= '{start}' OR {ended}))"
        inside = f"({one} OR ({years} = 1 AND {first_day} >= '{start}' AND {ended}))"
    return Condition(f"({known} AND {inside})", known, "day of the year")


def _depths(parts: Sequence[str], columns: Mapping[str, str], countries: Callable[[], Sequence[str]]) -> Condition:
    """The middle of a specimen's depths lies within."""
    if len(parts) != 2 or all(part.lower() == "null" for part in parts):
        raise BiocosmosError(f"depths({', '.join(parts)}) needs a least and a greatest depth: {EXAMPLES['depths']}")
    low, high = (None if part.lower() == "null" else _numbers([part], 1, "depths")[0] for part in parts)
    if low is not None and high is not None and low > high:
        raise BiocosmosError(f"depths({', '.join(parts)}) has its least depth below its greatest: {EXAMPLES['depths']}")
    there = [name for name in ("depth_min", "depth_max") if name in columns]
    least, *more = [f"TRY_CAST(`{columns[name]}` AS DOUBLE)" for name in there] or [_column(columns, "depth_min")]
    greatest = more[0] if more else least
    middle = f"(coalesce({least}, {greatest}) + coalesce({greatest}, {least})) / 2"
    said = [f"{middle} {sign} ({bound!r})" for sign, bound in ((">=", low), ("<=", high)) if bound is not None]
    return Condition(f"({' AND '.join(said)})", f"({least} IS NOT NULL OR {greatest} IS NOT NULL)", "depth")


def _country(parts: Sequence[str], columns: Mapping[str, str], countries: Callable[[], Sequence[str]]) -> Condition:
    name = _quoted(parts, "country")
    code = country_code(name)
    if code is None:
        raise BiocosmosError(f"country('{name}') is not known: write a code of ISO 3166-1, NL or NLD, or its name in English")
    column = _column(columns, "country")
    spelt = ["'" + each.replace("'", "''") + "'" for each in countries() if country_code(each) == code]
    return Condition(f"(`{column}` IN ({', '.join(spelt)}))" if spelt else "false", f"(`{column}` IS NOT NULL)", "country")


FUNCTIONS: dict[str, Callable[[Sequence[str], Mapping[str, str], Callable[[], Sequence[str]]], Condition]] = {
    "near": _near,
    "box": _box,
    "season": _season,
    "depths": _depths,
    "country": _country,
}
EXAMPLES = {
    "near": "write near(52.05, 5.05, 10)",
    "box": "write box(50, 3, 54, 8), which is south, west, north, east",
    "season": "write season('03-01/05-31')",
    "depths": "write depths(0, 100) or depths(200, null)",
    "country": "write country('NL')",
}
_CALL = re.compile(rf"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|\b(?P<name>{'|'.join(FUNCTIONS)})\s*\((?P<parts>[^()]*)\)", re.IGNORECASE)


def spelt_out(
    where: str, columns: Mapping[str, str], countries: Callable[[], Sequence[str]]
) -> tuple[str, tuple[Condition, ...]]:
    """(the condition as plain SQL, what its functions ask for).

    Args:
        where: a condition with or without functions.
        columns: latitude, longitude, date, depth_min, depth_max, country -> the column that says it; those that are there.
        countries: the texts that the column of countries holds.

    Raises:
        BiocosmosError: a function that is told something it cannot be, more than :data:`MOST` of them, or no column for one.
    """
    asked: list[Condition] = []

    def plain(found: re.Match[str]) -> str:
        if found["name"] is None:
            return found[0]
        parts = [part.strip() for part in found["parts"].split(",")]
        asked.append(FUNCTIONS[found["name"].lower()](parts, columns, countries))
        return asked[-1].sql

    sql = _CALL.sub(plain, where)
    if len(asked) > MOST:
        raise BiocosmosError(f"more than {MOST} places, seasons and depths in one condition: add a column that says it")
    return sql, tuple(asked)


def _column(columns: Mapping[str, str], name: str) -> str:
    if name not in columns:
        raise BiocosmosError(f"no specimen has a {name.partition('_')[0]}: add a column {name} ('biocosmos update')")
    return columns[name]


def _quoted(parts: Sequence[str], name: str) -> str:
    text = ", ".join(parts)
    if len(text) < 3 or text[0] != "'" or text[-1] != "'":
        raise BiocosmosError(f"{name}({text}) needs a text in single quotes: {EXAMPLES[name]}")
    return text[1:-1].replace("''", "'")


def _season_day(part: str, text: str, *, last: bool) -> str:
    part = part.strip().lower()
    found = _DAY.fullmatch(part)
    if found is not None:
        month, day = int(found[1]), int(found[2])
    else:
        named = next((number for number, name in enumerate(MONTHS, 1) if part[:3] == name and part.isalpha()), 0)
        month = int(part) if part.isdecimal() and part.isascii() and len(part) <= 2 else named
        day = LENGTHS[month - 1] if last and 1 <= month <= 12 else 1
    if not 1 <= month <= 12 or not 1 <= day <= LENGTHS[month - 1]:
        raise BiocosmosError(f"the season {text!r} is not a part of the year: write 03-01/05-31, 11/02 or june/august")
    return f"{month:02}-{day:02}"
