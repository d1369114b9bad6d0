"""Which of the tables of insect cameras a file is, by its first row."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.readers.textfile import open_table

FORMATS = {"ami": "ami", "insect-detect": "insect_detect", "insect-tracking": "insect_tracking"}
SUFFIXES = (".csv", ".tsv", ".txt")


def first_row(path: Path) -> list[str]:
    """The cells of the first row; none where there is no such thing."""
    try:
        with open_table(path, failures=Failures()) as table:
            return list(table.header)
    except BiocosmosError:
        return []


def trap_format(path: Path) -> str | None:
    """The format of a table; None for any other."""
    header = first_row(path) if path.suffix.lower() in SUFFIXES else []
    here = __name__.rpartition(".")[0]
    return next((name for name, module in FORMATS.items() if header and import_module(f"{here}.{module}").matches(header)), None)
