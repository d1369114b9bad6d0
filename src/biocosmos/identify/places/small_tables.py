"""Tables that people edit beside their images: delimited text, with a header."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from biocosmos.errors import BiocosmosError

MOST_BYTES = 256 << 20
MOST_CELL = 1 << 24
SEPARATORS = (",", ";", "\t", "|")


def content_of(path: Path) -> bytes:
    """Of a text file. Raises BiocosmosError for one that cannot be read, is too large, or no text."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BiocosmosError(f"{path} has more than {MOST_BYTES >> 20} MB: split it")
        content = path.read_bytes()
    except OSError as error:
        raise BiocosmosError(f"cannot read {path}: {error.strerror or error}") from None
    if b"\0" in content[:4096] and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise BiocosmosError(f"cannot read {path}: it is no text")
    return content


def rows_of(path: Path, content: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header in lower case, and (line, cells) of the rows. Raises BiocosmosError for an empty or a broken table."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = content.decode("utf-16", errors="replace")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("cp1252", errors="replace")
    first = text.partition("\n")[0]
    separator = max(SEPARATORS, key=first.count)
    former = csv.field_size_limit(MOST_CELL)  # a coastline is a long cell
    try:
        reader = csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=separator, skipinitialspace=True)
        found = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise BiocosmosError(f"cannot read {path}: {error}") from None
    finally:
        csv.field_size_limit(former)
    if not found:
        raise BiocosmosError(f"{path} is empty: write a header and a row below it")
    return [cell.lower() for cell in found[0][1]], found[1:]
