"""Rows on their way into a collection's dataset: columns as they are stored, many rows a commit, and looked up meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa

from biocosmos.errors import Failures
from biocosmos.specimens.damage import reading, storing
from biocosmos.specimens.positions import Positions
from biocosmos.specimens.records import EMBEDDING_PREFIX
from biocosmos.specimens.stored_types import column_names, column_type, in_type

COMMIT_ROWS = 16 * 1024
COMMIT_BYTES = 256 * 1024**2
"""A commit has at most about so many rows or bytes: what an interrupted add loses and what it holds."""


class Appending:
    """Appends to the Lance dataset at ``path``, with the collection's lock held.

    Args:
        stage: of warnings about values that do not fit.
        before_first: called once, before the first commit.

    Attributes:
        types: stored name -> type, of the columns that are there and of those that come. A new column has the type it is first
            seen with.
        first: rows that were there before.
    """

    def __init__(self, path: str, failures: Failures, *, stage: str, before_first: Callable[[], None] | None = None) -> None:
        self._path, self._failures, self._stage, self._before_first = path, failures, stage, before_first
        dataset = lance.dataset(path)
        self.types = {field.name: field.type for field in dataset.schema if not field.name.startswith(EMBEDDING_PREFIX)}
        self.first = self._committed = int(dataset.count_rows())
        self._dataset = dataset
        self._waiting: list[pa.RecordBatch] = []

    def __len__(self) -> int:
        """Rows, those too that are not committed yet."""
        return int(self._committed + sum(batch.num_rows for batch in self._waiting))

    @property
    def added(self) -> int:
        """Rows committed here."""
        return self._committed - self.first

    def fitted(self, batch: pa.RecordBatch, ids: Sequence[str | None]) -> pa.RecordBatch:
        """The batch under stored names and types; what does not fit is left out with a warning. ids: to name its row by."""
        names = column_names(batch.schema.names)
        columns = []
        for name, values in zip(names, batch.columns):
            if name not in self.types and not pa.types.is_null(values.type):
                self.types[name] = column_type(name, values.type)
            if name in self.types:  # a column may be all null at first and typed later
                values = in_type(values, pa.field(name, self.types[name]), ids, self._failures, stage=self._stage)
            columns.append(values)
        return pa.RecordBatch.from_arrays(columns, names)

    def put(self, batch: pa.RecordBatch) -> None:
        """Take fitted rows; they are committed with others."""
        self._waiting.append(batch)
        rows, size = sum(part.num_rows for part in self._waiting), sum(part.nbytes for part in self._waiting)
        if rows >= COMMIT_ROWS or size >= COMMIT_BYTES:
            self.commit()

    def commit(self) -> None:
        """Commit what waits."""
        if not self._waiting:
            return
        if self._before_first is not None:
            self._before_first()
            self._before_first = None
        with storing(Path(self._path).parent):
            dataset = lance.dataset(self._path)
            brought = dict.fromkeys(name for batch in self._waiting for name in batch.schema.names)
            new = [name for name in brought if name not in dataset.schema.names]
            if new:
                dataset.add_columns(pa.schema([(name, self.types.setdefault(name, pa.string())) for name in new]))
                dataset = lance.dataset(self._path)
            schema = pa.schema([column for column in dataset.schema if not column.name.startswith(EMBEDDING_PREFIX)])
            rows = [whole(batch, schema) for batch in self._waiting]
            self._dataset = lance.write_dataset(
                pa.RecordBatchReader.from_batches(schema, rows), self._path, mode="append", schema=schema
            )
        self._committed += sum(batch.num_rows for batch in self._waiting)
        self._waiting = []

    def rows(self, positions: Positions, columns: Sequence[str]) -> pa.Table:
        """Rows by their place in the dataset, those too that wait; a column that is not there is null."""
        kinds = [(name, self.types.get(name, pa.null())) for name in columns]
        schema = pa.schema(kinds)
        have = [name for name in columns if name in self._dataset.schema.names]
        there = positions < self._committed
        parts = []
        if there.any():
            with reading(Path(self._path).parent):
                table = self._dataset.take(positions[there].tolist(), columns=have)
            parts.append(_table(table, schema))
        if not there.all():
            waiting = pa.concat_tables([_table(pa.Table.from_batches([batch]), schema) for batch in self._waiting])
            parts.append(waiting.take(pa.array(positions[~there] - self._committed)))
        if not parts:
            return schema.empty_table()
        order = np.empty(len(positions), np.int64)
        order[np.concatenate([np.flatnonzero(there), np.flatnonzero(~there)])] = np.arange(len(positions))
        return pa.concat_tables(parts).take(pa.array(order)).combine_chunks()


def whole(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch with all columns of ``schema``, null where it has none."""
    columns = []
    for field in schema:
        if field.name not in batch.schema.names:
            columns.append(pa.nulls(batch.num_rows, field.type))
        else:
            values = batch.column(field.name)
            columns.append(values if values.type == field.type else values.cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _table(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
