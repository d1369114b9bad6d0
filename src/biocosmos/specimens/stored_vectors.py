"""How an encoder's column is stored: a fixed number of float32 a specimen, or the k-mers of its barcode as they are counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.barcodes.kmers import KmerCounts

STORED, KMERS = "stored", "k-mers"
"""Among the facts of a column, and their value where it holds k-mers; other columns do not say."""


def holds_kmers(facts: Mapping[str, Any]) -> bool:
    """Whether a column with these facts holds k-mers."""
    return facts.get(STORED) == KMERS


def stored_type(facts: Mapping[str, Any]) -> pa.DataType:
    """The Arrow type of a column with these facts."""
    return pa.list_(pa.uint16()) if holds_kmers(facts) else pa.list_(pa.float32(), int(facts["dim"]))


def read_stored(column: pa.Array | pa.ChunkedArray, facts: Mapping[str, Any]) -> npt.NDArray[np.float32] | KmerCounts:
    """The n specimens of a piece of a column that have something there: (n, dim) float32 rows, or counts of k-mers."""
    column = column.drop_null()
    if holds_kmers(facts):
        return KmerCounts.from_arrow(column, int(facts["preprocessing"]["k"]))
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    rows: npt.NDArray[np.float32] = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, int(facts["dim"]))
    return rows


def read_dense(column: pa.Array | pa.ChunkedArray, facts: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """As :func:`read_stored`, as (n, dim) float32 in every case."""
    found = read_stored(column, facts)
    return found.dense() if isinstance(found, KmerCounts) else found
