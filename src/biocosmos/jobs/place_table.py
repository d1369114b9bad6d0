"""Where and when each of some images was taken, of a table beside them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.places.placed_identifier import Found
from biocosmos.identify.places.small_tables import rows_of
from biocosmos.jobs.listing import same_file
from biocosmos.places import Places, country_and_region, parse_day
from biocosmos.places.coordinates import check_place, parse_degrees
from biocosmos.taxonomy.name_lists import content_of

STAGE = "places"
COLUMNS: dict[str, tuple[str, ...]] = {
    "file": ("file", "filename", "file_name", "image_path", "image", "path", "id", "name"),
    "latitude": ("latitude", "lat", "decimallatitude", "decimal_latitude"),
    "longitude": ("longitude", "lon", "long", "lng", "decimallongitude", "decimal_longitude"),
    "date": ("date", "eventdate", "event_date", "day"),
    "depth": ("depth", "depth_min", "minimumdepthinmeters", "mindepth"),
    "deepest": ("depth_max", "maximumdepthinmeters", "maxdepth"),
    "country": ("country", "countrycode", "country_code"),
}
EXAMPLE = "write file,latitude,longitude,date"


class PlaceTable:
    """Places by the path of an image as the table writes it, whole or from the table's folder on, or by its name alone where no
    two rows have the same; by the id of a sequence. about: for provenance."""

    def __init__(self, path: Path, failures: Failures) -> None:
        """Raises BiocosmosError for a file that cannot be read, has no column of files or none of places, or no usable row."""
        content = content_of(path)
        self.about = {"file": str(path), "sha256": hashlib.sha256(content).hexdigest()}
        header, rows = rows_of(path, content)
        column = {ours: header.index(name) for ours, known in COLUMNS.items() for name in known[::-1] if name in header}
        if "file" not in column:
            raise BiocosmosError(f"{path} has no column of files in its first line: {EXAMPLE}")
        if not {"latitude", "date", "depth", "country"} & set(column):
            raise BiocosmosError(f"{path} says neither where nor when in its first line: {EXAMPLE}")
        self._rows: dict[str, int] = {}
        self._numbers: list[tuple[float, float, float, float]] = []
        self._countries: list[tuple[str | None, str | None]] = []
        names: dict[str, int] = {}
        for line, cells in rows:
            if not any(cells):
                continue

            def told(reason: str, line: int = line) -> None:
                failures.add(reason, stage=STAGE, source=path, row=line, severity="warning")

            def cell(name: str, cells: list[str] = cells) -> str:
                return cells[column[name]] if name in column and column[name] < len(cells) else ""

            if not cell("file"):
                told("no file in this row: it is left out")
                continue
            if cell("file") in self._rows:
                told(f"{cell('file')[:80]} stands in an earlier row too, which counts: this one is left out")
                continue
            number = len(self._numbers)
            self._numbers.append(_numbers(cell, told))
            self._countries.append(_country(cell("country"), told))
            for key in (cell("file"), same_file(path.parent / cell("file")), same_file(cell("file"))):
                self._rows.setdefault(key, number)
            base = Path(cell("file")).name
            names[base] = -1 if base in names else number
        if not self._numbers:
            raise BiocosmosError(f"{path} has no row with a file: {EXAMPLE}")
        self._names = {name: number for name, number in names.items() if number >= 0}

    def __call__(self, ids: npt.NDArray[np.object_]) -> Found:
        """Of files, by their paths as they were asked about; nothing is known of those that no row names."""
        rows = [self._row(str(id_)) for id_ in ids]
        nowhere = (np.nan,) * 4
        numbers = np.array([nowhere if row is None else self._numbers[row] for row in rows], np.float64).reshape(-1, 4)
        places, countries = Places.of_numbers(numbers), [(None, None) if row is None else self._countries[row] for row in rows]
        for at, (country, _) in enumerate(countries):
            places.country[at] = country
        return Found(places, [region for _, region in countries])

    def _row(self, id_: str) -> int | None:
        for key in (id_, same_file(id_)):
            if key in self._rows:
                return self._rows[key]
        return self._names.get(Path(id_).name)


def _numbers(cell: Callable[[str], str], told: Callable[[str], None]) -> tuple[float, float, float, float]:
    """latitude, longitude, day, depth; nan where the row says none, or something that cannot be."""
    north, east, day, depth = np.nan, np.nan, np.nan, np.nan
    latitude, longitude = cell("latitude"), cell("longitude")
    try:
        if latitude or longitude:
            if not (latitude and longitude):
                raise BiocosmosError("one coordinate is missing: fill it in, or blank both")
            north, east = parse_degrees(latitude), parse_degrees(longitude)
            check_place(north, east, f"{latitude},{longitude}")
    except BiocosmosError as error:
        north, east = np.nan, np.nan
        told(f"no place: {error}")
    try:
        if cell("date"):
            day = parse_day(cell("date"))
    except BiocosmosError as error:
        told(f"no day: {error}")
    levels = [text for text in (cell("depth"), cell("deepest")) if text]
    found = [re.fullmatch(r"(\d+(?:[.,]\d+)?)\s*m?", text) for text in levels]
    if all(found) and found:
        depth = float(np.mean([float(each[1].replace(",", ".")) for each in found if each]))
    elif levels:
        told(f"no depth: {levels[0][:40]!r} is no number of metres below the surface")
    return north, east, day, depth


def _country(text: str, told: Callable[[str], None]) -> tuple[str | None, str | None]:
    code, region = country_and_region(text)
    if text and code is None:
        told(f"no country: {text[:40]!r} is none of ISO 3166")
    return code, region
