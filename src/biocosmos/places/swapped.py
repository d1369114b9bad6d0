"""Coordinates that lie within their ranges and are swapped all the same: told by what else is known of the country."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from biocosmos.places.sphere import great_circle

LEAST = 5
"""Specimens of a country that say where it is."""
NEAR, FAR = 1500.0, 3000.0
"""Kilometres from the middle of a country's specimens: swapped ones lie within the first, and as they are beyond the second."""


def swapped_rows(
    latitude: Sequence[float | None], longitude: Sequence[float | None], country: Sequence[str | None]
) -> Iterator[tuple[int, str]]:
    """(row, its country) of coordinates that are far from those of their country, and near to them once they are swapped.

    The middle of a country's specimens is the median of each coordinate, so most of them must be right. Rows without a country
    are one group of their own, where they have one middle: half of them lie within :data:`NEAR`.
    """
    groups: dict[str, list[int]] = {}
    for row, (north, east, name) in enumerate(zip(latitude, longitude, country)):
        if north is not None and east is not None and abs(north) <= 90 and abs(east) <= 90:
            groups.setdefault(name or "this collection", []).append(row)
    for name, members in groups.items():
        if len(members) < LEAST:
            continue
        north, east = (np.array([float(values[row] or 0.0) for row in members]) for values in (latitude, longitude))
        middle = float(np.median(north)), float(np.median(east))
        as_is = great_circle(north, east, *middle)
        if np.median(as_is) > NEAR:
            continue
        exchanged = great_circle(east, north, *middle)
        for at in np.flatnonzero((as_is > FAR) & (exchanged < NEAR)):
            yield members[int(at)], name
