"""What a network over places sees: coordinates, season and depth as numbers near 1. Plain NumPy, nan = not known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

YEAR = 365.25
PUBLISHED_YEAR = 364.0
"""SINR's days run from 0 for 1 January to 1 for 31 December of 365 days."""
DEPTH = 1000.0
"""Metres in the logarithm of :func:`depth_inputs` that become 1."""
Array = npt.NDArray[np.float64]


def place_inputs(latitude: npt.ArrayLike, longitude: npt.ArrayLike, *, published: bool = False) -> Array:
    """Degrees (n,) and (n,) -> (n, 3) float64 points of the unit sphere, or as published (n, 4); 0 where not known.

    published: sin πu, sin πv, cos πu, cos πv of u = longitude/180, v = latitude/90 (Cole et al., SINR, 2023; geo_prior's four),
    in which both poles are one point; on the sphere they are two.
    """
    latitude, longitude = np.asarray(latitude, np.float64), np.asarray(longitude, np.float64)
    if published:
        u, v = np.pi * longitude / 180, np.pi * latitude / 90
        found = np.stack([np.sin(u), np.sin(v), np.cos(u), np.cos(v)], 1)
    else:
        phi, theta = np.radians(latitude), np.radians(longitude)
        found = np.stack([np.cos(phi) * np.cos(theta), np.cos(phi) * np.sin(theta), np.sin(phi)], 1)
    return _known(found)


def season_inputs(day: npt.ArrayLike, *, harmonics: int = 2, published: bool = False) -> Array:
    """Days since 1 January 00:00 (n,) -> (n, 2 * harmonics) float64 sines and cosines of the year; 0 where not known.

    published: sine and cosine of π(2t - 1), t = day / 364 (Mac Aodha et al., geo_prior, 2019), harmonics unused: (n, 2).
    """
    day = np.asarray(day, np.float64)
    if published:
        angle = np.pi * (2 * day / PUBLISHED_YEAR - 1)
        return _known(np.stack([np.sin(angle), np.cos(angle)], 1))
    angles = 2 * np.pi * day[:, None] / YEAR * np.arange(1, harmonics + 1)
    return _known(np.concatenate([np.sin(angles), np.cos(angles)], 1))


def depth_inputs(depth: npt.ArrayLike) -> Array:
    """Metres below the surface (n,) -> (n, 2) float64: log(1 + depth) / log(1001), and 1 where it is known; else both 0."""
    depth = np.asarray(depth, np.float64)
    known = np.isfinite(depth)
    scaled = np.log1p(np.maximum(np.where(known, depth, 0.0), 0.0)) / np.log1p(DEPTH)
    return np.stack([scaled, known.astype(np.float64)], 1)


def random_places(n: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """(n,) latitudes and (n,) longitudes in degrees, uniform on the sphere: as many in a km² of a pole as of the equator."""
    return np.degrees(np.arcsin(generator.uniform(-1, 1, n))), generator.uniform(-180, 180, n)


def _known(values: Array) -> Array:
    return np.where(np.isfinite(values), values, 0.0)


__all__ = ["depth_inputs", "place_inputs", "random_places", "season_inputs"]
