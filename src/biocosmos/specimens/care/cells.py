"""What a table of new values changes in a collection, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.specimens.care.entry import NEW, OLD

Mask = npt.NDArray[np.bool_]


@dataclass
class Differences:
    """What differs.

    Attributes:
        table: ``id`` and, for each column in which anything differs, ``old/NAME`` and ``new/NAME``; a row for each specimen that
            changes, in the order they are stored.
        changed: cells that differ, by column; unchanged: cells that were given and are there already.
        unknown: ids that no specimen has.
    """

    table: pa.Table
    changed: dict[str, int]
    unchanged: int
    unknown: list[str]

    @property
    def columns(self) -> list[str]:
        """The columns that change."""
        return [name.removeprefix(OLD) for name in self.table.column_names if name.startswith(OLD)]


def differences(dataset: lance.LanceDataset, table: pa.Table, *, clear: bool) -> Differences:
    """Compare ``table`` (``id``, and columns that have the stored types) with what is stored.

    clear: a null is a value too; without it, a null leaves what is there. A column that is not stored yet is null everywhere.
    """
    table = table.combine_chunks()
    columns = [name for name in table.column_names if name != "id"]
    stored = [name for name in columns if name in dataset.schema.names]
    ids = _array(table["id"])
    seen = np.zeros(len(ids), bool)
    changed, unchanged, parts = dict.fromkeys(columns, 0), 0, []
    for batch in dataset.to_batches(columns=["id", *stored]):
        place = pc.index_in(batch.column("id"), value_set=ids)
        here = place.is_valid()
        at = place.drop_null()
        if not len(at):
            continue
        seen[at.to_numpy()] = True
        batch, given = batch.filter(here), table.take(at)
        any_changed, row = np.zeros(len(at), bool), [batch.column("id")]
        for name in columns:
            new = _array(given[name])
            old = batch.column(name) if name in stored else pa.nulls(len(at), new.type)
            said = np.ones(len(at), bool) if clear else np.asarray(new.is_valid())
            differs = distinct(old, new) & said
            changed[name] += int(differs.sum())
            unchanged += int((said & ~differs).sum())
            any_changed |= differs
            row += [old, chosen(differs, new, old)]
        kept = pa.array(any_changed)
        parts.append([values.filter(kept) for values in row])
    names = ["id", *(mark + name for name in columns for mark in (OLD, NEW))]
    kinds = [pa.string(), *(kind for name in columns for kind in (table.schema.field(name).type,) * 2)]
    schema = pa.schema(list(zip(names, kinds)))
    found = pa.Table.from_batches([pa.RecordBatch.from_arrays(part, schema=schema) for part in parts], schema=schema)
    idle = [mark + name for name in columns if not changed[name] for mark in (OLD, NEW)]
    changed = {name: count for name, count in changed.items() if count}
    return Differences(found.drop_columns(idle), changed, unchanged, ids.filter(pa.array(~seen)).to_pylist())


def distinct(one: pa.Array, other: pa.Array) -> Mask:
    """(n,) whether two values differ; null equals null, and not-a-number itself."""
    if pa.types.is_nested(one.type) or one.type != other.type:
        return np.array([a != b for a, b in zip(one.to_pylist(), other.to_pylist())], bool)
    there, here = np.asarray(one.is_valid()), np.asarray(other.is_valid())
    unequal = pc.not_equal(one, other).fill_null(False)
    if pa.types.is_floating(one.type):
        unequal = pc.and_(unequal, pc.invert(pc.and_(pc.is_nan(one), pc.is_nan(other)).fill_null(False)))
    return np.asarray((there != here) | unequal.to_numpy(zero_copy_only=False), bool)


def chosen(which: Mask, one: pa.Array, other: pa.Array) -> pa.Array:
    """(n,) of ``one`` where ``which``, else of ``other``; any type."""
    index = np.where(which, np.arange(len(which)), np.arange(len(which)) + len(which))
    return pa.concat_arrays([one, other]).take(pa.array(index))


def long_table(table: pa.Table) -> pa.Table:
    """What changes as people read it: a row for each cell, with ``id``, ``column``, ``old`` and ``new`` as text."""
    rows: list[dict[str, str | None]] = []
    ids = table["id"].to_pylist()
    for name in (name.removeprefix(OLD) for name in table.column_names if name.startswith(OLD)):
        old, new = _array(table[OLD + name]), _array(table[NEW + name])
        for i in np.flatnonzero(distinct(old, new)):
            rows.append({"id": ids[i], "column": name, "old": _text(old[int(i)]), "new": _text(new[int(i)])})
    return pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in ("id", "column", "old", "new")]))


def only(ids: Sequence[str] | pa.Array, columns: dict[str, pa.Array]) -> pa.Table:
    """A table of new values: these ids, these columns."""
    return pa.table({"id": pa.array(ids, pa.string()) if not isinstance(ids, pa.Array) else ids, **columns})


def _text(value: pa.Scalar) -> str | None:
    found = value.as_py()
    if isinstance(found, bytes):
        return f"{len(found):,} bytes"
    return None if found is None else str(found)


def _array(values: pa.ChunkedArray) -> pa.Array:
    whole = values.combine_chunks()
    return whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks)
