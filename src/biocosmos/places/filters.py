"""Specimens by where and when they were found, as SQL conditions on the columns of a collection; they go with others by AND."""

from __future__ import annotations

import re

from biocosmos.errors import BiocosmosError
from biocosmos.places.coordinates import check_place, parse_degrees, parse_place

EARTH = 6371.0088
"""As :data:`biocosmos.places.sphere.EARTH`; kilometres."""
HALF_WAY_ROUND = 20_038.0
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DAY = re.compile(r"(\d{1,2})-(\d{1,2})")


def near_condition(text: str) -> str:
    """Within so many kilometres of a place, along the great circle: "52.05,5.05,10".

    The haversine formula, as :func:`biocosmos.places.great_circle`: right across the antimeridian and at the poles.
    Raises BiocosmosError for a text that is no such thing.
    """
    place, _, radius = text.rpartition(",")
    try:
        kilometres = float(radius)
    except ValueError:
        kilometres = -1.0
    if not place or not 0 < kilometres <= HALF_WAY_ROUND:
        raise BiocosmosError(f"--near {text!r} is not LATITUDE,LONGITUDE,KILOMETRES: write 52.05,5.05,10")
    latitude, longitude = parse_place(place)
    half = (
        f"power(sin(radians(latitude - ({latitude!r})) / 2), 2) + cos(radians({latitude!r})) * cos(radians(latitude))"
        f" * power(sin(radians(longitude - ({longitude!r})) / 2), 2)"
    )
    # rounding may lift the sum a hair above 1 on the other side of the Earth, where asin knows no answer
    return f"(2 * {EARTH} * asin(sqrt(least(1.0, {half}))) <= {kilometres!r})"


def box_condition(text: str) -> str:
    """Within a box: "50,3,54,8" is south,west,north,east. One whose west is greater than its east crosses the antimeridian.

    Its sides belong to it. Raises BiocosmosError for a text that is no box.
    """
    parts = text.split(",")
    if len(parts) != 4:
        raise BiocosmosError(f"--box {text!r} is not SOUTH,WEST,NORTH,EAST: write 50,3,54,8")
    south, west, north, east = (parse_degrees(part) for part in parts)
    for latitude, longitude in ((south, west), (north, east)):
        check_place(latitude, longitude, f"--box {text}")
    if south > north:
        raise BiocosmosError(f"--box {text!r} has its south above its north: write SOUTH,WEST,NORTH,EAST")
    across = "OR" if west > east else "AND"
    sides = f"longitude >= ({west!r}) {across} longitude <= ({east!r})"
    return f"(latitude >= ({south!r}) AND latitude <= ({north!r}) AND ({sides}))"


def season_condition(text: str) -> str:
    """Found in a part of the year, in any year: "06-01/08-31", "11/02", "june/august", "04". Over the new year where it begins
    later than it ends.

    The first and the last day belong to it, 29 February lies between the 28th and 1 March. A date that is an interval must begin
    and end in the season, a month wholly; a year alone, and a date that is not ISO 8601, is of no season.
    Raises BiocosmosError for a text that is no season.
    """
    first, slash, last = text.partition("/")
    start, end = _season_day(first, text, last=False), _season_day(last if slash else first, text, last=True)
    # an end without what it shares with the beginning, 2007-11-13/15 and 2007-11-13/12-02, is written out
    plain = r"regexp_replace(`date`, '^([0-9]{4}-[0-9]{2}-)([0-9]{2})/([0-9]{2})$', '${1}${2}/${1}${3}')"
    plain = (
        rf"regexp_replace({plain}, '^([0-9]{{4}}-)([0-9]{{2}}-[0-9]{{2}})/([0-9]{{2}}-[0-9]{{2}})$', '${{1}}${{2}}/${{1}}${{3}}')"
    )
    begin = f"split_part({plain}, '/', 1)"
    until = f"coalesce(nullif(split_part({plain}, '/', 2), ''), {begin})"
    first_day, last_day = f"right(left(concat({begin}, '-01'), 10), 5)", f"right(left(concat({until}, '-31'), 10), 5)"
    years = f"TRY_CAST(left({until}, 4) AS INT) - TRY_CAST(left({begin}, 4) AS INT)"
    known = (
        r"regexp_like(`date`, '^[0-9]{4}-[0-9]{2}(-[0-9]{2}([T ][^/]*)?)?"
        r"(/([0-9]{4}-[0-9]{2}(-[0-9]{2}([T ][^/]*)?)?|[0-9]{2}(-[0-9]{2})?))?$')"
    )
    if start <= end:
        inside = f"{first_day} >= '{start}' AND {last_day} <= '{end}' AND {years} = 0"
    else:
        one = f"({years} = 0 AND ({first_day} >= '{start}' OR {last_day} <= '{end}'))"
        inside = f"({one} OR ({years} = 1 AND {first_day} >= '{start}' AND {last_day} <= '{end}'))"
    return f"({known} AND {inside})"


def depths_condition(text: str) -> str:
    """The middle of a specimen's depths lies within these metres below the surface: "0,50". Either may be blank: "200,".

    Raises BiocosmosError for a text that is no such thing.
    """
    parts = [part.strip() for part in text.split(",")]
    try:
        bounds = [float(part) if part else None for part in parts]
    except ValueError:
        bounds = []
    if len(bounds) != 2 or bounds == [None, None]:
        raise BiocosmosError(f"--depths {text!r} is not LEAST,GREATEST in metres: write 0,50 or 200,")
    low, high = bounds
    if low is not None and high is not None and low > high:
        raise BiocosmosError(f"--depths {text!r} has its least depth below its greatest: write LEAST,GREATEST")
    least, greatest = (f"TRY_CAST({name} AS DOUBLE)" for name in ("depth_min", "depth_max"))
    middle = f"(coalesce({least}, {greatest}) + coalesce({greatest}, {least})) / 2"
    said = [f"{middle} {sign} ({bound!r})" for sign, bound in ((">=", low), ("<=", high)) if bound is not None]
    return f"({' AND '.join(said)})"


def _season_day(part: str, text: str, *, last: bool) -> str:
    """ "MM-DD" of one end of a season; of a month alone its first or last day."""
    part = part.strip().lower()
    found = _DAY.fullmatch(part)
    if found is not None:
        month, day = int(found[1]), int(found[2])
    else:
        named = next((number for number, name in enumerate(MONTHS, 1) if part[:3] == name and part.isalpha()), 0)
        month = int(part) if part.isdecimal() and len(part) <= 2 else named
        day = 1
    if found is None and last and 1 <= month <= 12:
        return f"{month:02}-31"  # so that a date that is a month lies in it
    if not 1 <= month <= 12 or not 1 <= day <= LENGTHS[month - 1]:
        raise BiocosmosError(f"--season {text!r} is not a part of the year: write 06-01/08-31, 11/02 or june/august")
    return f"{month:02}-{day:02}"
