"""Delimited text as it comes: any encoding, separator and quoting, bad rows set apart, the rest streamed."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, Protocol

from biocosmos.errors import BiocosmosError, Failures

CHUNK = 1 << 20
SNIFF_CHARS = 1 << 16
SNIFF_ROWS = 25
SEPARATORS = (",", "\t", ";", "|")
FIELD_LIMIT = 16 << 20  # characters of one field; an unclosed quote must not swallow a file of any size
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def find_encoding(stream: IO[bytes]) -> tuple[str, str | None]:
    """Read a byte stream to its end and say (encoding, warning or None): a byte-order mark, else UTF-8, else latin-1."""
    chunk = stream.read(CHUNK)
    for mark, name in BOMS:
        if chunk.startswith(mark):
            return name, None
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = 1
    while True:
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            line = lines + error.object[: error.start].count(b"\n")
            byte = error.object[error.start]
            return "latin-1", (
                f"not UTF-8 (byte 0x{byte:02x} in line {line}): read as latin-1; "
                "say --encoding if the accented letters come out wrong"
            )
        if not chunk:
            return "utf-8", None
        lines += chunk.count(b"\n")
        chunk = stream.read(CHUNK)


def find_separator(sample: str, name: str = "") -> str:
    """The separator under which most of the first rows have as many fields as the header; a comma when none has two."""
    best, best_score = "\t" if name.lower().endswith((".tsv", ".tab")) else ",", (0, 0)
    lines = sample.splitlines(keepends=True)
    if len(sample) >= SNIFF_CHARS:
        lines = lines[:-1]
    for separator in SEPARATORS:
        try:
            rows = [row for row, _ in zip(csv.reader(lines, delimiter=separator), range(SNIFF_ROWS)) if row]
        except csv.Error:
            continue
        width = len(rows[0]) if rows else 0
        if width < 2:
            continue
        score = (sum(len(row) == width for row in rows) * 1000 // len(rows), width)
        if score > best_score:
            best, best_score = separator, score
    return best


@dataclass
class TextTable:
    """The header and, once, the rows of a delimited text; rows that do not fit the header go to ``failures``."""

    name: str
    header: list[str]
    separator: str
    encoding: str
    failures: Failures
    stream: IO[str]
    reader: Iterator[list[str]] = field(repr=False)
    preamble: int = 0
    """Lines after the header that are no data (EcoTaxa's types): they come with the numbers up to 0."""

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """(row number from 1, fields), as many fields as the header has; blank lines are no rows."""
        width, number = len(self.header), -self.preamble
        while True:
            try:
                fields = next(self.reader)
            except StopIteration:
                return
            except csv.Error as error:
                number += 1
                self._refuse(number, f"cannot be read: {error}; is a quote left open?")
                continue
            if not fields:
                continue
            number += 1
            if len(fields) != width:
                if len(fields) > width and not any(extra.strip() for extra in fields[width:]):
                    fields = fields[:width]
                else:
                    line = getattr(self.reader, "line_num", None)
                    self._refuse(number, f"{len(fields)} fields where the header has {width} (line {line})")
                    continue
            if has_surrogate("".join(fields)):
                self._refuse(number, f"not valid {self.encoding}")
                continue
            yield number, fields

    def _refuse(self, number: int, reason: str) -> None:
        self.failures.add(reason, stage="read", source=self.name, row=number)


def has_surrogate(text: str) -> bool:
    """Whether bytes that the encoding does not know were kept as surrogates."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


class Readable(Protocol):
    """A file that can be opened again and again: a Path or a member of an archive."""

    def open(self, mode: Literal["rb"]) -> IO[bytes]:
        """A byte stream from the start."""


@contextmanager
def open_table(
    file: Readable | str,
    *,
    encoding: str | None = None,
    separator: str | None = None,
    failures: Failures | None = None,
) -> Iterator[TextTable]:
    """Open a delimited text file; encoding and separator are found when not given.

    Raises BiocosmosError for a file that is missing, empty, or in an encoding Python does not know.
    """
    file = Path(file) if isinstance(file, str) else file
    failures = Failures() if failures is None else failures
    with open_text(file, encoding, failures) as stream:
        yield from_stream(stream, str(file), encoding=stream.encoding, separator=separator, failures=failures)


@contextmanager
def open_text(file: Readable, encoding: str | None, failures: Failures) -> Iterator[io.TextIOWrapper]:
    """A text stream with the line ends as they are; bytes that the encoding does not know become surrogates."""
    try:
        if encoding is None:
            with file.open("rb") as raw:
                encoding, warning = find_encoding(raw)
            if warning:
                failures.add(warning, stage="read", source=str(file), severity="warning")
        raw = file.open("rb")
    except OSError as error:
        raise BiocosmosError(f"cannot read {file}: {error.strerror or error}") from error
    with raw:
        try:
            stream = io.TextIOWrapper(raw, encoding=encoding, errors="surrogateescape", newline="")
        except LookupError as error:
            raise BiocosmosError(f"cannot read {file}: unknown encoding {encoding!r}") from error
        yield stream


def from_stream(
    stream: io.TextIOBase | IO[str], name: str, *, encoding: str, separator: str | None, failures: Failures
) -> TextTable:
    """A table from an open text stream (``newline=""``) that can seek to its start."""
    if csv.field_size_limit() < FIELD_LIMIT:
        csv.field_size_limit(FIELD_LIMIT)
    try:
        sample = stream.read(SNIFF_CHARS)
    except UnicodeError as error:
        raise BiocosmosError(f"cannot read {name} as {encoding}: {error}") from error
    if separator is None:
        separator = find_separator(sample, name)
    stream.seek(0)
    reader = csv.reader(stream, delimiter=separator)
    header: list[str] = []
    for header in reader:
        if any(cell.strip() for cell in header):
            break
    else:
        raise BiocosmosError(f"{name} is empty: it needs a header row")
    header = [cell.strip().lstrip("\ufeff") for cell in header]
    return TextTable(name, header, separator, encoding, failures, stream, reader)  # type: ignore[arg-type]
