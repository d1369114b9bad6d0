"""From latitude and longitude to the cells of a regular grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_SLACK = 1e-6
"""Of a cell: files round the edges of their grids."""


@dataclass(frozen=True)
class Grid:
    """height x width cells. west, north: longitude of the left edge of the first column and latitude of the upper edge of the
    first row, degrees; across, down: from a column to the next, and from a row to the next, degrees; either may be negative."""

    height: int
    width: int
    west: float
    north: float
    across: float
    down: float

    @property
    def around(self) -> bool:
        """Whether the columns go once around the globe, so that the last is beside the first."""
        return abs(abs(self.across) * self.width - 360) < _SLACK * max(abs(self.across), 1) * self.width

    def place(self, latitude: Array, longitude: Array) -> tuple[Array, Array, Array]:
        """(n,) rows and columns as floats, of which the whole part is a cell's number, and (n,) whether they are on the grid.

        The lower and the right edge are of the last row and column, and 180 degrees of longitude is -180.
        """
        rows = (np.asarray(latitude, np.float64) - self.north) / self.down
        turn = 360 / abs(self.across)
        columns = np.mod((np.asarray(longitude, np.float64) - self.west) / self.across, turn)
        columns = np.where(columns > turn - _SLACK, 0.0, columns)  # a hair to the left of the first column
        known = np.isfinite(rows) & np.isfinite(columns)
        on = known & (rows >= -_SLACK) & (rows <= self.height + _SLACK) & (columns <= self.width + _SLACK)
        rows = np.clip(np.where(known, rows, 0.0), 0.0, np.nextafter(self.height, 0))
        return rows, np.clip(np.where(known, columns, 0.0), 0.0, np.nextafter(self.width, 0)), on

    def nearest(self, latitude: Array, longitude: Array) -> tuple[Array, Array, Array]:
        """(n,) int64 rows and columns of the cells that the places are in, and (n,) whether they are on the grid."""
        rows, columns, on = self.place(latitude, longitude)
        return rows.astype(np.int64), columns.astype(np.int64), on

    def around_place(self, latitude: Array, longitude: Array) -> tuple[Array, Array, Array, Array]:
        """(n, 4) int64 rows, (n, 4) columns and (n, 4) weights of the four cells whose centres are around a place, which is the
        same cell more than once at an edge that nothing is beyond; and (n,) whether it is on the grid."""
        rows, columns, on = self.place(latitude, longitude)
        upper, left = np.floor(rows - 0.5), np.floor(columns - 0.5)
        lower_share, right_share = rows - 0.5 - upper, columns - 0.5 - left
        r = np.clip(np.stack([upper, upper, upper + 1, upper + 1], axis=1), 0, self.height - 1)
        c = np.stack([left, left + 1, left, left + 1], axis=1)
        c = np.mod(c, self.width) if self.around else np.clip(c, 0, self.width - 1)
        down = np.stack([1 - lower_share, lower_share], axis=1).repeat(2, axis=1)
        weights = down * np.stack([1 - right_share, right_share] * 2, axis=1)
        return r.astype(np.int64), c.astype(np.int64), weights, on
