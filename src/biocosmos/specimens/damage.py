"""What is said of a collection whose files are not what was written: which file, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.files import is_folder
from biocosmos.unfinished import is_full

_RUST = re.compile(
    r",?\s*\S*/rust/\S+?\.rs:\d+(:\d+)?|,?\s*\S*/\.cargo/\S+|^(?:LanceError|ArrowError)\([^)]*\):\s*|^Invalid user input:\s*"
)
_FILE = re.compile(r"([\w./\\-]+\.(?:lance|manifest|arrow|txn|idx|bin))\b")


class Damaged(BiocosmosError):
    """A file of a collection is missing, cut, or not what was written."""


def damaged(path: Path, file: Path | str, reason: str, remedy: str | None = None) -> Damaged:
    """The error for a file of the collection in ``path``."""
    do = remedy or f"restore it from a copy; 'biocosmos check {path}' says what else is damaged"
    return Damaged(f"this collection is damaged: {file} {reason}: {do}")


def library_says(error: BaseException) -> str:
    """What Lance or Arrow says, in one line without the paths of their own source."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    while (shorter := _RUST.sub("", said).strip()) != said:
        said = shorter
    return said[:200].rstrip(" ,.:") or type(error).__name__


@contextmanager
def reading(path: Path, reason: str = "cannot be read", remedy: str | None = None) -> Iterator[None]:
    """Within it, what Lance raises about the files of the collection in ``path`` becomes a BiocosmosError in one line."""
    try:
        yield
    except BiocosmosError:
        raise
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, pa.ArrowException) as error:
        raise reading_error(path, error, reason, remedy) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of Lance's Rust; no Exception, and its class cannot be imported
            raise
        raise reading_error(path, error, reason, remedy) from error


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Within it, what Lance raises while it writes to the collection in ``path`` becomes a BiocosmosError in one line."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, pa.ArrowException) as error:
        if not is_folder(path) or is_full(error):
            raise reading_error(path, error) from error
        again = "what was stored is not lost; run the same command again"
        raise BiocosmosError(f"cannot write {path}: {library_says(error)}: {again}") from error


def reading_error(path: Path, error: BaseException, reason: str = "cannot be read", remedy: str | None = None) -> BiocosmosError:
    """What Lance raised about the files of the collection in ``path``, in one line."""
    if not is_folder(path):
        return BiocosmosError(f"{path} is not there any more: was it moved or removed?")
    if is_full(error):
        return BiocosmosError(f"cannot write {path}: the disk is full: free some space, then run the same command again")
    file = _FILE.search(str(error))
    named = path / "specimens.lance" if file is None else Path(file[1]).name
    return damaged(path, named, f"{reason} ({library_says(error)})", remedy)
