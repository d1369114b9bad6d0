"""Tables that people edit beside their images: delimited text, with a header."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from biocosmos.errors import BiocosmosError
from biocosmos.taxonomy.name_lists import text_of

MOST_CELL = 1 << 24
SEPARATORS = (",", ";", "\t", "|")


def rows_of(path: Path, content: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header in lower case, and (line, cells) of the rows. Raises BiocosmosError for an empty or a broken table."""
    text, _ = text_of(content)
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
