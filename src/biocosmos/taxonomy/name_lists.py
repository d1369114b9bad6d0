"""Lists of names as people keep them: one a line, or a table with commas, semicolons, tabs or bars, with a header or not."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.taxonomy.ranks import KNOWN_RANKS

# Header names of a list's column of names, the first wins.
NAME_COLUMNS = (
    "taxon",
    "name",
    "scientificname",
    "scientific_name",
    "scientific name",
    "label",
    "species",
    "taxonname",
    "taxon_name",
)
SEPARATORS = ("\t", ";", "|", ",")
MOST_BYTES = 256 << 20
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
AUTHOR_AND_YEAR = re.compile(r",\s*[\[(]?\d{4}[\])]?\s*$")


@dataclass
class NameList:
    """header: in lower case, or None where the first line is a name already; rows: (line after the header from 1, cells)."""

    header: list[str] | None
    rows: list[tuple[int, list[str]]]

    def column(self, *names: str) -> int | None:
        """The place of the first of ``names`` that the header has."""
        return next((self.header.index(name) for name in names if name in self.header), None) if self.header else None


def read_name_list(path: str | Path, ranks: tuple[str, ...] = (), failures: Failures | None = None) -> NameList:
    """Read a list; blank lines are left out. ranks: names that make a first line a header, besides NAME_COLUMNS and
    the known ranks. failures: is told when the text is not UTF-8.

    Raises BiocosmosError for a file that cannot be read, is no text, or is empty.
    """
    path = Path(path)
    separators = list(SEPARATORS)
    lines = [line for line in _text(path, failures).splitlines() if line.strip()]
    if lines and (marked := re.fullmatch(r"(?i)\s*sep=(.)\s*", lines[0])):
        lines, separators = lines[1:], [str(marked.group(1))]
    if not lines:
        raise BiocosmosError(f"the taxa list {path} is empty: write one name a line")
    known = {*NAME_COLUMNS, *KNOWN_RANKS, *(rank.lower() for rank in ranks)}
    # the separator that makes a header of the first line, else one that every line has
    cells = {separator: [cell.lower() for cell in _split(lines[0], separator)] for separator in separators}
    header = next((found for found in cells.values() if known & set(found) and len(found) > 1), None)
    separator = next((s for s in separators if cells[s] is header), None)
    if header is None and lines[0].strip().strip('"').lower() in known:
        header, separator = [lines[0].strip().strip('"').lower()], None
    if separator is None and header is None:
        separator = next((s for s in separators if all(s in line for line in lines) and not _are_authors(lines, s)), None)
    body = lines[1:] if header else lines
    split = [[line.strip().strip('"')] if separator is None else _split(line, separator) for line in body]
    return NameList(header, list(enumerate((cells for cells in split if any(cells)), start=1)))


def _are_authors(lines: list[str], separator: str) -> bool:
    return separator == "," and any(AUTHOR_AND_YEAR.search(line) for line in lines)


def _split(line: str, separator: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True))]
    except csv.Error as error:
        raise BiocosmosError(f"cannot read the line {line[:60]!r} of a list: {error}") from error


def content_of(path: Path, called: str = "") -> bytes:
    """Of a text file that people wrote. Raises BiocosmosError for one that cannot be read, is too large, or no text."""
    named = f"{called} {path}".strip()
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BiocosmosError(f"{named} has more than {MOST_BYTES >> 20} MB: split it")
        content = path.read_bytes()
    except OSError as error:
        raise BiocosmosError(f"cannot read {named}: {error.strerror or error}") from error
    if b"\0" in content[:4096] and not content.startswith(UTF_16):
        raise BiocosmosError(f"cannot read {named}: it is no text")
    return content


def text_of(content: bytes) -> tuple[str, bool]:
    """The text, and whether it was read as Windows-1252, as it is no UTF."""
    if content.startswith(UTF_16):
        return content.decode("utf-16", errors="replace").lstrip("\ufeff"), False
    try:
        return content.decode("utf-8-sig"), False
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace"), True


def _text(path: Path, failures: Failures | None) -> str:
    text, windows = text_of(content_of(path, "the taxa list"))
    if windows and failures is not None:
        failures.add("not UTF-8: read as Windows-1252", stage="taxa", source=path, severity="warning")
    return text
