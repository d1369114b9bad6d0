"""Where and when the specimens of a collection were found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.places.columns import NAMES, Places
from biocosmos.places.oddities import Minutes, odd_date, odd_depths, odd_place
from biocosmos.places.swapped import swapped_rows

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

BEFORE: dict[str, tuple[str, ...]] = {
    "uncertainty": ("coordinateUncertaintyInMeters", "coordinateUncertainty"),
    "depth_min": ("minimumDepthInMeters", "object_depth_min"),
    "depth_max": ("maximumDepthInMeters", "object_depth_max"),
    "altitude": ("minimumElevationInMeters", "elevation"),
    "country": ("countryCode",),
}
"""Ours -> how columns are called in collections that were made before there were ours."""
ODD = pa.schema([("id", pa.string()), ("column", pa.string()), ("value", pa.string()), ("problem", pa.string())])


def place_columns(names: Sequence[str]) -> dict[str, str]:
    """Ours -> the column of a collection with the columns ``names`` that says it; those that nothing says are left out."""
    found = {ours: next((name for name in (ours, *BEFORE.get(ours, ())) if name in names), None) for ours in NAMES}
    return {ours: name for ours, name in found.items() if name is not None}


def places_of(collection: Collection, ids: Sequence[str] | None = None, **selection: Any) -> tuple[pa.Array, Places]:
    """(ids, their places) of the selected specimens in the order they were stored, or of ``ids`` in their order.

    selection: as for :meth:`Collection.scan`. Ids that are not there are left out. Columns of an older collection count too,
    whatever their type: a text that is a number is one.
    """
    table, stored = _table(collection, ids, **selection)
    return stored, Places.of_table(table)


def _table(collection: Collection, ids: Sequence[str] | None = None, **selection: Any) -> tuple[pa.Table, pa.Array]:
    columns = place_columns(collection.dataset.schema.names)
    wanted = ["id", *columns.values()]
    table = collection.take([str(id_) for id_ in ids], wanted) if ids is not None else collection.table(wanted, **selection)
    made = {ours: _typed(ours, table[name]) for ours, name in columns.items()}
    stored = table["id"].combine_chunks()
    return pa.table({"id": stored, **made}).drop_columns(["id"]) if made else table.select([]), stored


def _typed(ours: str, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers as float64, texts as strings; what is no number is null."""
    if ours in ("date", "country"):
        return values.cast(pa.string())
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        numbers = pc.match_substring_regex(values, r"^\s*[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?\s*$")
        values = pc.if_else(numbers, pc.utf8_trim_whitespace(values), pa.scalar(None, values.type))
    return values.cast(pa.float64(), safe=False)


@dataclass(frozen=True)
class Surveyed:
    """What a collection says of places and times.

    specimens: how many there are; known: column of ours -> how many have it. odd: (id, column, value, problem), a row each.
    notes: what concerns many rows together.
    """

    specimens: int
    known: dict[str, int]
    odd: pa.Table
    notes: tuple[str, ...] = ()


def survey(collection: Collection, **selection: Any) -> Surveyed:
    """What is known of places and times in a collection, and what looks wrong; nothing is changed."""
    table, ids = _table(collection, **selection)
    cells = {name: table[name].to_pylist() for name in table.column_names}
    rows = list(_odd(ids.to_pylist(), cells))
    minutes = {name: Minutes(name) for name in ("latitude", "longitude")}
    for name, each in minutes.items():
        for value in cells.get(name, ()):
            if value is not None:
                each.add(value)
    odd = pa.Table.from_pylist(rows, schema=ODD)
    notes = tuple(reason for each in minutes.values() if (reason := each.reason()) is not None)
    return Surveyed(len(ids), {name: len(ids) - table[name].null_count for name in table.column_names}, odd, notes)


def _odd(ids: list[str], cells: dict[str, list[Any]]) -> Iterator[dict[str, str]]:
    """What is odd, row by row."""
    nothing: list[Any] = [None] * len(ids)
    latitude, longitude = cells.get("latitude", nothing), cells.get("longitude", nothing)
    today = date.today()
    dates: dict[str, str | None] = {}
    for row, id_ in enumerate(ids):
        north, east, text = latitude[row], longitude[row], cells.get("date", nothing)[row]
        if (north is None) != (east is None):
            missing = "latitude" if north is None else "longitude"
            yield _said(id_, missing, "", "is missing, while the other coordinate is there: blank both, or fill it in")
        elif north is not None and not (abs(north) <= 90 and abs(east) <= 180):
            yield _said(id_, "latitude", f"{north:g},{east:g}", "lies outside -90..90 and -180..180")
        elif north is not None and (reason := odd_place(north, east)) is not None:
            yield _said(id_, "latitude", f"{north:g},{east:g}", reason)
        depths = [cells.get(name, nothing)[row] for name in ("depth_min", "depth_max")]
        if (reason := odd_depths(*depths)) is not None:
            yield _said(id_, "depth_min", "/".join(f"{depth:g}" for depth in depths if depth is not None), reason)
        if text:
            if text not in dates:
                dates[text] = odd_date(text, today)
            if (reason := dates[text]) is not None:
                yield _said(id_, "date", text, reason)
    for row, country in swapped_rows(latitude, longitude, cells.get("country", nothing)):
        where = f"{latitude[row]:g},{longitude[row]:g}"
        problem = f"looks swapped: the other way round it lies where those of {country} do: exchange latitude and longitude"
        yield _said(ids[row], "latitude", where, problem)


def _said(id_: str, column: str, value: str, problem: str) -> dict[str, str]:
    return {"id": id_, "column": column, "value": value, "problem": problem}
