"""Places and times of specimens, as encoders take them: a stand-in of the contract until the room of places lands."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
YEAR = 365.25


@dataclass(frozen=True)
class Places:
    """n places and times; nan, or None, for what is not known.

    latitude, longitude: (n,) float64 decimal degrees, WGS84; uncertainty, depth, altitude: metres; day: since 1 January of a year
    of 365.25 days; country: (n,) object, ISO 3166 alpha-2.
    """

    latitude: Array
    longitude: Array
    uncertainty: Array
    depth: Array
    altitude: Array
    day: Array
    country: Array

    def __len__(self) -> int:
        return len(self.latitude)

    def take(self, rows: Array) -> Places:
        """Those of row numbers, or of a mask."""
        return Places(**{name: values[rows] for name, values in vars(self).items()})

    @property
    def has_place(self) -> Array:
        """(n,) bool."""
        return np.asarray(np.isfinite(self.latitude) & np.isfinite(self.longitude))

    @property
    def has_day(self) -> Array:
        """(n,) bool."""
        return np.asarray(np.isfinite(self.day))

    @staticmethod
    def of_table(table: Any) -> Places:
        """Of an Arrow table with the columns of a specimen, as far as it has them."""
        rows = len(table)

        def numbers(name: str) -> Array:
            told = table[name].to_pylist() if name in table.column_names else [None] * rows
            return np.array([np.nan if value is None else float(value) for value in told], np.float64)

        depths = np.stack([numbers("depth_min"), numbers("depth_max")])
        depths = np.where(np.isfinite(depths), depths, depths[::-1])
        days = [_day(value) for value in (table["date"].to_pylist() if "date" in table.column_names else [None] * rows)]
        return Places(
            numbers("latitude"),
            numbers("longitude"),
            numbers("uncertainty"),
            depths.mean(axis=0),
            numbers("altitude"),
            np.array(days, np.float64),
            np.full(rows, None, object),
        )


def _day(date: str | None) -> float:
    try:
        told = datetime.date.fromisoformat(str(date)[:10])
    except ValueError:
        return float("nan")
    return float((told - told.replace(month=1, day=1)).days)


def on_sphere(latitude: Array, longitude: Array) -> Array:
    """(n, 3) float64 points of the unit sphere of n places in degrees."""
    phi, theta = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(phi) * np.cos(theta), np.cos(phi) * np.sin(theta), np.sin(phi)], axis=-1)
