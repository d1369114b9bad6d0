"""Distances and cells on the sphere: right at the poles and across the antimeridian."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

EARTH = 6371.0088
"""Mean radius of the Earth in kilometres (IUGG)."""


def great_circle(
    latitude: npt.ArrayLike, longitude: npt.ArrayLike, other_latitude: npt.ArrayLike, other_longitude: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Kilometres along the great circle, by the haversine formula; degrees in, any shapes that broadcast.

    nan where a coordinate is nan. hav(d/R) = hav(Δφ) + cos φ₁ cos φ₂ hav(Δλ).

    >>> round(float(great_circle(29.65, -82.32, -33.45, -70.67)), 6)
    7122.681073
    """
    first, second = np.radians(np.asarray(latitude, np.float64)), np.radians(np.asarray(other_latitude, np.float64))
    apart = np.radians(np.asarray(other_longitude, np.float64) - np.asarray(longitude, np.float64))
    half = np.sin((second - first) / 2) ** 2 + np.cos(first) * np.cos(second) * np.sin(apart / 2) ** 2
    kilometres: npt.NDArray[np.float64] = 2 * EARTH * np.arcsin(np.sqrt(np.clip(half, 0, 1)))
    return kilometres


def on_sphere(latitude: npt.ArrayLike, longitude: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Unit vectors (..., 3) float64: cos φ cos λ, cos φ sin λ, sin φ. Both poles differ, and the antimeridian is no edge.

    A straight line of length c between two of them spans 2 R arcsin(c / 2) along the ground.
    """
    north, east = np.radians(np.asarray(latitude, np.float64)), np.radians(np.asarray(longitude, np.float64))
    return np.stack(np.broadcast_arrays(np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)), -1)


def cells(latitude: npt.ArrayLike, longitude: npt.ArrayLike, degrees: float = 0.1) -> npt.NDArray[np.int64]:
    """(n,) int64 number of the square of ``degrees`` that each place lies in; -1 where there is no place.

    Longitude 180 is -180, and the north pole lies in the northernmost row. Specimens of one cell are held out together.
    """
    if not 0 < degrees <= 90:
        raise ValueError(f"a cell is 0 to 90 degrees wide, not {degrees}")
    north, east = np.asarray(latitude, np.float64), np.asarray(longitude, np.float64)
    known = np.isfinite(north) & np.isfinite(east)
    rows, columns = int(np.ceil(180 / degrees - 1e-9)), int(np.ceil(360 / degrees - 1e-9))
    # a decimal as 5.3 is stored a little below itself: the sliver keeps it in the cell that it names
    row = np.floor((np.where(known, north, 0) + 90) / degrees + 1e-9).astype(np.int64)
    column = np.floor((np.where(known, east, 0) + 180) / degrees + 1e-9).astype(np.int64)
    numbers: npt.NDArray[np.int64] = np.where(known, np.clip(row, 0, rows - 1) * columns + column % columns, -1)
    return numbers


def spanned(longitude: npt.ArrayLike) -> tuple[float, float]:
    """(west, east) in degrees of the smallest arc that holds all of (n,) longitudes, nan left out: west from -180 to below 180,
    east at most 360 above it, so above 180 where the arc crosses the antimeridian. Raises ValueError without any.

    >>> spanned([179, -179])
    (179.0, 181.0)
    """
    given = np.asarray(longitude, np.float64).ravel()
    around = np.unique(np.mod(given[np.isfinite(given)] + 180, 360) - 180)
    if not len(around):
        raise ValueError("no longitude is known")
    gaps = np.append(np.diff(around), around[0] + 360 - around[-1])
    after = int(gaps.argmax())
    west = float(around[(after + 1) % len(around)])
    return west, west + (360 - float(gaps[after])) if len(around) > 1 else west
