"""Tables of old and new names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, Failures, first_line
from biocosmos.files import is_file
from biocosmos.specimens.readers.columns import check_header, plain, shown
from biocosmos.specimens.readers.packed import TABLE_SUFFIXES
from biocosmos.specimens.readers.textfile import open_table

MEANT: dict[str, tuple[str, ...]] = {
    "id": ("id", "specimenid"),
    "old": ("old", "oldname", "oldlabel", "from", "before"),
    "new": ("new", "newname", "newlabel", "to", "after", "acceptedname", "accepted", "label"),
}
"""Names of columns, without case and punctuation; the earlier of a list wins."""


class Row(NamedTuple):
    """One rename: of the taxon ``old``, or of the specimen ``id``; number: in the table, from 1."""

    id: str | None
    old: str | None
    new: str
    number: int | None


def read_renames(given: str | Path | Any, columns: Mapping[str, str] | None, failures: Failures) -> list[Row]:
    """The rows of a CSV, TSV or Parquet file or of a data frame; a row without a new name is told.

    Raises BiocosmosError for a file that is no table, and for one without a column of new names and one of old names or ids.
    """
    header, rows, where = _table(given, failures)
    meant = _meant(header, columns or {}, where)
    if "new" not in meant or not {"id", "old"} & set(meant):
        raise BiocosmosError(
            f"{where} needs the columns 'old' and 'new', or 'id' and 'new': say which, as in --column new=NAME; "
            f"it has: {shown(header)}"
        )
    found = []
    for number, cells in rows:
        id_, old, new = (_text(cells[header.index(meant[name])]) if name in meant else None for name in ("id", "old", "new"))
        if id_ is None and old is None:
            failures.add("neither an id nor an old name", stage="relabel", source=where, row=number)
        elif new is None:
            failures.add("the new name is blank", stage="relabel", source=where, row=number, id=id_ or old)
        else:
            found.append(Row(id_, old, new, number))
    if not found:
        raise BiocosmosError(f"{where} has no row with a new name")
    return found


def _table(given: str | Path | Any, failures: Failures) -> tuple[list[str], list[tuple[int, list[Any]]], str]:
    if not isinstance(given, str | Path):
        try:
            table = pa.table(given)
        except (TypeError, ValueError, pa.ArrowException) as error:
            raise BiocosmosError(f"cannot read the table: {first_line(error)}") from error
        return *_rows(table), "the table"
    path = Path(given)
    if not is_file(path):
        raise BiocosmosError(f"there is no file {path}")
    if path.suffix.lower() in TABLE_SUFFIXES:
        with open_table(path, failures=failures) as text:
            check_header(text.header, str(path))
            return text.header, [(number, list(cells)) for number, cells in text.rows()], str(path)
    try:
        return *_rows(pq.read_table(path)), str(path)
    except (OSError, pa.ArrowException) as error:
        raise BiocosmosError(f"{path} is no table: give CSV, TSV or Parquet ({first_line(error)})") from error


def _rows(table: pa.Table) -> tuple[list[str], list[tuple[int, list[Any]]]]:
    columns = [column.to_pylist() for column in table.columns]
    return table.column_names, [(number, list(cells)) for number, cells in enumerate(zip(*columns), 1)]


def _meant(header: list[str], columns: Mapping[str, str], where: str) -> dict[str, str]:
    """Our name -> theirs."""
    meant = {}
    for theirs, ours in columns.items():
        if theirs not in header:
            raise BiocosmosError(f"{where} has no column {theirs!r}; it has: {shown(header)}")
        if ours not in MEANT:
            raise BiocosmosError(f"{theirs!r} cannot be '{ours}' here: a table of renames has {', '.join(MEANT)}")
        meant[ours] = theirs
    by_plain = {plain(name): name for name in reversed(header)}
    for ours, names in MEANT.items():
        found = next((by_plain[name] for name in names if name in by_plain), None)
        if ours not in meant and found is not None and found not in meant.values():
            meant[ours] = found
    return meant


def _text(value: Any) -> str | None:
    text = "" if value is None else str(value).strip()
    return text or None
