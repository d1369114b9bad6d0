"""Where and when, whatever a source calls it: uncertainty, depths, altitude, country and intervals out of a source's own columns.

Nothing is changed silently: what is read otherwise than it is written, and what looks wrong, is told with the remedy.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.places.coordinates import check_place, parse_degrees
from biocosmos.places.oddities import Minutes, odd_date, odd_depths, odd_place
from biocosmos.places.swapped import Swapped
from biocosmos.specimens.readers.columns import plain
from biocosmos.specimens.records import PLACED, STANDARD

LIMITS = {"latitude": 90.0, "longitude": 180.0}
VERBATIM = {"latitude": ("verbatimlatitude",), "longitude": ("verbatimlongitude",)}
SOURCES: dict[str, tuple[str, ...]] = {
    "uncertainty": (
        *("coordinateuncertaintyinmeters", "coordinateuncertainty", "publicpositionalaccuracy", "positionalaccuracy"),
        *("coordaccuracy", "gpsaccuracy"),
    ),
    "depth_min": ("minimumdepthinmeters", "objectdepthmin", "mindepth", "cameradepth", "depthinmeters", "depthm", "depth"),
    "depth_max": ("maximumdepthinmeters", "objectdepthmax", "maxdepth", "cameradepth", "depthinmeters", "depthm", "depth"),
    "altitude": ("minimumelevationinmeters", "elevationinmeters", "elevationm", "altitudem", "elevation", "elev"),
    "country": ("countrycode", "countryocean", "geolocname"),
}
"""Ours -> what sources call it, after :func:`plain`; the first that says something counts. Darwin Core, EcoTaxa, Camtrap DP,
iNaturalist (what is public: the other accuracy is that of a place that is not shown), BOLD, GenBank."""
HIGHEST = "maximumelevationinmeters"
WITHOUT_UNIT = ("depth", "elevation", "elev")
"""Names that say no unit: they count where there are coordinates too, and it is told that they are taken for metres."""
INTERVALS = (("deploymentstart", "deploymentend"), ("collectiondatestart", "collectiondateend"))
_METRES = re.compile(r"([-+]?\d+(?:[.,]\d+)?)(?:\s*(?:-|–|to)\s*(\d+(?:[.,]\d+)?))?\s*(?:m|metres?|meters?|m\.)?", re.IGNORECASE)
"""10, 10.5 m, 0-10 m."""
SHOWN = 3

Fail = Callable[[str, int], None]


@dataclass
class Placing:
    """The places of one source. columns: our names, and what the source calls the others, -> Arrow type.

    unreadable: what becomes of a cell that is not understood, for the messages.
    """

    columns: Mapping[str, pa.DataType]
    failures: Failures
    unreadable: str = "left blank"
    tell_dates: bool = True
    """Whether the reader leaves it to this to say which dates are not understood."""
    types: dict[str, pa.DataType] = field(default_factory=dict)
    """Columns that come to those of the source."""
    _minutes: dict[str, Minutes] = field(default_factory=lambda: {name: Minutes(name) for name in LIMITS})
    _swapped: Swapped = field(default_factory=Swapped)
    _told: Counter[str] = field(default_factory=Counter)
    _examples: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._named = {plain(name): name for name in reversed(list(self.columns))}
        if not {"latitude", "longitude"} <= set(self.columns):  # of what is it the depth?
            self._named = {name: own for name, own in self._named.items() if name not in WITHOUT_UNIT}
        for ours, theirs in SOURCES.items():
            if ours in self.columns or self._sources(theirs):
                self.types[ours] = PLACED[ours]
        if all(self._sources(theirs) for theirs in VERBATIM.values()):
            self.types |= {name: STANDARD[name] for name in LIMITS}
        if self._interval() is not None:
            self.types["date"] = STANDARD["date"]

    def _sources(self, theirs: tuple[str, ...]) -> list[str]:
        return [self._named[name] for name in theirs if name in self._named]

    def _interval(self) -> tuple[str, str] | None:
        """The columns of a beginning and an end, under our names; the beginning may be the date itself."""
        for start, end in INTERVALS:
            first = self._named.get(start) or ("date" if "date" in self.columns and start == INTERVALS[1][0] else None)
            if first is not None and end in self._named:
                return first, self._named[end]
        return None

    def fill(self, columns: dict[str, Any], rows: Sequence[int | None], fail: Fail) -> None:
        """Make the columns of :attr:`types` out of the others, and look at all of them; ``fail`` tells of a row.

        rows: their numbers in the source.
        """
        count = len(rows)
        self._coordinates(columns, count, fail)
        for ours in (name for name in SOURCES if name in self.types and name != "country"):
            columns[ours] = self._metres(ours, columns, count, fail)
        if "country" in self.types:
            columns["country"] = self._first(("country", *SOURCES["country"]), columns, count)
        countries = listed(columns.get("country"), count)
        for where in zip(listed(columns.get("latitude"), count), listed(columns.get("longitude"), count), countries, rows):
            self._swapped.add(*where)
        self._dates(columns, count, fail)
        if "depth_min" in columns or "depth_max" in columns:
            depths = (listed(columns.get(name), count) for name in ("depth_min", "depth_max"))
            for row, (low, high) in enumerate(zip(*depths)):
                if (reason := odd_depths(low, high)) is not None:
                    fail(reason, row)

    def tell(self) -> None:
        """What is told once of the whole source."""
        for what, count in self._told.items():
            examples = ", ".join(self._examples.get(what, ()))
            reason = f"{count:,} {'row' if count == 1 else 'rows'}: {what}" + (f" ({examples})" if examples else "")
            self.failures.add(reason, stage="read", severity="warning")
        for odd in (*(minutes.reason() for minutes in self._minutes.values()), *self._swapped.reasons()):
            if odd is not None:
                self.failures.add(odd, stage="read", severity="warning")
        self._told.clear()

    def _count(self, what: str, example: str = "") -> None:
        self._told[what] += 1
        known = self._examples.setdefault(what, [])
        if example and len(known) < SHOWN and example not in known:
            known.append(example)

    # -------------------------------------------------------------- coordinates

    def _coordinates(self, columns: dict[str, Any], count: int, fail: Fail) -> None:
        if not set(LIMITS) & (set(columns) | set(self.types)):
            return
        given = {name: listed(columns.get(name), count) for name in LIMITS}
        spelt = {name: listed(columns.get(next(iter(self._sources(theirs)), "")), count) for name, theirs in VERBATIM.items()}
        found: dict[str, list[float | None]] = {name: [None] * count for name in LIMITS}
        for row in range(count):
            cells = {name: given[name][row] for name in LIMITS}
            numbers, wrong = {name: degrees(cell) for name, cell in cells.items()}, False
            for name, cell in cells.items():
                number = numbers[name]
                if (
                    number is None
                    and isinstance(cell, str)
                    and (number := _typed(cell)) is not None
                    and abs(number) <= LIMITS[name]
                ):
                    numbers[name] = number
                    fail(f"{name} {cell.strip()!r} is read as {number:.6g} degrees", row)
                elif number is None or abs(number) > LIMITS[name]:
                    numbers[name] = None
                    if not is_blank(cell):
                        wrong = True
                        fail(self._refusal(name, cell, cells), row)
            if not wrong and numbers["latitude"] is None and numbers["longitude"] is None:
                numbers = self._verbatim([spelt[name][row] for name in LIMITS]) or numbers
            if numbers["latitude"] is not None and numbers["longitude"] is not None:
                if (reason := odd_place(numbers["latitude"], numbers["longitude"])) is not None:
                    fail(reason, row)
                for name, minutes in self._minutes.items():
                    minutes.add(float(numbers[name] or 0.0))
            for name in LIMITS:
                found[name][row] = numbers[name]
        for name in LIMITS:
            if name in columns or name in self.types:
                columns[name] = found[name]

    def _refusal(self, name: str, cell: Any, cells: Mapping[str, Any]) -> str:
        reason = f"{name} {cell!r} is not a number of degrees within {LIMITS[name]:g}: {self.unreadable}"
        other = degrees(cells["longitude"])
        number = degrees(cell)
        if name == "latitude" and number is not None and 90 < abs(number) <= 180 and other is not None and abs(other) <= 90:
            return f"{reason}; latitude and longitude look swapped: name the columns with --column latitude=... longitude=..."
        if name == "longitude" and number is not None and 180 < number <= 360:
            return f"{reason}; longitudes of 0 to 360 are written as -180 to 180: {number - 360:.6g} here"
        return reason

    def _verbatim(self, cells: list[Any]) -> dict[str, float | None] | None:
        """Coordinates as the source writes them out, where it has no decimal ones."""
        if any(is_blank(cell) for cell in cells):
            return None
        numbers = [_typed(str(cell)) for cell in cells]
        if numbers[0] is None or numbers[1] is None:
            self._count("verbatim coordinates are not understood, and there are no decimal ones", str(cells[0]))
            return None
        try:
            check_place(numbers[0], numbers[1], ", ".join(map(str, cells)))
        except BiocosmosError:
            self._count("verbatim coordinates lie outside latitude and longitude, and there are no decimal ones", str(cells[0]))
            return None
        self._count("the place is that of the verbatim coordinates, since there are no decimal ones", str(cells[0]))
        return {"latitude": numbers[0], "longitude": numbers[1]}

    # -------------------------------------------------------------- metres, countries, dates

    def _metres(self, ours: str, columns: dict[str, Any], count: int, fail: Fail) -> list[float | None]:
        sources = [name for name in (ours, *self._sources(SOURCES[ours])) if name in columns]
        cells = {name: listed(columns[name], count) for name in sources}
        highest = listed(columns.get(self._named.get(HIGHEST, "")), count) if ours == "altitude" else []
        unitless = {name for name in sources if plain(name) in WITHOUT_UNIT and ours != "depth_max"}  # depth_min told already
        spans: dict[str | float, tuple[float, float] | None] = {}
        found: list[float | None] = []
        for row in range(count):
            name = next((name for name in sources if not is_blank(cells[name][row])), None)
            number = None
            if name is not None:
                cell = cells[name][row]
                cell = cell if isinstance(cell, str | int | float) else str(cell)
                span = spans[cell] if cell in spans else spans.setdefault(cell, metres(cell))
                if span is None:
                    kept = f"{self.unreadable}; --column {ours}_text={name} keeps such text" if name == ours else f"no {ours}"
                    fail(f"{name} {str(cell)[:40]!r} is not a number of metres: {kept}", row)
                else:
                    if name in unitless:
                        self._count(f"{name} is taken for metres; if it is not: --column {name}_as_written={name}")
                    number = span[1] if ours == "depth_max" else span[0] if ours == "depth_min" else sum(span) / 2
            if highest and number is not None and (top := metres(highest[row])) is not None:
                number = (number + top[1]) / 2
            if ours == "uncertainty" and number is not None and number < 0:
                fail(f"an uncertainty of {number:g} m is none: {self.unreadable}", row)
                number = None
            found.append(number)
        return found

    def _first(self, names: tuple[str, ...], columns: dict[str, Any], count: int) -> list[str | None]:
        cells = [listed(columns[name], count) for name in ("country", *self._sources(names)) if name in columns]
        return [next((str(cell).strip() for cell in row if not is_blank(cell)), None) for row in zip(*cells)]

    def _dates(self, columns: dict[str, Any], count: int, fail: Fail) -> None:
        if "date" not in columns and "date" not in self.types:
            return
        dates = listed(columns.get("date"), count)
        if (interval := self._interval()) is not None:
            starts, ends = (listed(columns.get(name), count) for name in interval)
            for row, (start, end) in enumerate(zip(starts, ends)):
                own = dates[row]
                if (
                    not is_blank(end)
                    and not is_blank(start)
                    and (is_blank(own) or str(own) == str(start))
                    and str(start) != str(end)
                ):
                    dates[row] = f"{start}/{end}"
        columns["date"] = dates
        today, known = date.today(), dict[str, str | None]()
        for row, text in enumerate(dates):
            if not isinstance(text, str) or not text:
                continue
            if text not in known:
                known[text] = odd_date(text, today)
            if (reason := known[text]) is not None:
                if reason.startswith("is not"):
                    if self.tell_dates:
                        self._count("the date is not ISO 8601, as 2026-06-04 is: kept as text, it is of no season", text[:40])
                else:
                    fail(f"the date {text[:60]!r} {reason}", row)


def degrees(cell: Any) -> float | None:
    """A number of degrees, whatever its size; a decimal comma is taken for a point. None: there is none."""
    if isinstance(cell, str):
        cell = cell.strip()
        cell = cell.replace(",", ".") if cell.count(",") == 1 and "." not in cell else cell
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return None
    return None if math.isnan(number) else number


def metres(cell: Any) -> tuple[float, float] | None:
    """(least, greatest) metres of a number or a text as "10", "10 m", "0-10 m"; None where it is none."""
    if isinstance(cell, str):
        found = _METRES.fullmatch(cell.strip())
        if found is None:
            return None
        low = float(found[1].replace(",", "."))
        return low, float(found[2].replace(",", ".")) if found[2] else low
    number = degrees(cell)
    return None if number is None or math.isinf(number) else (number, number)


def is_blank(cell: Any) -> bool:
    """Whether a cell says nothing."""
    if isinstance(cell, str):
        return not cell.strip() or cell.strip().lower() in ("nan", "na", "n/a", "null", "none")
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def listed(values: Any, count: int) -> list[Any]:
    """A column as a list, None throughout where there is none."""
    if values is None:
        return [None] * count
    return list(values) if isinstance(values, list) else list(values.to_pylist())


def _typed(cell: str) -> float | None:
    try:
        return parse_degrees(cell)
    except BiocosmosError:
        return None
