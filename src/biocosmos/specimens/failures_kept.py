"""The failures table of a collection on disk: what every command refused or converted, and of each source its last reading.

A hidden column says which source the rows of an ingest are of. To read a source again, after a kill or when it was mended,
replaces its rows: they are those of one reading, however often it was begun.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, Failures, first_line
from biocosmos.tables import replacing

FILE = "failures.parquet"
_ORIGIN = "origin"
_SCHEMA = Failures().table().schema


def read_failures(folder: Path) -> pa.Table:
    """Every row, oldest first, with the columns of :class:`biocosmos.errors.Failure`. Raises BiocosmosError if damaged."""
    return _read(folder).select(_SCHEMA.names)


def record(folder: Path, failures: Failures) -> None:
    """Append rows. With the collection's lock held."""
    if len(failures):
        _write(folder, [_read(folder), _of(failures.table(), None)])


def record_reading(folder: Path, failures: Failures, origin: str | None, *, whole: bool) -> None:
    """Record what failed while a source was read. With the collection's lock held.

    Args:
        origin: names the source; None for one that has no name.
        whole: it was read to its end: its earlier rows go. Else, and without an origin, only rows are added that were not there.
    """
    before, new = _read(folder), _of(failures.table(), origin)
    kept = before
    if origin is None or not whole:
        there = Counter(map(_row, before.filter(_is(before, origin)).to_pylist()))
        keep = []
        for place, row in enumerate(new.to_pylist()):
            there[_row(row)] -= 1
            if there[_row(row)] < 0:
                keep.append(place)
        new = new.take(pa.array(keep, pa.int64()))
    else:
        kept = before.filter(pc.invert(_is(before, origin)))
    if len(new) or len(kept) != len(before):
        _write(folder, [kept, new])


def _row(row: dict[str, object]) -> tuple[object, ...]:
    return tuple(row.values())


def _is(table: pa.Table, origin: str | None) -> pa.ChunkedArray:
    column = table[_ORIGIN]
    return column.is_null() if origin is None else pc.equal(column, origin).fill_null(False)


def _of(table: pa.Table, origin: str | None) -> pa.Table:
    return table.append_column(_ORIGIN, pa.array([origin] * len(table), pa.string()))


def _read(folder: Path) -> pa.Table:
    path = folder / FILE
    if not path.exists():
        return _of(_SCHEMA.empty_table(), None)
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        if _ORIGIN not in table.column_names:  # of an older version
            table = _of(table, None)
        return table.select([*_SCHEMA.names, _ORIGIN]).cast(_SCHEMA.append(pa.field(_ORIGIN, pa.string())))
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise BiocosmosError(
            f"this collection is damaged: {path} cannot be read ({first_line(error)}): restore it, or remove it "
            "and be told no more of what failed so far"
        ) from error


def _write(folder: Path, tables: list[pa.Table]) -> None:
    if not folder.is_dir():
        raise BiocosmosError(f"{folder} is not there any more: was it moved or removed?")
    with replacing(folder / FILE) as temporary:
        pq.write_table(pa.concat_tables(tables), temporary, compression="zstd", write_page_checksum=True)
