"""Delimited text as it comes: any encoding, separator and quoting, bad rows set apart, the rest streamed."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Literal, Protocol

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.readers.encoding import LOST, find_encoding, has_surrogate, known_encoding
from biocosmos.specimens.readers.lines import Splitter
from biocosmos.specimens.readers.packed import unpacked

SNIFF_CHARS = 1 << 16
SNIFF_ROWS = 25
SNIFF_BYTES = 4096
SEPARATORS = (",", "\t", ";", "|")
SEPARATOR_LINE = re.compile(r'"?sep=(?:"([^"\r\n])"|([^"\r\n]))"?\s*?[,;\t|]*', re.IGNORECASE)
"""The first line by which spreadsheets say the separator: sep=; (the sign itself is part of no row)."""


def find_separator(sample: str, name: str = "") -> str:
    """The separator under which most of the first rows have as many fields as the header; a comma when none has two."""
    best, best_score = "\t" if ".tsv" in name.lower() or ".tab" in name.lower() else ",", (0, 0)
    for separator in SEPARATORS:
        splitter = Splitter(io.StringIO(sample, newline=""), separator)
        records = islice(splitter, SNIFF_ROWS + 1)
        width = splitter.width = len(next((record.fields for record in records if record.fields), ()))
        if width < 2:
            continue
        rows = [record.fields for record in records if record.fields or record.problem]
        if len(sample) >= SNIFF_CHARS and len(rows) > 1:
            rows = rows[:-1]  # cut off
        score = ((1 + sum(len(row) == width for row in rows)) * 1000 // (1 + len(rows)), width)
        if score > best_score:
            best, best_score = separator, score
    return best


def separator_of(sample: str, name: str = "") -> tuple[str, bool]:
    """(the separator of a text by its first characters, whether its first line only says so and is no row)."""
    said = SEPARATOR_LINE.fullmatch(re.split(r"[\r\n]", sample.lstrip("\ufeff"), maxsplit=1)[0])
    return (said[1] or said[2], True) if said is not None else (find_separator(sample, name), False)


@dataclass
class TextTable:
    """The header and, once, the rows of a delimited text; rows that do not fit the header go to ``failures``.

    Nameless columns at the end of the header, as spreadsheets write them, are no columns.
    """

    name: str
    header: list[str]
    separator: str
    encoding: str
    failures: Failures
    stream: IO[str]
    splitter: Splitter = field(repr=False)
    preamble: int = 0
    """Lines after the header that are no data (EcoTaxa's types): they come with the numbers up to 0."""

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """(row number from 1, fields), as many fields as the header has; lines without any value are no rows."""
        width, number = len(self.header), -self.preamble
        for line, fields, problem in self._records():
            if problem is None and not any(cell and not cell.isspace() for cell in fields):
                continue
            number += 1
            if problem is not None:
                self._refuse(number, problem)
                continue
            if len(fields) != width:
                if len(fields) > width and not any(extra.strip() for extra in fields[width:]):
                    fields = fields[:width]
                else:
                    self._refuse(number, f"{len(fields)} fields where the header has {width} (line {line})")
                    continue
            text = "".join(fields)
            if has_surrogate(text):
                self._refuse(number, f"not valid {self.encoding.removesuffix('-sig')} (line {line})")
            elif "\0" in text:
                self._refuse(number, f"a NUL character, which no text has (line {line})")
            else:
                yield number, fields
        self.splitter.tell(self.failures, self.name)

    def _records(self) -> Iterator[tuple[int, list[str], str | None]]:
        try:
            yield from self.splitter
        except UnicodeError as error:
            raise BiocosmosError(f"cannot read {self.name} as {self.encoding}: {error}") from error

    def _refuse(self, number: int, reason: str) -> None:
        self.failures.add(reason, stage="read", source=self.name, row=number)


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
    """Open a delimited text file, packed with gzip, bzip2 or xz or not; encoding and separator are found when not given.

    Raises BiocosmosError for a file that is missing, empty, no text, or in an encoding Python does not know.
    """
    file = Path(file) if isinstance(file, str) else file
    failures = Failures() if failures is None else failures
    with open_text(file, encoding, failures) as stream:
        yield from_stream(stream, str(file), encoding=stream.encoding, separator=separator, failures=failures)


@contextmanager
def open_text(file: Readable, encoding: str | None, failures: Failures) -> Iterator[io.TextIOWrapper]:
    """A text stream with the line ends as they are; bytes that the encoding does not know become surrogates."""
    file = unpacked(file) if isinstance(file, Path) else file
    try:
        with file.open("rb") as raw:
            if encoding is None:
                encoding, warning = find_encoding(raw)
                if warning:
                    failures.add(warning, stage="read", source=str(file), severity="warning")
            else:
                encoding = known_encoding(encoding, raw.read(SNIFF_BYTES))
        raw = file.open("rb")
    except BiocosmosError as error:
        raise BiocosmosError(f"cannot read {file}: {error}" if str(file) not in str(error) else str(error)) from error
    except OSError as error:
        raise BiocosmosError(f"cannot read {file}: {error.strerror or error}") from error
    with raw:
        yield io.TextIOWrapper(raw, encoding=encoding, errors=LOST, newline="")


def from_stream(stream: IO[str], name: str, *, encoding: str, separator: str | None, failures: Failures) -> TextTable:
    """A table from an open text stream (``newline=""``) that can seek to its start."""
    try:
        sample = stream.read(SNIFF_CHARS)
    except UnicodeError as error:
        raise BiocosmosError(f"cannot read {name} as {encoding}: {error}") from error
    found, said = separator_of(sample, name)
    separator = found if separator is None else separator
    if len(separator) != 1 or separator in '"\r\n':
        raise BiocosmosError(f"{separator!r} separates no fields: say one character, such as --separator ';'")
    stream.seek(0)
    splitter = Splitter(stream, separator)
    header = _header(splitter, name, skip_first=said)
    splitter.width = len(header)
    while len(header) > 1 and not header[-1]:
        header.pop()
    return TextTable(name, header, separator, encoding, failures, stream, splitter)


def _header(splitter: Splitter, name: str, *, skip_first: bool) -> list[str]:
    for record in splitter:
        if skip_first:
            skip_first = False
        elif record.problem is not None:
            raise BiocosmosError(f"{name} has no header that can be read: {record.problem}")
        elif any(cell.strip() for cell in record.fields):
            header = [cell.strip().lstrip("\ufeff") for cell in record.fields]
            if has_surrogate("".join(header)) or "\0" in "".join(header):
                raise BiocosmosError(f"{name}: its header, line {record.line}, is no text in this encoding: say --encoding")
            return header
    raise BiocosmosError(f"{name} is empty: it needs a header row")
