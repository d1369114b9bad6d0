"""Coordinates as people write them: decimal degrees, degrees and minutes, with or without seconds and points of the compass."""

from __future__ import annotations

import math
import re

from biocosmos.errors import BiocosmosError

_NUMBER = r"\d+(?:[.,]\d+)?"
_PART = re.compile(
    rf"(?P<before>[NSEWO])?\s*(?P<sign>[-+−])?\s*(?P<degrees>{_NUMBER})\s*(?:°|º|deg\.?|d)?\s*"
    rf"(?:(?P<minutes>{_NUMBER})\s*(?:'|′|’|min\.?|m)\s*)?"
    rf"(?:(?P<seconds>{_NUMBER})\s*(?P<mark>\"|″|”|''|′′|sec\.?|s)?\s*)?(?P<after>[NSEWO])?",
    re.IGNORECASE,
)
EXAMPLE = "write latitude,longitude: 52.05,5.05 or 52°03'N 5°03'E"


def parse_place(text: str) -> tuple[float, float]:
    """(latitude, longitude) in decimal degrees of a text: "52.05,5.05", "52,05 5,05", "52°03'N 5°03'E", "5.05E 52.05N".

    Latitude comes first where no point of the compass says otherwise. An O (west in Spanish, east in German) is refused.

    Raises:
        BiocosmosError: not two coordinates, 0,0, or outside -90..90 and -180..180 (swapped ones are told so).

    >>> parse_place("52°03'N 5°03'W")
    (52.05, -5.05)
    """
    halves = _halves(text.strip())
    if halves is None:
        raise BiocosmosError(f"{text!r} is not a place: {EXAMPLE}")
    values, compass = zip(*(_degrees(half, text) for half in halves), strict=True)
    axes = ["north" if letter in "NS" else "east" for letter in compass if letter]
    if len(axes) == 2 and len(set(axes)) == 1:
        raise BiocosmosError(f"{text!r} names the same axis twice: {EXAMPLE}")
    turned = axes and ((compass[0] and axes[0] == "east") or (not compass[0] and axes[0] == "north"))
    latitude, longitude = values[::-1] if turned else values
    check_place(latitude, longitude, text, swapped=not axes)
    return latitude, longitude


def check_place(latitude: float, longitude: float, text: str, *, swapped: bool = True) -> None:
    """Raises BiocosmosError where the coordinates are 0,0 or lie outside their range; says so where they look swapped."""
    if latitude == longitude == 0:
        raise BiocosmosError(f"{text!r} is what stands where no place is known: write 0,0.001 if the Gulf of Guinea is meant")
    if abs(latitude) <= 90 and abs(longitude) <= 180:
        return
    hint = "they look swapped: latitude comes first" if swapped and abs(longitude) <= 90 and abs(latitude) <= 180 else EXAMPLE
    raise BiocosmosError(f"{text!r} lies outside latitude -90..90, longitude -180..180: {hint}")


def parse_degrees(text: str) -> float:
    """Decimal degrees of one coordinate: "52.05", "52,05", "52°03'N", "5 03 00 W".

    Raises:
        BiocosmosError: not understood, or 60 minutes or seconds and more.
    """
    return _degrees(text.strip(), text)[0]


def _degrees(half: str, text: str) -> tuple[float, str]:
    """(signed decimal degrees, N S E W or "")."""
    found = _PART.fullmatch(half.strip(" ,;"))
    if found is None:
        found = _spaced(half)
    if found is None:
        raise BiocosmosError(f"{text!r} is not understood as a coordinate: {EXAMPLE}")
    compass = (found["before"] or found["after"] or "").upper()
    if (found["before"] and found["after"]) or (compass and found["sign"]):
        raise BiocosmosError(f"{text!r} has a sign or a point of the compass too many: {EXAMPLE}")
    if compass == "O":
        raise BiocosmosError(f"{text!r}: O is west in some languages and east in others: write W or E")
    degrees, minutes, seconds = (float((found[part] or "0").replace(",", ".")) for part in ("degrees", "minutes", "seconds"))
    if found["seconds"] and not found["minutes"] and not found["mark"]:  # 52°03N
        minutes, seconds = seconds, 0.0
    if minutes >= 60 or seconds >= 60:
        raise BiocosmosError(f"{text!r} has 60 minutes or seconds or more: {EXAMPLE}")
    whole = degrees + minutes / 60 + seconds / 3600
    if not math.isfinite(whole):
        raise BiocosmosError(f"{text!r} is not understood as a coordinate: {EXAMPLE}")
    return (-whole if compass in ("S", "W") or found["sign"] in ("-", "−") else whole), compass


def _spaced(half: str) -> re.Match[str] | None:
    """Degrees, minutes and seconds with nothing but blanks between: 5 03 00 W."""
    numbers = re.findall(_NUMBER, half)
    if not 2 <= len(numbers) <= 3:
        return None
    marked = re.sub(rf"({_NUMBER})[\s:]+({_NUMBER})", r"\1°\2'", half.strip(), count=1)
    return _PART.fullmatch(marked)


def _halves(text: str) -> tuple[str, str] | None:
    """The two coordinates of a text."""
    compass = re.findall(r"[NSEW](?![a-z])", text, re.IGNORECASE)
    if len(compass) == 2:
        found = re.fullmatch(r"(.*\d[^A-Za-z]*[NSEW])[\s,;]*(.*\d.*)", text, re.IGNORECASE) if text[0].isdigit() else None
        found = found or re.fullmatch(r"([NSEW][^A-Za-z]*\d[^A-Za-z]*?)[\s,;]*([NSEW].*\d.*)", text, re.IGNORECASE)
        if found:
            return found[1], found[2]
    for separator in (";", ", ", "\t", ","):
        if text.count(separator) == 1:
            first, last = text.split(separator)
            return (first, last) if first.strip() and last.strip() else None
    parts = text.split()
    return (parts[0], parts[1]) if len(parts) == 2 else None
