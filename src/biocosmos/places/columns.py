"""Where and when, of many specimens at once."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from biocosmos.places.coordinates import parse_place
from biocosmos.places.countries import country_code
from biocosmos.places.days import days_of, parse_day

if TYPE_CHECKING:
    import pyarrow as pa

NAMES = ("latitude", "longitude", "uncertainty", "depth_min", "depth_max", "altitude", "date", "country")
"""The columns of a collection that say where and when."""


@dataclass(frozen=True)
class Places:
    """n places and times; nan (country: None) where a thing is not known.

    latitude, longitude: (n,) float64 decimal degrees, WGS84; both or neither. uncertainty: (n,) float64, radius in metres.
    depth: (n,) float64 metres below the surface, the middle of minimum and maximum. altitude: (n,) float64 metres above the sea.
    day: (n,) float64 days since 1 January 00:00 of a year of 365.25 days, cyclic, see :func:`biocosmos.places.days.day_of`.
    country: (n,) object, ISO 3166-1 alpha-2.
    """

    latitude: npt.NDArray[np.float64]
    longitude: npt.NDArray[np.float64]
    uncertainty: npt.NDArray[np.float64]
    depth: npt.NDArray[np.float64]
    altitude: npt.NDArray[np.float64]
    day: npt.NDArray[np.float64]
    country: npt.NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.latitude)

    @property
    def has_place(self) -> npt.NDArray[np.bool_]:
        """(n,) bool: coordinates are known."""
        return np.isfinite(self.latitude) & np.isfinite(self.longitude)

    @property
    def has_day(self) -> npt.NDArray[np.bool_]:
        """(n,) bool: the day of the year is known."""
        return np.isfinite(self.day)

    def take(self, rows: npt.ArrayLike | slice) -> Places:
        """These rows: numbers, a slice or a mask."""
        return Places(*(getattr(self, field.name)[rows] for field in fields(self)))

    @staticmethod
    def nowhere(number: int) -> Places:
        """``number`` places of which nothing is known."""
        latitude, longitude, uncertainty, depth, altitude, day = np.full((6, number), np.nan)
        return Places(latitude, longitude, uncertainty, depth, altitude, day, np.full(number, None, dtype=object))

    @property
    def numbers(self) -> npt.NDArray[np.float64]:
        """(n, 4) latitude, longitude, day, depth: what kernels and networks look at."""
        return np.stack([self.latitude, self.longitude, self.day, self.depth], axis=1)

    @staticmethod
    def of_numbers(numbers: npt.NDArray[np.float64]) -> Places:
        """Places of which no more is known than :attr:`numbers`."""
        latitude, longitude, day, depth = numbers.T
        return replace(Places.nowhere(len(numbers)), latitude=latitude, longitude=longitude, day=day, depth=depth)

    @staticmethod
    def one(
        *,
        latitude: float = np.nan,
        longitude: float = np.nan,
        uncertainty: float = np.nan,
        depth: float = np.nan,
        altitude: float = np.nan,
        day: float = np.nan,
        country: str | None = None,
    ) -> Places:
        """A single place."""
        return Places(
            np.array([latitude], np.float64),
            np.array([longitude], np.float64),
            np.array([uncertainty], np.float64),
            np.array([depth], np.float64),
            np.array([altitude], np.float64),
            np.array([day], np.float64),
            np.array([country], dtype=object),
        )

    @staticmethod
    def told(at: str | None, on: str | None, depth: float | None = None, country: str | None = None) -> Places:
        """The one place that a person told, where and when as text, see :func:`biocosmos.places.parse_place` and
        :func:`biocosmos.places.parse_day`. Raises BiocosmosError for what is none."""
        latitude, longitude = (np.nan, np.nan) if at is None else parse_place(at)
        day = np.nan if on is None else parse_day(on)
        deep = np.nan if depth is None else depth
        return Places.one(latitude=latitude, longitude=longitude, day=day, depth=deep, country=country)

    @staticmethod
    def of_table(table: pa.Table) -> Places:
        """Of the columns :data:`NAMES` of a collection's table, those that are there.

        Coordinates outside their range, or 0,0, are no place here: reading told them, and nobody is helped by the Gulf of Guinea.
        """
        latitude, longitude = _numbers(table, "latitude"), _numbers(table, "longitude")
        with np.errstate(invalid="ignore"):
            known = (np.abs(latitude) <= 90) & (np.abs(longitude) <= 180) & ((latitude != 0) | (longitude != 0))
        shallow, deep = _numbers(table, "depth_min"), _numbers(table, "depth_max")
        shallow, deep = np.where(np.isnan(shallow), deep, shallow), np.where(np.isnan(deep), shallow, deep)
        dates, countries = _texts(table, "date"), _texts(table, "country")
        codes = {name: country_code(name) for name in set(countries.tolist())}
        return Places(
            np.where(known, latitude, np.nan),
            np.where(known, longitude, np.nan),
            _numbers(table, "uncertainty"),
            (shallow + deep) / 2,
            _numbers(table, "altitude"),
            days_of(dates),
            np.array([codes[name] for name in countries], dtype=object),
        )


def _numbers(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if name not in table.column_names:
        return np.full(len(table), np.nan)
    column = table[name]
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        return np.full(len(table), np.nan)  # a column of an older collection that holds something else
    values: Any = pc.cast(column, pa.float64()).to_numpy()
    return np.array(values, np.float64)


def _texts(table: pa.Table, name: str) -> npt.NDArray[np.object_]:
    if name not in table.column_names:
        return np.full(len(table), None, dtype=object)
    import pyarrow as pa

    column = table[name]
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return np.full(len(table), None, dtype=object)
    found = np.empty(len(table), dtype=object)
    found[:] = column.to_pylist()
    return found
