"""Which of the tables that are told by their first row a file is: those of insect cameras, and of sounds."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.readers.textfile import open_table

FORMATS = {"ami": "ami", "insect-detect": "insect_detect", "insect-tracking": "insect_tracking", "isoundnat": "isoundnat"}
SUFFIXES = (".csv", ".tsv", ".txt")


def trap_format(path: Path) -> str | None:
    """The format of a table; None for any other."""
    if path.suffix.lower() not in SUFFIXES:
        return None
    try:
        with open_table(path, failures=Failures()) as table:
            header = table.header
    except BiocosmosError:
        return None
    here = __name__.rpartition(".")[0]
    return next((name for name, module in FORMATS.items() if import_module(f"{here}.{module}").matches(header)), None)
