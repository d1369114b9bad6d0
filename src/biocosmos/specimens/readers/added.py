"""Formats that installed packages add (see :mod:`biocosmos.plugins`)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from biocosmos.errors import BiocosmosError
from biocosmos.plugins import PlugIn
from biocosmos.specimens.readers.options import Options
from biocosmos.specimens.records import Source


@dataclass(frozen=True)
class Reader:
    """What an entry point of the group ``biocosmos.readers`` names; the format is called as the entry is.

    read: opens a path; rows may be read as the batches are asked for. suffixes: ends of file names, lower case with the dot, by
    which the format is found without --format; built-in formats go before.
    """

    read: Callable[[Path, Options], Source]
    suffixes: tuple[str, ...] = ()


def load_reader(plug_in: PlugIn) -> Reader:
    """The reader itself. Raises BiocosmosError that names the package if it cannot be imported or is something else."""
    reader = plug_in.load()
    if not isinstance(reader, Reader):
        raise plug_in.broken(f"it is a {type(reader).__name__}, not a {Reader.__module__}.{Reader.__name__}")
    return reader


def format_by_suffix(path: Path, added: Mapping[str, PlugIn]) -> str | None:
    """The one format that claims the end of this file's name, or None; a package that is broken only warns."""
    claiming = []
    for name, plug_in in added.items():
        try:
            suffixes = load_reader(plug_in).suffixes
        except BiocosmosError as error:
            warnings.warn(str(error), stacklevel=2)
            continue
        if any(path.name.lower().endswith(suffix) for suffix in suffixes):
            claiming.append(name)
    return claiming[0] if len(claiming) == 1 else None
