"""The tables of a checklist, wherever they lie: a file, plain or gzipped, a member of a zip, a file of a folder."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from biocosmos.errors import BiocosmosError, Failures, first_line
from biocosmos.files import is_file, is_folder

SUFFIXES = (".tsv", ".csv", ".txt", ".tab")
SEPARATORS = ("\t", ",", ";", "|")
NULLS = ("", "\\N")
HEAD_BYTES = 1 << 16
ZIP_LIMIT = 64 << 30  # unpacked bytes of one table: the largest checklist of 2026 has four
UNREADABLE = (OSError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class TableFile:
    """One table: the file, or the archive and the member; it can be opened again and again."""

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        return f"{self.path}/{self.member}" if self.member else str(self.path)

    @property
    def name(self) -> str:
        """The file name without folders and .gz, in lower case."""
        return (self.member or self.path.name).rsplit("/", 1)[-1].lower().removesuffix(".gz")

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """A byte stream from the start. Raises BiocosmosError when the file cannot be read."""
        try:
            if self.member is not None:
                with zipfile.ZipFile(self.path) as archive:
                    if archive.getinfo(self.member).file_size > ZIP_LIMIT:
                        raise BiocosmosError(f"{self} has more than {ZIP_LIMIT >> 30} GB unpacked: it will not be read")
                    with archive.open(self.member) as stream:
                        yield stream
            elif self.path.suffix.lower() == ".gz":
                with gzip.open(self.path) as stream:
                    yield cast(IO[bytes], stream)
            else:
                with self.path.open("rb") as stream:
                    yield stream
        except UNREADABLE as error:
            raise BiocosmosError(f"cannot read {self}: {first_line(error)}") from error


def tables_in(path: Path) -> list[TableFile]:
    """The tables of a file, a zip or a folder (its own files, not those of folders inside). Raises BiocosmosError for none."""
    if is_folder(path):
        found = [TableFile(p) for p in sorted(path.iterdir()) if is_file(p) and _is_table(p.name)]
    elif path.suffix.lower() == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                names = [info.filename for info in archive.infolist() if not info.is_dir()]
        except UNREADABLE as error:
            raise BiocosmosError(f"cannot read {path} as a zip: {first_line(error)}") from error
        found = [TableFile(path, name) for name in sorted(names) if _is_table(name) and not name.startswith("__MACOSX")]
    elif is_file(path):
        return [TableFile(path)]
    else:
        raise BiocosmosError(f"there is no file or folder {path}")
    if not found:
        raise BiocosmosError(f"{path} holds no table ({', '.join(SUFFIXES)})")
    return found


def _is_table(name: str) -> bool:
    base = name.rsplit("/", 1)[-1].lower()
    return base.removesuffix(".gz").endswith(SUFFIXES) and not base.startswith(".")


@dataclass(frozen=True)
class Layout:
    """How a table is written: its header, separator, encoding, and whether quotes mean anything in it."""

    header: tuple[str, ...]
    separator: str
    encoding: str
    quoted: bool
    data_from: int = 1
    """The line, from 0, on which the rows begin."""


def layout_of(file: TableFile) -> Layout:
    """Find out how a table is written from its first lines. Raises BiocosmosError for an empty file."""
    with file.open() as stream:
        head = stream.read(HEAD_BYTES)
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    lines = head.decode(encoding, errors="replace").removeprefix("\ufeff").splitlines()
    at = next((i for i, line in enumerate(lines) if line.strip() and not line.lower().startswith("sep=")), None)
    if at is None:
        raise BiocosmosError(f"{file} is empty: it needs a header row")
    line = lines[at]
    separator = max(SEPARATORS, key=line.count)
    # ColDP and Darwin Core write tab-separated files without quoting; one that quotes its header quotes its cells.
    quoted = separator != "\t" or line.startswith('"')
    cells = _cells(line, separator) if quoted else line.split(separator)
    return Layout(tuple(cell.strip() for cell in cells), separator, encoding, quoted, at + 1)


def _cells(line: str, separator: str) -> list[str]:
    import csv

    return next(csv.reader([line], delimiter=separator))


def read_columns(file: TableFile, layout: Layout, columns: Sequence[str], failures: Failures) -> pa.Table:
    """Some columns of a table as text, in the order of ``columns``; blank cells and \\N are null.

    Rows with another number of fields than the header are left out, and told. Bytes that are not UTF-8 are read as
    Windows-1252, which is told. Raises BiocosmosError when the table cannot be read.
    """
    bad = Failures()
    try:
        table = _read(file, layout, columns, bad)
        failures.extend(bad)
        return table
    except pa.ArrowInvalid as error:
        if layout.encoding != "utf-8" or "UTF8" not in str(error).upper().replace("-", ""):
            raise BiocosmosError(f"cannot read {file}: {first_line(error)}") from error
    failures.add("not UTF-8: read as Windows-1252", stage="read", source=str(file), severity="warning")
    try:
        return _read(file, replace(layout, encoding="cp1252"), columns, failures)
    except (pa.ArrowInvalid, UnicodeError) as error:
        raise BiocosmosError(f"cannot read {file}: {first_line(error)}") from error


def _read(file: TableFile, layout: Layout, columns: Sequence[str], failures: Failures) -> pa.Table:
    def skip(row: pv.InvalidRow) -> str:
        reason = f"{row.actual_columns} fields where the header has {row.expected_columns}: left out"
        text = row.text if len(row.text) < 80 else f"{row.text[:80]}..."
        failures.add(reason, stage="read", source=str(file), row=row.number, id=text)
        return "skip"

    names = _distinct(layout.header)
    options = {
        # one thread, so that Arrow can say the row of a bad line
        "read_options": pv.ReadOptions(
            column_names=names, skip_rows=layout.data_from, encoding=layout.encoding, block_size=1 << 24, use_threads=False
        ),
        "parse_options": pv.ParseOptions(
            delimiter=layout.separator,
            quote_char='"' if layout.quoted else False,
            newlines_in_values=layout.quoted,
            invalid_row_handler=skip,
        ),
        "convert_options": pv.ConvertOptions(
            include_columns=list(columns),
            column_types=dict.fromkeys(columns, pa.string()),
            null_values=list(NULLS),
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    }
    schema = pa.schema([(name, pa.string()) for name in columns])
    with file.open() as stream:
        try:
            batches = list(pv.open_csv(stream, **options))
        except pa.ArrowInvalid as error:
            if "empty" in str(error).lower():  # a header and nothing else
                return schema.empty_table()
            raise
    table = pa.Table.from_batches(batches, schema=schema)
    for name in columns if layout.quoted else ():
        broken = pc.indices_nonzero(pc.fill_null(pc.match_substring_regex(table[name], "[\\r\\n]"), False))
        if len(broken):
            row = broken[0].as_py() + 1
            raise BiocosmosError(f"{file}, row {row}: {name} holds a line break: is a quote left open? Close it, or take it out")
    return table


def _distinct(header: Iterable[str]) -> list[str]:
    """Column names, the second and later of a name marked so that the first is found."""
    seen: dict[str, int] = {}
    result = []
    for name in header:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return result
