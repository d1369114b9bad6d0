"""Polygons on the map, of WKT and GeoJSON: which places lie inside."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError

Ring = npt.NDArray[np.float64]
_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
EXAMPLE = "write POLYGON ((4 51, 6 51, 6 53, 4 51)), longitude before latitude, or GeoJSON"
TURN = 360.0


@dataclass(frozen=True, eq=False)
class Polygons:
    """One or more polygons, each an outer ring and holes: (points, 2) float64 longitude, latitude in degrees."""

    parts: tuple[tuple[Ring, ...], ...]

    def holds(self, latitude: npt.NDArray[np.float64], longitude: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """(n,) bool: inside one of them and in none of its holes; nan lies nowhere.

        Sides are straight on the map of degrees. A polygon across the antimeridian is written with longitudes beyond 180 (170 to
        190): places are looked for one turn to either side too.
        """
        found = np.zeros(len(latitude), np.bool_)
        for turn in (0.0, TURN, -TURN):
            for outer, *holes in self.parts:
                inside = _inside(outer, longitude + turn, latitude)
                for hole in holes:
                    inside &= ~_inside(hole, longitude + turn, latitude)
                found |= inside
        return found

    @classmethod
    def parse(cls, text: str) -> Polygons:
        """Of WKT (POLYGON, MULTIPOLYGON) or GeoJSON (a geometry, a feature or a collection). Raises BiocosmosError for others."""
        text = text.strip()
        rings = _geojson(_loaded(text)) if text.startswith("{") else _wkt(text)
        if not rings:
            raise BiocosmosError(f"no polygon in {text[:40]!r}: {EXAMPLE}")
        return cls(tuple(tuple(_checked(ring) for ring in part) for part in rings))


def _inside(ring: Ring, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Crossings of a ray to the east, odd inside."""
    found = np.zeros(len(x), np.bool_)
    for (x1, y1), (x2, y2) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if y1 != y2:
            crosses = ((y1 > y) != (y2 > y)) & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
            found ^= crosses
    return found


def _checked(ring: Any) -> Ring:
    try:
        points = np.array([[float(point[0]), float(point[1])] for point in ring], np.float64).reshape(-1, 2)
    except (TypeError, ValueError, IndexError, KeyError):
        raise BiocosmosError(f"a ring of a polygon holds what is no point: {EXAMPLE}") from None
    if len(np.unique(points, axis=0)) < 3 or not np.isfinite(points).all():
        raise BiocosmosError(f"a polygon needs three points or more: {EXAMPLE}")
    if np.abs(points[:, 1]).max() > 90 or np.abs(points[:, 0]).max() > TURN:
        raise BiocosmosError(f"a polygon has a latitude outside -90..90, or a longitude outside -360..360: {EXAMPLE}")
    return points


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BiocosmosError(f"this is not GeoJSON ({' '.join(str(error).split())[:80]}): {EXAMPLE}") from None


def _geojson(found: Any) -> list[Any]:
    kind = found.get("type") if isinstance(found, dict) else None
    if kind == "FeatureCollection":
        return [part for feature in found.get("features") or [] for part in _geojson(feature)]
    if kind == "Feature":
        return _geojson(found.get("geometry"))
    coordinates = found.get("coordinates") if isinstance(found, dict) else None
    if kind in ("Polygon", "MultiPolygon") and isinstance(coordinates, list):
        return [coordinates] if kind == "Polygon" else coordinates
    raise BiocosmosError(f"GeoJSON of the type {kind!r} is no polygon: {EXAMPLE}")


def _wkt(text: str) -> list[Any]:
    text = re.sub(r"^SRID=\d+;", "", text, flags=re.IGNORECASE)
    found = re.fullmatch(r"(MULTI)?POLYGON\s*(?:Z\s*)?(\(.*\))", text, re.IGNORECASE | re.DOTALL)
    if found is None:
        raise BiocosmosError(f"{text[:40]!r} is no polygon: {EXAMPLE}")
    listed = re.sub(rf"({_NUMBER})\s+({_NUMBER})(?:\s+{_NUMBER})?", r"[\1,\2]", found[2])
    listed = listed.replace("(", "[").replace(")", "]").replace("+", "")
    try:
        parts = json.loads(listed)
    except (ValueError, RecursionError):
        raise BiocosmosError(f"{text[:40]!r} is no polygon: {EXAMPLE}") from None
    return parts if found[1] else [parts]
