"""From columns of names to integer codes: clean the names once per distinct value, then work on int32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError
from biocosmos.taxonomy.ranks import KNOWN_RANKS

RANKS_KEY = b"biocosmos.ranks"
RANKS_SEPARATOR = "\n"
NULL = -1  # code of a null rank
ABSENT = -2  # code of a name that the vocabulary does not hold

Int32 = npt.NDArray[np.int32]


def as_table(table: Any, columns: Sequence[str] | None = None) -> pa.Table:
    """A pa.Table of ``table``: pa.Table, RecordBatch, pandas DataFrame or mapping of columns; NaN in pandas is null.

    ``columns`` limits a pandas frame or a mapping to the columns of interest (others may hold anything).
    """
    if isinstance(table, pa.Table):
        return table
    if isinstance(table, pa.RecordBatch):
        return pa.Table.from_batches([table])
    try:
        if isinstance(table, Mapping):
            wanted = [name for name in table if columns is None or name in columns]
            arrays = [_as_array(table[name]) for name in wanted]
            return pa.Table.from_arrays(arrays, names=[str(name) for name in wanted])
        if hasattr(table, "columns") and hasattr(table, "iloc"):
            wanted = [name for name in table.columns if columns is None or name in columns]
            return pa.Table.from_pandas(table[wanted], preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise BiocosmosError(f"cannot read the rank columns: {' '.join(str(error).split())}; every name must be text") from error
    raise BiocosmosError(
        f"cannot read taxa from a {type(table).__name__}: give a pyarrow Table, a pandas DataFrame or a dict of columns"
    )


def choose_ranks(table: pa.Table, ranks: Sequence[str] | None) -> tuple[str, ...]:
    """The ranks asked for, else those the table's metadata records, else its columns among KNOWN_RANKS in their order."""
    names = table.column_names
    if ranks is not None:
        if isinstance(ranks, str):
            raise BiocosmosError(f"ranks must be a list of column names, not the text {ranks!r}")
        chosen = tuple(ranks)
        if missing := [rank for rank in chosen if rank not in names]:
            raise BiocosmosError(f"no rank column {missing[0]!r} in the table: its columns are {', '.join(names) or 'none'}")
    else:
        recorded = (table.schema.metadata or {}).get(RANKS_KEY, b"").decode()
        known = recorded.split(RANKS_SEPARATOR) if recorded else KNOWN_RANKS
        chosen = tuple(rank for rank in known if rank in names)
        if not chosen:
            raise BiocosmosError(
                f"no rank column in the table: its columns are {', '.join(names) or 'none'}; "
                "name them kingdom, phylum, ... or say which they are (ranks=...)"
            )
    if len(set(chosen)) < len(chosen):
        raise BiocosmosError(f"a rank is given twice in {', '.join(chosen)}: name each once, coarsest first")
    for rank in chosen:
        if names.count(rank) > 1:
            raise BiocosmosError(f"the table has two columns named {rank!r}: rename one")
    return chosen


def clean(names: pa.Array) -> pa.Array:
    """Names with Unicode composed (NFC), outer white space cut, inner runs of white space one blank; blank becomes null."""
    names = pc.utf8_normalize(names, form="NFC")
    names = pc.binary_join(pc.utf8_split_whitespace(pc.utf8_trim_whitespace(names)), " ")
    return pc.if_else(pc.equal(pc.binary_length(names), 0), pa.scalar(None, names.type), names)


def encode(column: pa.ChunkedArray, where: str) -> tuple[pa.Array, Int32]:
    """Distinct clean names of a column and, per row, the place of its name among them (int32, -1 null)."""
    if not pa.types.is_dictionary(column.type):
        column = _as_text(column, where).dictionary_encode()
    merged = column.unify_dictionaries().combine_chunks()
    if isinstance(merged, pa.ChunkedArray):  # no chunk at all, or too long for one
        merged = pa.concat_arrays(merged.chunks) if merged.num_chunks else pa.array([], column.type)
    names = clean(_as_text(merged.dictionary, where))
    indices = pc.cast(pc.fill_null(merged.indices, NULL), pa.int32()).to_numpy(zero_copy_only=False)
    distinct = pc.drop_null(pc.unique(names))
    places = codes_in(names, distinct)
    return distinct, np.append(places, np.int32(NULL))[indices]  # index -1 (null) reads the appended NULL


def codes_in(names: pa.Array, vocabulary: pa.Array) -> Int32:
    """Place of each name in the vocabulary: int32, -1 for null, -2 for a name it does not hold."""
    found = pc.fill_null(pc.index_in(names, value_set=vocabulary), ABSENT).to_numpy(zero_copy_only=False)
    nulls = pc.is_null(names).to_numpy(zero_copy_only=False)
    return np.where(nulls, np.int32(NULL), found.astype(np.int32, copy=False))


def distinct_rows(codes: Int32) -> Int32:
    """The distinct rows of ``codes`` (rows, ranks), in no order."""
    columns = pa.table({str(i): codes[:, i] for i in range(codes.shape[1])})
    kept = columns.group_by(columns.column_names).aggregate([])
    return np.stack([kept.column(str(i)).to_numpy() for i in range(codes.shape[1])], axis=1).astype(np.int32, copy=False)


def _as_array(values: Any) -> pa.ChunkedArray:
    if isinstance(values, pa.ChunkedArray):
        return values
    if isinstance(values, pa.Array):
        return pa.chunked_array([values])
    return pa.chunked_array([pa.array(values, from_pandas=True)])


def _as_text(column: Any, where: str) -> Any:
    """The column as pa.string(). Raises BiocosmosError for lists, structs and text that is not UTF-8."""
    try:
        return pc.cast(column, pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise BiocosmosError(f"rank column {where!r} holds {column.type}, not names: convert it to UTF-8 text") from error
