"""The map of places as a server gives it: points, which of them a view has, and boxes and spans of time."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.serve.likeness.binary import bits, etag, packed
from biocosmos.serve.places.timeline import Timeline

if TYPE_CHECKING:
    from biocosmos.serve.catalogue import View
    from biocosmos.serve.catalogue.stored import Stored
    from biocosmos.serve.desk import Desk


@dataclass(frozen=True)
class Spots:
    """rows: (m,) int32, ascending, which rows of the catalogue have a place; longitude, latitude: (m,) float32 of those."""

    rows: npt.NDArray[np.int32]
    longitude: npt.NDArray[np.float32]
    latitude: npt.NDArray[np.float32]
    total: int
    mark: str


class Places:
    """One a server; used by many threads."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lock = threading.Lock()
        self._spots: tuple[Stored, Spots] | None = None
        self._timeline: tuple[Stored, Timeline] | None = None
        self._message: tuple[str, bytes] | None = None

    def spots(self) -> Spots:
        """The specimens that have a place."""
        stored = self._desk.catalogue.now.stored
        with self._lock:
            if self._spots is None or self._spots[0] is not stored:
                there = np.isfinite(stored.longitude) & np.isfinite(stored.latitude)
                rows = np.flatnonzero(there).astype(np.int32)
                longitude, latitude = stored.longitude[rows], stored.latitude[rows]
                mark = etag("places", len(there), longitude.tobytes(), latitude.tobytes(), rows.tobytes())
                self._spots = stored, Spots(rows, longitude, latitude, len(there), mark)
            return self._spots[1]

    def timeline(self) -> Timeline:
        """When the specimens were found."""
        stored = self._desk.catalogue.now.stored
        with self._lock:
            if self._timeline is None or self._timeline[0] is not stored:
                self._timeline = stored, Timeline.of(*stored.days)
            return self._timeline[1]

    # ------------------------------------------------------------------ messages

    def points(self) -> bytes:
        """Header, longitude and latitude (float32, degrees) of all specimens that have a place, in the order of the catalogue."""
        spots = self.spots()
        with self._lock:
            if self._message is not None and self._message[0] == spots.mark:
                return self._message[1]
        count = len(spots.rows)
        header = {"mark": spots.mark, "count": count, "total": spots.total, "without": spots.total - count}
        message = packed(header, {"longitude": spots.longitude, "latitude": spots.latitude})
        with self._lock:
            self._message = spots.mark, message
        return message

    def mask(self, view: View, more: Mapping[str, Any] | None = None) -> bytes:
        """Header (how many specimens the view has, how many of them have a place; and ``more``) and a bit a point."""
        spots, mask = self.spots(), self._desk.catalogue.mask(view)
        there = mask[spots.rows]
        header: dict[str, Any] = {"mark": spots.mark, "count": len(there), "view": int(mask.sum()), "on_map": int(there.sum())}
        header |= {"box": view.box, **(more or {})}
        return packed(header, {"bits": bits(there)})

    def ids(self, mark: str, points: Sequence[int]) -> list[str]:
        """Ids of points by their place in :meth:`points`. Raises BiocosmosError where these are other points by now."""
        spots = self.spots()
        if spots.mark != mark or any(not 0 <= point < len(spots.rows) for point in points):
            raise BiocosmosError("specimens have come or gone meanwhile: reload the page")
        rows = spots.rows[np.asarray(points, np.int64)]
        return [str(id_) for id_ in self._desk.catalogue.ids.take(rows).to_pylist()]

    def times(self, view: View) -> dict[str, Any]:
        """Specimens by time, all and those of a view whatever dates it asks for."""
        timeline = self.timeline()
        mask = self._desk.catalogue.mask(replace(view, dates=(None, None)))
        inside = timeline.counts(mask)
        steps = [
            {"from": first, "to": last, "all": int(every), "view": int(of_view)}
            for first, last, every, of_view in zip(timeline.firsts, timeline.lasts, timeline.every, inside)
        ]
        return {
            "unit": timeline.unit,
            "steps": steps,
            "undated": timeline.undated,
            "vague": timeline.vague,
            "dates": list(view.dates),
        }

    # ------------------------------------------------------------------ selecting

    def select(self, view: View, changes: dict[str, Any]) -> tuple[View, int]:
        """A view with another ``box`` (west, south, east, north, or None), other ``dates`` (first and last, each or None), or
        both; and how many specimens it has. Raises BiocosmosError for what is neither."""
        if "box" in changes:
            box = changes["box"]
            view = replace(view, box=None if box is None else _box(box))
        if "dates" in changes:
            first, last = changes["dates"]
            view = replace(view, dates=(first or None, last or None))
        return view, int(self._desk.catalogue.mask(view).sum())


def _box(box: Sequence[float]) -> tuple[float, float, float, float]:
    """A box as it was drawn on a map that goes around: longitudes are brought back, and cut to what an address needs."""
    if len(box) != 4 or not np.isfinite(box).all():
        raise BiocosmosError("a box is west, south, east and north in degrees: draw it again")
    west, south, east, north = (float(number) for number in box)
    if east - west >= 360:
        west, east = -180.0, 180.0
    west, east = (number if -180 <= number <= 180 else (number + 180) % 360 - 180 for number in (west, east))
    return round(west, 5), round(max(south, -90.0), 5), round(east, 5), round(min(north, 90.0), 5)
