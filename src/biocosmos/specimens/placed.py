"""Where and when the specimens of a collection were found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.places.columns import NAMES, Places
from biocosmos.specimens.readers.columns import plain
from biocosmos.specimens.readers.placing import SOURCES

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection


def place_columns(names: Sequence[str]) -> dict[str, str]:
    """Ours -> the column of a collection with the columns ``names`` that says it; those that nothing says are left out.

    A collection that was made before there were columns of our own has them as its source called them.
    """
    called = {plain(name): name for name in reversed(names)}
    found = {
        ours: [ours] if ours in names else [called[each] for each in SOURCES.get(ours, ()) if each in called] for ours in NAMES
    }
    return {ours: those[0] for ours, those in found.items() if those}


def places_of(collection: Collection, ids: Sequence[str] | None = None, **selection: Any) -> tuple[pa.Array, Places]:
    """(ids, their places) of the selected specimens in the order they were stored, or of ``ids`` in their order.

    selection: as for :meth:`Collection.scan`. Ids that are not there are left out. Columns of an older collection count too,
    whatever their type: a text that is a number is one.
    """
    columns = place_columns(collection.stored_columns)
    wanted = ["id", *columns.values()]
    table = collection.take([str(id_) for id_ in ids], wanted) if ids is not None else collection.table(wanted, **selection)
    stored = table["id"].combine_chunks()
    made = {ours: _typed(ours, table[name]) for ours, name in columns.items()}
    return stored, Places.of_table(pa.table({"id": stored, **made}))


def _typed(ours: str, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers as float64, texts as strings; what is no number is null."""
    if ours in ("date", "country"):
        return values.cast(pa.string())
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        numbers = pc.match_substring_regex(values, r"^\s*[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?\s*$")
        values = pc.if_else(numbers, pc.utf8_trim_whitespace(values), pa.scalar(None, values.type))
    return values.cast(pa.float64(), safe=False)
