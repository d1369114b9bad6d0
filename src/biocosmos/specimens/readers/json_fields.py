"""Fields of JSON objects as typed columns: numbers stay numbers where all of them are, lists and objects become JSON text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from biocosmos.files import readable
from biocosmos.specimens.readers.json_stream import as_number, as_text
from biocosmos.specimens.records import ADDED_BY_COLLECTION

MOST_COLUMNS = 500
"""Of objects that have thousands of different fields the first are columns; that there are more is told."""


def type_of(kind: pa.DataType | None, value: Any) -> pa.DataType | None:
    """The type of a column that held ``kind`` until now and this value too; None while there were only nulls."""
    if value is None:
        return kind
    if isinstance(value, bool):
        found = pa.bool_()
    elif isinstance(value, int) and abs(value) < 2**63:
        found = pa.int64()
    elif isinstance(value, float):
        found = pa.float64()
    else:
        return pa.string()
    if kind is None or kind == found:
        return found
    return pa.float64() if {kind, found} == {pa.int64(), pa.float64()} else pa.string()


def fitting(value: Any, kind: pa.DataType) -> Any:
    """A value in the type of its column; None where it does not fit."""
    if value is None:
        return None
    if pa.types.is_string(kind):
        return as_text(value)
    if pa.types.is_float64(kind):
        return as_number(value)
    wanted = bool if pa.types.is_boolean(kind) else int
    return value if type(value) is wanted and (wanted is bool or abs(value) < 2**63) else None


@dataclass
class JsonFields:
    """The fields seen, their types, and once :meth:`call` was told, our names."""

    kinds: dict[str, pa.DataType | None] = field(default_factory=dict)
    ours: dict[str, str] = field(default_factory=dict)

    def add(self, found: dict[str, Any]) -> bool:
        """Count in the fields of one object; whether it had any that came too late to be columns."""
        late = False
        for name, value in found.items():
            if name not in self.kinds and len(self.kinds) >= MOST_COLUMNS:
                late = True
                continue
            self.kinds[name] = type_of(self.kinds.get(name), value)
        return late

    def call(self, names: list[str], taken: set[str]) -> None:
        """Give the fields names of ours; one that is taken, or that a collection fills in itself, gets "json_" before it."""
        for theirs, ours in zip(self.kinds, names):
            ours = readable(ours)
            ours = ours if ours.strip() else "unnamed"
            ours = readable(theirs) if ours in taken and theirs.strip() else ours
            while ours in taken or ours in ADDED_BY_COLLECTION or ours in self.ours.values():
                ours = f"json_{ours}"
            self.ours[theirs] = ours

    def columns(self) -> dict[str, pa.DataType]:
        """Our name -> type."""
        return {ours: self.kinds[theirs] or pa.string() for theirs, ours in self.ours.items()}

    def take(self, found: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
        """(the object's fields by our names in the types of their columns, the names of those that are no column)."""
        known = {name: self.ours[name] for name in found if name in self.ours}
        values = {ours: fitting(found[name], self.kinds[name] or pa.string()) for name, ours in known.items()}
        return values, {name for name in found if name not in self.ours}
