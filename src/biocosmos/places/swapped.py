"""Coordinates that lie within their ranges and are swapped all the same: told by what else is known of the country."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np

from biocosmos.places.sphere import great_circle

LEAST = 5
"""Specimens of a country that say where it is."""
NEAR, FAR = 1500.0, 3000.0
"""Kilometres from the middle of a country's specimens: swapped ones lie within the first, and as they are beyond the second."""
SHOWN = 10
NOWHERE = "this source"
"""The group of rows that name no country."""


class Swapped:
    """Rows whose coordinates are far from those of their country, and near to them once they are swapped.

    The middle of a country's specimens is the median of each coordinate, so most of them must be right; half of them lie within
    :data:`NEAR` of it, else the country says nothing. Rows without a country are one group of their own. Rows are added one by
    one and cost 28 bytes each.
    """

    def __init__(self) -> None:
        self._latitude, self._longitude, self._group, self._row = array("d"), array("d"), array("i"), array("q")
        self._names: dict[str, int] = {}

    def add(self, latitude: float | None, longitude: float | None, country: str | None, row: int | None) -> None:
        """Take one row; one without a place, or one that has a longitude for a latitude, says nothing."""
        if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 90:
            return
        self._latitude.append(latitude)
        self._longitude.append(longitude)
        self._group.append(self._names.setdefault(country or NOWHERE, len(self._names)))
        self._row.append(-1 if row is None else row)

    def reasons(self) -> Iterator[str]:
        """One message for each country that has such rows, with their numbers."""
        latitude, longitude, group, rows = (np.array(each) for each in (self._latitude, self._longitude, self._group, self._row))
        for name, number in self._names.items():
            of_group = np.flatnonzero(group == number)
            if len(of_group) < LEAST:
                continue
            north, east = latitude[of_group], longitude[of_group]
            middle = float(np.median(north)), float(np.median(east))
            as_is = great_circle(north, east, *middle)
            if np.median(as_is) > NEAR:
                continue
            found = rows[of_group[(as_is > FAR) & (great_circle(east, north, *middle) < NEAR)]]
            if len(found):
                which = ", ".join(f"{row:,}" for row in found[:SHOWN] if row >= 0)
                more = f" and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
                yield (
                    f"{len(found):,} {'row looks' if len(found) == 1 else 'rows look'} swapped: the other way round latitude and "
                    f"longitude lie where those of {name} do: exchange them" + (f" (row {which}{more})" if which else "")
                )
