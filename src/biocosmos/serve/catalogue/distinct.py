"""Rows told apart by several columns of text, batch by batch: a few distinct rows, and for each of many which of them it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Int32 = npt.NDArray[np.int32]


class Distinct:
    """Gathers batches; memory is the codes and the rows that are distinct within a batch."""

    def __init__(self, columns: list[str]) -> None:
        self._columns = columns
        self._codes: list[Int32] = []
        self._tables: list[pa.Table] = []
        self._count = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the columns of a batch; their values are texts, or dictionaries of texts."""
        key = np.zeros(batch.num_rows, np.int64)
        for name in self._columns:
            codes, many = _codes(batch.column(name))
            key = _codes(pa.array(key * (many + 1) + codes + 1))[0].astype(np.int64)
        _, first = np.unique(key, return_index=True)  # codes count up as they first occur: so are these
        rows = pa.array(first)
        columns = {name: pc.cast(batch.column(name), pa.string()).take(rows) for name in self._columns}
        self._tables.append(pa.table(columns))
        self._codes.append((key + self._count).astype(np.int32))
        self._count += len(first)

    def finish(self) -> tuple[pa.Table, Int32]:
        """(rows, of which some occur again in later batches; (n,) int32 which of them each row is)."""
        empty = pa.table({name: pa.array([], pa.string()) for name in self._columns})
        codes = np.concatenate([*self._codes, np.empty(0, np.int32)])
        if not self._columns:
            return pa.table({}), codes
        return pa.concat_tables([empty, *self._tables]).combine_chunks(), codes


def _codes(values: Any) -> tuple[npt.NDArray[Any], int]:
    """Codes of an Arrow array, -1 for null, counted up in the order in which they first occur; and how many there are."""
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    return pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False), len(encoded.dictionary)
