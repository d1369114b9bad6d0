"""The latest projection of a collection, joined to the specimens that are there now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.discover import kept
from biocosmos.errors import BiocosmosError
from biocosmos.serve.likeness.polygons import MARGIN, UNITS, Polygon, Within

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Plane:
    """Where specimens lie in one projection, in units of the plane, of one length in both directions.

    name: of the projection; kept: when it was made. rows: (m,) int32, ascending, which rows of the catalogue have a place;
    x, y: (m,) uint16 of those. total: rows there are; gone: specimens of the projection that are there no longer. unit: how long
    one unit is in the projection's own numbers; origin: its (x, y) at 0, 0.
    """

    name: str
    kept: str
    rows: npt.NDArray[np.int32]
    x: npt.NDArray[np.uint16]
    y: npt.NDArray[np.uint16]
    total: int
    gone: int
    unit: float
    origin: tuple[float, float]
    provenance: Mapping[str, Any]

    @property
    def without(self) -> int:
        """How many specimens have no place."""
        return self.total - len(self.rows)

    @cached_property
    def _within(self) -> Within:
        return Within(self.x, self.y)

    def inside(self, polygon: Polygon) -> npt.NDArray[np.bool_]:
        """(total,) bool: which rows of the catalogue lie within a polygon; those without a place do not."""
        found = np.zeros(self.total, np.bool_)
        found[self.rows] = self._within(polygon)
        return found


def plane_of(found: kept.Discovery, ids: pa.Array) -> Plane:
    """A projection for rows with these ids. Raises BiocosmosError where its file is damaged."""
    table = found.table()
    lacking = [name for name in ("id", "x", "y") if name not in table.column_names]
    if lacking:
        raise BiocosmosError(f"{found.path} has no column '{lacking[0]}': remove it and run 'biocosmos discover map' again")
    known = pc.index_in(table["id"].cast(pa.string()), value_set=ids.cast(pa.string()))
    place = known.fill_null(-1).to_numpy().astype(np.int64)
    raw = np.column_stack([table[name].cast(pa.float64()).fill_null(np.nan).to_numpy() for name in ("x", "y")])
    good = (place >= 0) & np.isfinite(raw).all(axis=1)
    rows, first = np.unique(place[good], return_index=True)  # an id that is named twice counts once
    places = raw[good][first]
    units, unit, origin = _units(places)
    gone = int((place < 0).sum())
    return Plane(
        name=found.name,
        kept=found.kept,
        rows=rows.astype(np.int32),
        x=units[:, 0].copy(),
        y=units[:, 1].copy(),
        total=len(ids),
        gone=gone,
        unit=unit,
        origin=origin,
        provenance=found.provenance,
    )


def _units(places: Array) -> tuple[npt.NDArray[np.uint16], float, tuple[float, float]]:
    """Places (m, 2) in whole units, the longer side filling MARGIN..UNITS - MARGIN, the other in the middle."""
    if not len(places):
        return np.empty((0, 2), np.uint16), 1.0, (0.0, 0.0)
    low, high = places.min(axis=0), places.max(axis=0)
    longest = float((high - low).max())
    unit = longest / (UNITS - 2 * MARGIN) if longest > 0 else 1.0
    origin = (low + high) / 2 - unit * UNITS / 2
    units = np.clip(np.rint((places - origin) / unit), 0, UNITS).astype(np.uint16)
    return units, unit, (float(origin[0]), float(origin[1]))
