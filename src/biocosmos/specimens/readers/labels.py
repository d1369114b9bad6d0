"""Columns that are attributes: groups of 0 and 1, and texts that list several values, of any format's rows.

A cell of a group that is neither 0, 1, -1 nor empty is told and left out; -1 and empty are not known. A text is taken apart at
its separator; "[" begins a JSON list, as our own CSV writes them. A cell that holds nothing but the separator is the empty set.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np
import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.attribute_groups import Group
from biocosmos.specimens.attributes import UNKNOWN, cells_of
from biocosmos.specimens.readers.columns import shown
from biocosmos.specimens.readers.label_options import LabelColumns
from biocosmos.specimens.records import STANDARD, Source

LIST = pa.list_(pa.string())


def labelled(source: Source, asked: LabelColumns) -> Source:
    """The source with these columns as labels, and the groups declared. A column that no batch has is refused as it is read."""
    batches = iter(source.batches)
    first = next(batches, None)
    if first is None:
        return source
    names = first.schema.names
    groups = tuple(_expanded(group, names, source.name) for group in asked.groups)
    for group in groups:
        _check(group, first, source.name)
    sets = dict(asked.sets or {})
    for column in sets:
        if column not in names or column in STANDARD:
            what = "is a column with a meaning of its own" if column in STANDARD else f"is no column; there are: {shown(names)}"
            raise BiocosmosError(f"{source.name}: --sets {column!r} {what}")

    def converted() -> Iterator[pa.RecordBatch]:
        yield _converted(first, groups, sets, source.failures)
        for batch in batches:
            yield _converted(batch, groups, sets, source.failures)

    return replace(source, batches=converted(), attributes=(*source.attributes, *groups))


def _check(group: Group, batch: pa.RecordBatch, where: str) -> None:
    """Refuse a group that is called as another column, and a column that holds nothing like a label."""
    if group.name in batch.schema.names and group.columns != (group.name,):
        raise BiocosmosError(f"{where}: the group '{group.name}' is called as a column that is not in it: give it another name")
    for name in group.columns:
        column = batch.column(name)
        _, bad = cells_of(column)
        if len(bad) and len(bad) == len(column) - column.null_count:
            found = str(column[int(bad[0])].as_py())[:40]
            raise BiocosmosError(f"{where}: the column '{name}' of the group '{group.name}' holds no 0 or 1, but {found!r}")


def _expanded(group: Group, names: Sequence[str], where: str) -> Group:
    columns: list[str] = []
    for wanted in group.columns:
        pattern = any(letter in wanted for letter in "*?")
        found = [name for name in names if name not in STANDARD and (fnmatchcase(name, wanted) if pattern else name == wanted)]
        if not found:
            raise BiocosmosError(f"{where}: the group '{group.name}' has no column {wanted!r}; there are: {shown(names)}")
        columns += [name for name in found if name not in columns]
    return replace(group, columns=tuple(columns))


def _converted(batch: pa.RecordBatch, groups: Sequence[Group], sets: Mapping[str, str], failures: Failures) -> pa.RecordBatch:
    columns = {name: batch.column(name) for name in batch.schema.names}
    ids = columns["id"].to_pylist()
    for group in groups:
        for name in group.columns if group.several else ():
            if name in columns:
                columns[name] = label_cells(columns[name], name, ids, failures)
    for name, separator in sets.items():
        if name in columns:
            columns[name] = _sets(columns[name], name, separator, ids, failures)
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def label_cells(column: pa.Array, name: str, ids: Sequence[str | None], failures: Failures) -> pa.Array:
    """A column of 0 and 1 as int8 with nulls; each other cell becomes null, with a warning."""
    values, bad = cells_of(column)
    for row in bad:
        text = str(column[int(row)].as_py())[:40]
        reason = f"the label '{name}' is {text!r}, neither 0, 1 nor empty: not known"
        failures.add(reason, stage="read", id=ids[row], severity="warning")
    return pa.array(values.astype(np.int8), pa.int8(), mask=values == UNKNOWN)


def _sets(column: pa.Array, name: str, separator: str, ids: Sequence[str | None], failures: Failures) -> pa.Array:
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return column
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), LIST)
    cells = []
    for cell, id_ in zip(column.to_pylist(), ids):
        members = _members("" if cell is None else str(cell).strip(), separator)
        if members is None:
            reason = f"the set '{name}' is {str(cell)[:40]!r}, which begins as a JSON list and is none: not known"
            failures.add(reason, stage="read", id=id_, severity="warning")
        cells.append(members or (None if not str(cell or "").strip() or members is None else []))
    return pa.array(cells, LIST)


def _members(text: str, separator: str) -> list[str] | None:
    parts: Sequence[object] = text.split(separator)
    if text.startswith("["):
        try:
            parts = json.loads(text)
        except ValueError:
            return None
        if not isinstance(parts, list):
            return None
    return list(dict.fromkeys(str(part).strip() for part in parts if part is not None and str(part).strip()))
