"""The map of likeness as a server gives it: points, their classes, which of them a view has, and lassos."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.discover import kept
from biocosmos.errors import BiocosmosError
from biocosmos.serve.likeness.binary import bits, etag, packed
from biocosmos.serve.likeness.colours import Colouring, colouring
from biocosmos.serve.likeness.plane import Plane, plane_of
from biocosmos.serve.likeness.polygons import UNITS, Polygon, polygon_of

if TYPE_CHECKING:
    from biocosmos.serve.catalogue import View
    from biocosmos.serve.desk import Desk

MESSAGES = 4
"""Messages of points that are kept, some megabytes each at a million points."""


@dataclass(frozen=True)
class Lassoed:
    """What a lasso caught. view: the one that was asked about with the lasso as its region; count: specimens of it."""

    view: View
    count: int


class Likeness:
    """One a server; used by many threads."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lock = threading.Lock()
        self._plane: tuple[str | None, pa.Array, Plane | None] | None = None
        self._messages: dict[str, bytes] = {}

    def join(self) -> None:
        """Have views filter by regions of the plane; a thread makes the plane, so that nobody waits for it."""
        self._desk.catalogue.register("region", self._inside, lambda: (self._found_name(), len(self._desk.catalogue.ids)))
        threading.Thread(target=self._warm, name="likeness", daemon=True).start()

    def _warm(self) -> None:
        with suppress(BiocosmosError):  # who looks at the map is told
            self.plane()

    def _inside(self, region: Polygon) -> npt.NDArray[np.bool_]:
        return self.needed_plane().inside(region)

    # ------------------------------------------------------------------ the plane

    def _found_name(self) -> str | None:
        found = kept.kept(self._desk.collection, "projection")[-1:]
        return found[0].name if found else None

    def plane(self) -> Plane | None:
        """The latest projection for the specimens that are there now, None where nobody made one."""
        catalogue = self._desk.catalogue
        found = kept.kept(self._desk.collection, "projection")[-1:]
        name, ids = found[0].name if found else None, catalogue.ids
        with self._lock:
            if self._plane is None or self._plane[0] != name or self._plane[1] is not ids:
                self._plane = name, ids, (plane_of(found[0], ids) if found else None)
                self._messages.clear()
            return self._plane[2]

    def needed_plane(self) -> Plane:
        """As :meth:`plane`. Raises BiocosmosError where there is none."""
        plane = self.plane()
        if plane is None:
            raise BiocosmosError("there is no map of likeness yet: start the job 'project' on the page Likeness")
        return plane

    # ------------------------------------------------------------------ messages

    def mark(self, by: str = "") -> str:
        """What :meth:`points` and :meth:`colours` depend on."""
        plane, desk = self.needed_plane(), self._desk
        versions = (desk.catalogue.version, desk.curation.version if by == "tag" else None) if by else ()
        clusters = kept.kept(desk.collection, "clusters")[-1:] if by == "cluster" else []
        return etag("likeness", plane.name, plane.total, len(plane.rows), by, versions, [each.name for each in clusters])

    def points(self, by: str) -> bytes:
        """Header, x, y (uint16) and classes (uint16) of all points, in the order of the catalogue. Raises BiocosmosError for a
        colouring that there is not."""
        plane = self.needed_plane()

        def make() -> bytes:
            coloured = colouring(self._desk, by, plane.rows)
            header = {**self._header(plane), **_legend(by, coloured)}
            return packed(header, {"x": plane.x, "y": plane.y, "code": coloured.codes})

        return self._kept(self.mark(by), make)

    def colours(self, by: str) -> bytes:
        """As :meth:`points`, without the places."""
        plane = self.needed_plane()
        coloured = colouring(self._desk, by, plane.rows)
        return packed({"plane": plane.name, "count": len(plane.rows), **_legend(by, coloured)}, {"code": coloured.codes})

    def mask(self, view: View, more: Mapping[str, Any] | None = None) -> bytes:
        """Header (how many specimens the view has, how many of them are on the map; and ``more``) and a bit a point."""
        plane = self.needed_plane()
        mask = self._desk.catalogue.mask(view)
        there = mask[plane.rows]
        header: dict[str, Any] = {"plane": plane.name, "count": len(there), "view": int(mask.sum()), "on_map": int(there.sum())}
        header |= {"region": view.region, **(more or {})}
        return packed(header, {"bits": bits(there)})

    def ids(self, name: str, points: Sequence[int]) -> list[str]:
        """Ids of points by their place in :meth:`points`. name: of the projection. Raises BiocosmosError where that is not the
        latest any more."""
        plane = self.needed_plane()
        if plane.name != name or any(not 0 <= point < len(plane.rows) for point in points):
            raise BiocosmosError("the map has been made anew meanwhile: reload the page")
        rows = plane.rows[np.asarray(points, np.int64)]
        return [str(id_) for id_ in self._desk.catalogue.ids.take(rows).to_pylist()]

    # ------------------------------------------------------------------ lassos

    def lasso(self, view: View, polygon: Sequence[Any] | None) -> Lassoed:
        """What of a view lies within a polygon, drawn in units of the plane; None takes the lasso away. Raises BiocosmosError for
        what is no polygon."""
        if polygon is not None:
            self.needed_plane()
        found = replace(view, region=None if polygon is None else polygon_of(polygon))
        return Lassoed(found, int(self._desk.catalogue.mask(found).sum()))

    # ------------------------------------------------------------------

    def _header(self, plane: Plane) -> dict[str, Any]:
        some = bool(len(plane.rows))
        low = [int(plane.x.min()), int(plane.y.min())] if some else [0, 0]
        high = [int(plane.x.max()), int(plane.y.max())] if some else [UNITS, UNITS]
        return {
            "plane": plane.name,
            "kept": plane.kept,
            "reducer": str(plane.provenance.get("reducer") or ""),
            "count": len(plane.rows),
            "total": plane.total,
            "without": plane.without,
            "gone": plane.gone,
            "bounds": [*low, *high],
        }

    def _kept(self, mark: str, make: Callable[[], bytes]) -> bytes:
        with self._lock:
            if mark in self._messages:
                return self._messages[mark]
        made = make()
        with self._lock:
            while len(self._messages) >= MESSAGES:
                self._messages.pop(next(iter(self._messages)))
            self._messages[mark] = made
        return made


def _legend(by: str, coloured: Colouring) -> dict[str, Any]:
    return {"by": by, "kind": coloured.kind, "legend": coloured.legend, "low": coloured.low, "high": coloured.high}
