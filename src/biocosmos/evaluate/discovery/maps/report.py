"""The report on a map of likeness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.evaluate.discovery.maps.page import page
from biocosmos.evaluate.report import Report, split_hash
from biocosmos.search.gallery import Gallery

Array = npt.NDArray[Any]
ACROSS = 12
"""Cells of a side of the picture in which pictures stand."""


def map_report(
    gallery: Gallery,
    places: Array,
    colours: Mapping[str, Sequence[str | None]],
    *,
    title: str,
    caveats: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
) -> Report:
    """Tables ``points`` (id, x, y and a column for each colouring), ``colours`` (how many of each) and ``pictures`` (a specimen
    for each part of the plane that holds some, nearest to the middle of those there).

    places: (n, 2) of the gallery's rows; colours: name -> (n,) what each row is, None for nothing.
    """
    points = {"id": pa.array(gallery.ids.tolist(), pa.string()), "x": pa.array(places[:, 0]), "y": pa.array(places[:, 1])}
    points |= {f"is {name}": pa.array(values, pa.string()) for name, values in colours.items()}
    counted = [
        {"by": name, "value": value, "specimens": count}
        for name, values in colours.items()
        for value, count in Counter(value for value in values if value is not None).most_common()
    ]
    schema = pa.schema([("by", pa.string()), ("value", pa.string()), ("specimens", pa.int64())])
    rows = standing_for(places)
    tables = {
        "points": pa.table(points),
        "colours": pa.Table.from_pylist(counted, schema=schema),
        "pictures": pa.table(
            {"id": pa.array(gallery.ids[rows].tolist(), pa.string()), "x": places[rows, 0], "y": places[rows, 1]}
        ),
    }
    said = [
        *caveats,
        "Near is alike; far is not a measure of how unlike, nor the size of an island how varied it is: such maps are made so.",
    ]
    facts = {**(provenance or {}), "split_hash": split_hash(gallery.provenance), "specimens": len(gallery)}
    return Report("map", title, tables, said, facts, page)


def standing_for(places: Array) -> Array:
    """(m,) rows, one for each cell of a grid that holds any: the nearest to the mean of those there, the lowest of equals."""
    low, high = places.min(axis=0), places.max(axis=0)
    cell = np.minimum(((places - low) / np.maximum(high - low, 1e-9) * ACROSS).astype(np.int64), ACROSS - 1)
    code = cell[:, 0] * ACROSS + cell[:, 1]
    found = []
    for each in np.unique(code):
        rows = np.flatnonzero(code == each)
        found.append(int(rows[((places[rows] - places[rows].mean(axis=0)) ** 2).sum(axis=1).argmin()]))
    return np.array(found, np.int64)
