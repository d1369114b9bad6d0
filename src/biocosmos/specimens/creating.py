"""How a collection begins: made aside and put in its place at once, so that there is all of it or nothing.

Older versions made it in its place: a folder of theirs that lacks ``collection.json`` and holds no specimen is begun anew.
"""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import lance
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.files import is_folder, is_there
from biocosmos.provenance import now
from biocosmos.specimens.damage import reading
from biocosmos.specimens.lock import FILE as LOCK
from biocosmos.specimens.lock import locked
from biocosmos.specimens.records import ADDED_BY_COLLECTION, STANDARD
from biocosmos.unfinished import remove, unfinished_path, writing

FORMAT = 1
FACTS, SPECIMENS = "collection.json", "specimens.lance"
_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST)
_MOUNTED = (errno.EBUSY, errno.EXDEV)


class Occupied(BiocosmosError):
    """Something else is where a collection was to be made."""


def is_collection(path: Path) -> bool:
    """Whether there is a collection at ``path``, maybe a damaged one."""
    return is_there(path / FACTS) or (is_folder(path / SPECIMENS) and not is_half_made(path))


def is_half_made(path: Path) -> bool:
    """Whether a process was killed while it made a collection here: nothing but its beginnings, and no specimen."""
    if not is_folder(path) or is_there(path / FACTS):
        return False
    others = [entry.name for entry in path.iterdir() if not _is_ours(entry.name)]
    if others or not is_folder(path / SPECIMENS):
        return False
    data = path / SPECIMENS / "data"
    return not is_folder(data) or not any(data.iterdir())


def _is_ours(name: str) -> bool:
    return name in (SPECIMENS, LOCK) or (name.startswith(f".{FACTS}.") and name.endswith(".tmp"))


def make(path: Path, *, overwrite: bool = False) -> None:
    """Make an empty collection in a new folder, or in one that is empty.

    Raises Occupied if something is there, and not ``overwrite``; BiocosmosError if it cannot be written, or is no collection.
    """
    try:
        there = is_folder(path) and any(path.iterdir())
    except OSError as error:
        raise BiocosmosError(f"cannot look into {path}: {error.strerror}") from error
    if there and is_half_made(path):
        with locked(path, "create"):
            if is_half_made(path):
                remove(path / SPECIMENS)
        remove(path)
    elif there or (is_there(path) and not is_folder(path)):
        if not overwrite:
            raise Occupied(f"{path} exists already: open it, choose another name, or ask to overwrite it")
        if not is_there(path / FACTS):
            raise BiocosmosError(f"{path} is not a collection: it will not be overwritten")
    with writing(path):
        _make(path, overwrite=overwrite)


def _make(path: Path, *, overwrite: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.resolve()  # what a link points to
    aside = unfinished_path(place)
    try:
        aside.mkdir()
        schema = pa.schema([*STANDARD.items(), *ADDED_BY_COLLECTION.items()])
        with reading(path, "it cannot be made"):
            lance.write_dataset(schema.empty_table(), str(aside / SPECIMENS))
        facts = {"format": FORMAT, "ranks": [], "created": now()}
        (aside / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        if overwrite and is_there(place / FACTS):
            with locked(place, "overwrite"):
                former = unfinished_path(place.with_name(f"{place.name}.former"))
                place.rename(former)
                aside.rename(place)
            remove(former)
        else:
            _put(aside, place)
    finally:
        remove(aside)


def _put(aside: Path, place: Path) -> None:
    """Give the new folder its name. Raises Occupied if another process has put one there meanwhile."""
    try:
        aside.rename(place)  # takes the place of an empty folder
    except OSError as error:
        if error.errno in _OCCUPIED:
            raise Occupied(f"{place} exists already: another process has just made it") from error
        if error.errno not in _MOUNTED:
            raise
        for name in (SPECIMENS, FACTS):  # a folder that cannot be replaced; what says that all is there comes last
            shutil.move(aside / name, place / name)
