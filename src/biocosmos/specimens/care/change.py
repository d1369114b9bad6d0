"""Values of specimens changed by id, with a history: what every verb that corrects something calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Collection as Values
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.care.apply import ROWS_AT_ONCE
from biocosmos.specimens.care.cells import Proposal, TableProposal, Tally, chosen, differences, kind_of, long_table
from biocosmos.specimens.care.draft import Draft, rows_at
from biocosmos.specimens.care.entry import NEW, OLD, Entry
from biocosmos.specimens.care.writing import done_already, writing
from biocosmos.specimens.embedding_columns import facts_of_field
from biocosmos.specimens.positions import positions_of
from biocosmos.specimens.rank_order import merge_orders
from biocosmos.specimens.records import ADDED_BY_COLLECTION, EMBEDDING_PREFIX, STANDARD
from biocosmos.specimens.stored_types import column_names, column_type
from biocosmos.unfinished import ScratchFolder

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

OWN = ("id", "image", *ADDED_BY_COLLECTION)
"""Columns that a table of new values cannot set: what a specimen is called, and what follows from its image."""


@dataclass
class ChangeSummary:
    """What a change did, or would do.

    Attributes:
        specimens: that changed; columns: cells that changed, by column; unchanged: cells that were given and were there already.
        vectors: specimens whose vectors were taken away, because their image, its crop, their barcode or their names changed:
            ``embed`` makes these anew.
        entry: of the history; None for a dry run, and where nothing changed.
        ids: of the specimens that are removed. failures: rows and cells that could not be used.
        notes: what else a person should know.
    """

    specimens: int = 0
    columns: dict[str, int] = field(default_factory=dict)
    unchanged: int = 0
    vectors: int = 0
    entry: Entry | None = None
    failures: Failures = field(default_factory=Failures)
    notes: list[str] = field(default_factory=list)
    ids: pa.Array | None = field(default=None, repr=False)
    written: Path | None = field(default=None, repr=False)
    aside: ScratchFolder | None = field(default=None, repr=False)

    @property
    def cells(self) -> int:
        """Cells that changed."""
        return sum(self.columns.values())

    def changes(self) -> Iterator[pa.Table]:
        """Every cell that changed, streamed: ``id``, ``column``, ``old``, ``new``, as text."""
        if self.written is not None:
            with pq.ParquetFile(self.written) as file:
                for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
                    yield long_table(batch)


def change(
    collection: Collection,
    table: Any,
    *,
    verb: str,
    by: str | None = None,
    note: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    clear: bool = False,
    ranks: Sequence[str] | None = None,
    dry_run: bool = False,
) -> ChangeSummary:
    """Set cells of specimens, by id, as one change that can be undone.

    Args:
        table: what Arrow takes for a table: ``id`` and a column for each that changes; a column that is not there yet is made.
        verb, by, note, arguments: what the history says; ``by`` is found from the environment by default.
        clear: a null clears the cell; by default it leaves the cell alone.
        ranks: rank columns, coarse to fine, that the collection has from now on, beside its own.
        dry_run: only say what would change.

    Raises:
        BiocosmosError: no column ``id``, an id twice, a column that cannot be set, ranks in another order than the collection's.
    """
    table = pa.table(table)
    for name in table.column_names:
        if (name in OWN and name != "id") or name.startswith(EMBEDDING_PREFIX):
            raise BiocosmosError(f"the column '{name}' follows from the image or from an encoder: leave it out of the table")
    with writing(collection, verb, dry_run=dry_run):
        ranks = merge_orders(collection.ranks, tuple(ranks or ()))
        summary = ChangeSummary()
        table = usable(table, summary.failures, verb)
        table = as_stored(table, collection.dataset, ranks, summary.failures, clear=clear, stage=verb)
        proposal = TableProposal(table, clear=table.column_names if clear else ())
        facts: dict[str, Any] = {"verb": verb, "by": by, "note": note, "arguments": dict(arguments or {})}
        propose(collection, proposal, ranks=ranks, dry_run=dry_run, summary=summary, **facts)
    return summary


def propose(
    collection: Collection,
    proposal: Proposal,
    *,
    ranks: tuple[str, ...],
    dry_run: bool,
    summary: ChangeSummary,
    tell: Callable[[], None] | None = None,
    **facts: Any,
) -> ChangeSummary:
    """Set what ``proposal`` proposes, with the lock held, and record what failed: before the change is final, so that a kill
    loses nothing of it.

    ranks: the collection's from now on; tell: adds what is known only once all was looked at; facts: of the entry.
    """
    dataset, before = collection.dataset, collection.ranks
    draft, tally = Draft(collection, aside=dry_run, **facts), Tally()
    fields = draft.cells("fields", differences(dataset, proposal, tally))
    vectors = None if fields is None else draft.cells("vectors", forgotten(dataset, tally.others))
    for id_ in proposal.unknown():
        summary.failures.add("no specimen has this id", stage=str(facts["verb"]), id=id_)
    summary.specimens, summary.unchanged = tally.specimens, proposal.unchanged
    summary.columns = {name: count for name, count in tally.changed.items() if count}
    summary.vectors = 0 if vectors is None else vectors.rows
    if fields is not None:
        fields = replace(fields, columns=tuple(summary.columns))
        summary.written = draft.folder / fields.file
        summary.aside = draft.aside
    if tell is not None:
        tell()
    nothing = fields is None and before == ranks
    if not dry_run:
        again = done_already(collection, facts["verb"], facts.get("arguments") or {}) if nothing else None
        number = again.number if again is not None else None if nothing else draft.number
        collection.record_failures(summary.failures, of_change=number, whole=not nothing)
    if dry_run or nothing:
        return summary
    made = [name for name in dict.fromkeys([*summary.columns, *ranks]) if name not in dataset.schema.names]
    counts = {"specimens": tally.specimens, "cells": summary.cells}
    order = None if before == ranks else (before, ranks)
    summary.entry = draft.carry_out([vectors, fields], counts=counts, new_columns=tuple(made), ranks=order)
    return summary


def already(entry: Entry) -> ChangeSummary:
    """What is said of a change that was asked for again after a kill, and that was finished meanwhile."""
    note = f"this was done already, by the run that was interrupted: it is change {entry.number}"
    return ChangeSummary(specimens=entry.counts.get("specimens", 0), entry=entry, notes=[note], ids=pa.array([], pa.string()))


def usable(table: pa.Table, failures: Failures, stage: str) -> pa.Table:
    """The rows that have an id of their own, under names that Lance takes. A row that says the same again is passed over."""
    if "id" not in table.column_names:
        raise BiocosmosError(f"the table has no column 'id'; it has: {', '.join(table.column_names)}")
    table = table.rename_columns(column_names(table.column_names))
    ids = table["id"].cast(pa.string()).combine_chunks()
    table = table.set_column(table.column_names.index("id"), "id", ids)
    values = ids.to_pylist()
    if len(set(values)) == len(values) and ids.null_count == 0:
        return table
    first: dict[str, int] = {}
    keep = []
    for row, id_ in enumerate(values):
        if id_ is None or not id_.strip():
            failures.add("blank id", stage=stage, row=row + 1)
        elif id_ not in first:
            first[id_] = row
            keep.append(row)
        elif table.slice(row, 1).to_pylist() != table.slice(first[id_], 1).to_pylist():
            failures.add(
                f"row {first[id_] + 1} has this id too, with other values: this one was left out",
                stage=stage,
                row=row + 1,
                id=id_,
            )
    return table.take(pa.array(keep, pa.int64()))


def as_stored(
    table: pa.Table, dataset: lance.LanceDataset, ranks: Sequence[str], failures: Failures, *, clear: bool, stage: str
) -> pa.Table:
    """The table with the types of the stored columns. A cell that cannot take it is told, and leaves alone what is there."""
    columns, bad = {}, np.zeros(len(table), bool)
    ids = table["id"].to_pylist()
    for name in table.column_names:
        values = table[name].combine_chunks()
        values = values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
        stored = name in dataset.schema.names
        kind = dataset.schema.field(name).type if stored else pa.string() if name in ranks else column_type(name, values.type)
        if not stored and pa.types.is_nested(kind) and name not in STANDARD:
            kind = pa.string()
        if values.type != kind:
            values, wrong = cast(values, kind)
            for row in np.flatnonzero(wrong):
                shown = str(table[name][int(row)])[:60]
                failures.add(
                    f"column '{name}' holds {kind}: the value {shown!r} was left out", stage=stage, id=ids[row], row=int(row) + 1
                )
            bad |= wrong
        columns[name] = values
    whole = pa.table(columns)
    return whole.filter(pa.array(~bad)) if clear and bad.any() else whole


def cast(values: pa.Array, kind: pa.DataType) -> tuple[pa.Array, Any]:
    """The values in another type, null where they cannot have it; and (n,) bool where that is so."""
    try:
        return pc.cast(values, kind), np.zeros(len(values), bool)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        cells, wrong = [], np.zeros(len(values), bool)
        for row, value in enumerate(values):
            try:
                cells.append(_one(value, kind))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, TypeError, ValueError):
                cells.append(None)
                wrong[row] = True
        return pa.array(cells, kind), wrong


def _one(value: pa.Scalar, kind: pa.DataType) -> Any:
    """A cell in another type: as Arrow casts it, text trimmed, a number of the text for a list or the other way round."""
    if not value.is_valid:
        return None
    if pa.types.is_string(value.type) and pa.types.is_floating(kind):
        return float(value.as_py().strip().replace(",", "."))
    if pa.types.is_string(kind) and pa.types.is_nested(value.type):
        return json.dumps(value.as_py(), default=str, ensure_ascii=False)
    if pa.types.is_nested(kind) or pa.types.is_nested(value.type):
        return pa.scalar(value.as_py(), kind).as_py()
    return value.cast(kind).as_py()


def forgotten(
    dataset: lance.LanceDataset, others: Mapping[str, Sequence[str]], *, but: Values[str] = ()
) -> Iterator[pa.RecordBatch]:
    """The vectors of these specimens (ids by modality) as cells that become null; of all columns but these."""
    made_of = {
        column.name: kind_of(facts_of_field(column))
        for column in dataset.schema
        if column.name.startswith(EMBEDDING_PREFIX) and column.name not in but
    }
    made_of = {name: modality for name, modality in made_of.items() if others.get(modality)}
    if not made_of:
        return
    gone = {modality: pa.array(list(dict.fromkeys(others[modality])), pa.string()) for modality in set(made_of.values())}
    ids = list(dict.fromkeys(id_ for found in gone.values() for id_ in found.to_pylist()))
    marked = [dataset.schema.field(name).with_name(mark + name) for name in made_of for mark in (OLD, NEW)]
    schema = pa.schema([pa.field("id", pa.string()), *marked])
    for batch in rows_at(dataset, positions_of(dataset, ids), ["id", *made_of]):
        columns = [batch.column("id")]
        for name, modality in made_of.items():
            which = np.asarray(pc.is_in(batch.column("id"), value_set=gone[modality]))
            old = batch.column(name)
            columns += [old, chosen(which, pa.nulls(len(old), old.type), old)]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)
