"""Where specimens are stored."""

from __future__ import annotations

from collections.abc import Sequence

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Positions = npt.NDArray[np.int64]


def as_ids(ids: Sequence[str] | pa.Array) -> pa.Array:
    """Ids as an array of strings."""
    return ids if isinstance(ids, pa.Array) else pa.array([str(id_) for id_ in ids], pa.string())


def positions_of(dataset: lance.LanceDataset, ids: Sequence[str] | pa.Array) -> Positions:
    """(n,) int64 place of each id in ``dataset``, -1 where it has none, by one pass over the ids that keeps only the answer."""
    asked = as_ids(ids)
    distinct = pc.unique(asked)
    places, position = np.full(len(distinct), -1, np.int64), 0
    for batch in dataset.to_batches(columns=["id"]):
        column = batch.column("id").cast(pa.string())
        which = pc.index_in(column, value_set=distinct).fill_null(-1).to_numpy(zero_copy_only=False)
        found = np.flatnonzero(which >= 0)
        places[which[found]] = found + position
        position += len(column)
    if not len(asked):
        return np.empty(0, np.int64)
    found_at: Positions = places[pc.index_in(asked, value_set=distinct).to_numpy(zero_copy_only=False)]
    return found_at
