"""Excel workbooks (openpyxl): a single sheet with a header, or the sheets of BOLD's spreadsheet, joined by sample id.

BOLD's spreadsheet of specimens has a sheet for the voucher, one for the taxonomy, one for details, one for the collection; the
header stands in the third row of each, under titles. The rows are written as a CSV into memory (into a file beyond 64 MB), which
is read as every CSV is.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from itertools import islice
from pathlib import Path
from typing import IO, Any

from biocosmos.errors import BiocosmosError, Failures, first_line
from biocosmos.specimens.readers.columns import plain, shown
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.records import Source

SUFFIXES = (".xlsx", ".xlsm")
KEYS = ("processid", "sampleid")
"""Columns by which the sheets of BOLD's spreadsheet are joined, the better first."""
HEADER_WITHIN = 10
"""Rows in which a header is looked for."""
IN_MEMORY = 64 << 20
Row = tuple[Any, ...]


def read(path: Path, options: Options) -> Source:
    """The records of a workbook. Raises BiocosmosError where openpyxl is missing and for sheets that are no one table."""
    from biocosmos.specimens.readers.delimited import read_text

    source = read_text(path, options)
    return Source(source.name, "xlsx", source.batches, source.ranks, source.failures)


def is_workbook(path: Path) -> bool:
    """Whether a file is a workbook by its name."""
    return path.suffix.lower() in SUFFIXES


class Workbook:
    """A workbook that opens as the bytes of a CSV, again and again."""

    def __init__(self, path: Path, failures: Failures) -> None:
        self.path = path
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 (it lives as long as this)
        text = io.TextIOWrapper(self._file, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(text)
        for row in _rows(path, failures):
            writer.writerow(row)
        text.flush()
        text.detach()

    def open(self, mode: str = "rb") -> IO[bytes]:
        """The CSV from its start."""
        self._file.seek(0)
        return io.BytesIO(self._file.read())

    def __str__(self) -> str:
        return str(self.path)

    def close(self) -> None:
        """Let the CSV go."""
        self._file.close()


def _rows(path: Path, failures: Failures) -> Iterator[list[str]]:
    """The header and the rows of the one table that a workbook is."""
    try:
        import openpyxl
    except ImportError:
        raise BiocosmosError("workbooks are read with openpyxl: pip install 'biocosmos[dna]', or save the sheet as CSV") from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # a damaged workbook makes it raise anything
        raise BiocosmosError(f"cannot read {path} as a workbook: {first_line(error)}") from error
    try:
        tables = [table for sheet in book.worksheets if (table := _Sheet.of(sheet)) is not None]
        if not tables:
            raise BiocosmosError(f"{path} has no sheet with a header in its first {HEADER_WITHIN} rows")
        if len(tables) == 1:
            yield tables[0].header
            yield from ([_text(cell) for cell in row] for row in tables[0].rows())
            return
        yield from _joined(tables, path, failures)
    finally:
        book.close()


class _Sheet:
    """One sheet: its header and where its rows begin."""

    def __init__(self, sheet: Any, header: list[str], first: int) -> None:
        self.sheet, self.header, self._first = sheet, header, first
        self.title = str(sheet.title)

    @classmethod
    def of(cls, sheet: Any) -> _Sheet | None:
        """The header is the row that has a key of BOLD's in its first ten, else the first row with the most cells of text."""
        head = [list(row) for row in islice(sheet.iter_rows(values_only=True), HEADER_WITHIN)]
        texts = [[_text(cell).strip() for cell in row] for row in head]
        keyed = [i for i, row in enumerate(texts) if set(map(plain, row)) & set(KEYS)]
        widths = [sum(isinstance(cell, str) and bool(cell.strip()) for cell in row) for row in head]
        if not keyed and (not widths or max(widths) == 0):
            return None
        at = keyed[0] if keyed else widths.index(max(widths))
        header = texts[at]
        while header and not header[-1]:
            header.pop()
        return cls(sheet, header, at + 2)

    def key(self) -> str | None:
        """Its best column to join by."""
        names = {plain(name): name for name in self.header}
        return next((names[key] for key in KEYS if key in names), None)

    def rows(self) -> Iterator[Row]:
        """The rows under the header, as many cells as it has; those without any are left out."""
        width = len(self.header)
        for row in self.sheet.iter_rows(min_row=self._first, values_only=True):
            cells = (*row[:width], *(None,) * (width - len(row)))
            if any(cell is not None and str(cell).strip() for cell in cells):
                yield cells


def _joined(tables: Sequence[_Sheet], path: Path, failures: Failures) -> Iterator[list[str]]:
    """The sheets that have an id of BOLD's as one table, the rows of the first in their order."""
    shared = next((key for key in KEYS if sum(key in map(plain, table.header) for table in tables) > 1), None)
    parts = [table for table in tables if shared is not None and shared in map(plain, table.header)]
    others = [table.title for table in tables if table not in parts]
    if shared is None:
        raise BiocosmosError(
            f"{path} has {len(tables)} sheets ({shown(table.title for table in tables)}) without a process or sample id to join "
            "them by: save the one that is meant as CSV"
        )
    if others:
        reason = f"sheets without a {shared} are left out: {shown(others)}"
        failures.add(reason, stage="read", source=path, severity="warning")
    header: list[str] = []
    rows: dict[str, dict[str, str]] = {}
    for part in parts:
        at = list(map(plain, part.header)).index(shared)
        header += [name for name in part.header if name and name not in header]
        twice = 0
        for cells in part.rows():
            key = _text(cells[at]).strip()
            known = rows.setdefault(key, {})
            told = {name: text for name, cell in zip(part.header, cells) if name and (text := _text(cell).strip())}
            twice += any(known.get(name, text) != text for name, text in told.items())
            rows[key] = told | known
        if twice:
            reason = f"{twice:,} rows of the sheet {part.title!r} say something else than an earlier one: the earlier is kept"
            failures.add(reason, stage="read", source=path, severity="warning")
    yield header
    yield from ([row.get(name, "") for name in header] for row in rows.values())


def _text(cell: Any) -> str:
    """A cell as it is shown: whole numbers without a point, days in ISO 8601."""
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == time() else cell.isoformat()
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


__all__ = ["Workbook", "is_workbook", "read"]
