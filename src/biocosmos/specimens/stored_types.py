"""Under which name and with which type a column of a source is stored, and its values in that type."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import Failures
from biocosmos.specimens.records import ADDED_BY_COLLECTION, EMBEDDING_PREFIX, PLACED, STANDARD

RESERVED = ("_rowid", "_rowaddr", "_rowoffset", "_row_created_at_version", "_row_last_updated_at_version")
"""Names that Lance keeps for itself."""
_UNSPEAKABLE = re.compile(r"[.`\x00-\x1f\x7f]")
"""What a column's name cannot hold in Lance or in a condition."""


def column_name(name: str) -> str:
    """The name a column is stored under: without dots, backticks and control characters, and none that is taken by Lance or us.

    >>> column_name("net.mesh"), column_name("_rowid")
    ('net_mesh', '_rowid_')
    """
    plain = _UNSPEAKABLE.sub("_", name) or "_"
    return f"{plain}_" if plain.lower() in RESERVED or plain.startswith(EMBEDDING_PREFIX) else plain


def column_names(names: Sequence[str]) -> list[str]:
    """The stored names of columns that stand side by side: "a.b" and "a_b" are two, "a_b_2" and "a_b"."""
    taken = {name for name in names if column_name(name) == name}
    found = []
    for name in names:
        plain, number = column_name(name), 2
        if plain != name:
            stem = plain
            while plain in taken:
                plain, number = f"{stem}_{number}", number + 1
            taken.add(plain)
        found.append(plain)
    return found


def column_type(name: str, given: pa.DataType) -> pa.DataType:
    """The type a new column is stored with: its own for the columns of a specimen, the reader's otherwise, if Lance has it."""
    if name in STANDARD:
        return STANDARD[name]
    if name in PLACED:
        return PLACED[name]
    if name in ADDED_BY_COLLECTION:
        return ADDED_BY_COLLECTION[name]
    types = pa.types
    if types.is_binary_view(given):
        return pa.binary()
    lacking = (
        types.is_null,
        types.is_dictionary,
        types.is_string_view,
        types.is_union,
        types.is_run_end_encoded,
        types.is_interval,
    )
    views = (types.is_list_view, types.is_large_list_view, types.is_decimal32, types.is_decimal64)
    return pa.string() if any(is_one(given) for is_one in (*lacking, *views)) or _holds_map(given) else given


def _holds_map(kind: pa.DataType) -> bool:
    """Whether a map is in it, of which Lance gives the parts other names when it is read."""
    inner = [kind.field(i).type for i in range(kind.num_fields)] if pa.types.is_nested(kind) and not pa.types.is_map(kind) else []
    return bool(pa.types.is_map(kind)) or any(_holds_map(each) for each in inner)


def in_type(values: pa.Array, column: pa.Field, ids: Sequence[str | None], failures: Failures, *, stage: str) -> pa.Array:
    """The values in the column's type; one that cannot take it becomes null, with a warning. A list becomes JSON."""
    if values.type == column.type:
        return values
    try:
        return pc.cast(values, column.type)
    except pa.ArrowInvalid:
        return _cast_each(values, column, ids, failures, stage)
    except pa.ArrowNotImplementedError:
        text = [None if cell is None else json.dumps(cell, default=str) for cell in values.to_pylist()]
        return _cast_each(pa.array(text, pa.string()), column, ids, failures, stage)


def _cast_each(values: pa.Array, column: pa.Field, ids: Sequence[str | None], failures: Failures, stage: str) -> pa.Array:
    cells = []
    for value, id_ in zip(values, ids):
        try:
            cells.append(value.cast(column.type).as_py())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            cells.append(None)
            reason = f"column '{column.name}' holds {column.type}: the value {str(value)[:60]!r} was left out"
            failures.add(reason, stage=stage, id=id_, severity="warning")
    return pa.array(cells, column.type)
