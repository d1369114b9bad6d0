"""What is likely wrong with a place or a date, and what to do about it. Nothing is corrected here: it is told."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, timedelta

from biocosmos.places.days import span_of

DEEPEST = 11_000.0
"""Metres: there is no deeper sea."""
LEAST, DEGREES, TENTHS = 20, 3, 4
"""Different values, whole degrees and tenths among them, from which on decimals that are all below .60 are hardly chance."""
MOST = 4096
_FIGURES = re.compile(r"\d")


def odd_place(latitude: float, longitude: float) -> str | None:
    """What is odd about coordinates that lie within their ranges; None: nothing.

    >>> odd_place(0.0, 0.0)
    'lies at 0,0, in the Gulf of Guinea: where that means unknown, blank both'
    """
    if latitude == 0 and longitude == 0:
        return "lies at 0,0, in the Gulf of Guinea: where that means unknown, blank both"
    return None


def odd_depths(least: float | None, greatest: float | None) -> str | None:
    """What is odd about depths in metres; None: nothing."""
    if least is not None and greatest is not None and least > greatest:
        return f"depth_min {least:g} m is below depth_max {greatest:g} m: exchange them"
    for depth in (least, greatest):
        if depth is not None and depth < 0:
            return f"a depth of {depth:g} m is above the surface: write depths without a sign"
        if depth is not None and depth > DEEPEST:
            return f"a depth of {depth:g} m is deeper than any sea: are these centimetres?"
    return None


def odd_date(text: str, today: date) -> str | None:
    """What is odd about a date: no ISO 8601, an end before its beginning, in the future; None: nothing.

    >>> odd_date("2062-05-01", date(2026, 11, 30)), odd_date("13.06.2020", date(2026, 11, 30))
    ('lies in the future: is the year right?', 'is not ISO 8601: write 2026-06-04, or 2026-06-01/2026-06-15 for an interval')
    """
    span = span_of(text)
    if span is None:
        if "/" in text and all(span_of(part) for part in text.split("/")[:1]) and _FIGURES.search(text.partition("/")[2]):
            first, _, last = text.partition("/")
            if span_of(last) is not None:
                return f"ends before it begins: write {last}/{first}"
        return "is not ISO 8601: write 2026-06-04, or 2026-06-01/2026-06-15 for an interval"
    if span[0] > today + timedelta(days=1):
        return "lies in the future: is the year right?"
    return None


@dataclass
class Minutes:
    """Whether coordinates of many rows are degrees and minutes, 52.59 for 52°59': then no decimal is .60 or above.

    name: of the coordinate, for the message. Rows are added one by one; the memory stays small.
    """

    name: str
    _values: set[float] = field(default_factory=set)
    _refuted: bool = False

    def add(self, value: float) -> None:
        """Take one coordinate in decimal degrees."""
        if self._refuted or value % 1 == 0:
            return
        if abs(value) % 1 >= 0.5999999:
            self._refuted = True
            self._values.clear()
        elif len(self._values) < MOST:
            self._values.add(value)

    def reason(self) -> str | None:
        """The message; None where the values are no such, or too few or too near to each other to say so.

        Of n values in decimal degrees none is at .60 or above once in (0.6 to the power of n) cases: with 20, once in 27,000.
        """
        whole = {int(abs(value)) for value in self._values}
        tenths = {int(abs(value) % 1 * 10) for value in self._values}
        if len(self._values) < LEAST or len(whole) < DEGREES or len(tenths) < TENTHS:
            return None
        example = next(iter(sorted(self._values)))
        number, minutes = int(abs(example)), round((abs(example) % 1) * 100)
        return (
            f"all {len(self._values):,} values of {self.name} have decimals below .60: are they degrees and minutes, "
            f"{abs(example):.2f} for {number}°{minutes:02d}'? Then divide the decimals by 0.6 and ingest again"
        )
