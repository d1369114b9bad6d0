"""One act: a few rows, written as one file that is on the disk before anybody is told so."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.provenance import package_version
from biocosmos.specimens.care.entry import who
from biocosmos.tables import PROVENANCE_KEY, replacing

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

Status = Literal["validated", "dubious", "withdrawn"]
FOLDER = Path("identifications") / "by_hand"
STAGE = "identify by hand"
VALIDATED, DUBIOUS, WITHDRAWN = "validated", "dubious", "withdrawn"
OLD = ("id", "taxon", "rank", "status", "by", "how", "note", "at")
"""Columns of the first format; files of it are read still."""
_TEXT = ("id", "taxon", "rank", "status", "by", "how", "note")
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in _TEXT),
        ("at", pa.timestamp("us", tz="UTC")),
        ("act", pa.string()),
        ("undoes", pa.string()),
    ]
)
"""act: the name of its file, without the ending; undoes: the act that a withdrawn row takes back, null in files of the first
format, where such a row takes back the last that stood."""
_numbers = itertools.count()


def append(
    collection: Collection,
    rows: Mapping[str, Sequence[Any]],
    status: str,
    *,
    by: str | None,
    how: str = "",
    note: str = "",
    at: datetime | None = None,
) -> Path:
    """Write one act, durably: when this returns, neither a kill nor a power cut loses it.

    rows: lists of equal length, ``id``, ``taxon``, ``rank`` and, of withdrawn rows, ``undoes``; at: when, by default now.
    Raises BiocosmosError where the disk is full or may not be written to.
    """
    at = at or datetime.now(timezone.utc)
    count = len(rows["id"])
    name = f"{at:%Y%m%dT%H%M%S%f}Z-{os.getpid()}-{next(_numbers)}"
    same = {"status": status, "by": who(by), "how": how, "note": note, "at": at, "act": name, "undoes": None}
    cells = [rows[column] if column in rows else [same[column]] * count for column in SCHEMA.names]
    table = pa.table([pa.array(each, kind) for each, kind in zip(cells, SCHEMA.types)], schema=SCHEMA)
    return write_durably(table, collection.path / FOLDER / f"{name}.parquet")


def write_durably(table: pa.Table, path: Path) -> Path:
    """Write a table whole or not at all, and return once the disk has it."""
    new = not path.parent.exists()
    with replacing(path) as temporary:
        pq.write_table(table.replace_schema_metadata({PROVENANCE_KEY: _made_by()}), temporary, compression="zstd")
        _sync(temporary)
    sync_folder(path.parent)
    if new:
        sync_folder(path.parent.parent)
        sync_folder(path.parent.parent.parent)
    return path


def sync_folder(folder: Path) -> None:
    """Have the disk know which files a folder has. Nothing is done where folders cannot be opened (Windows)."""
    if sys.platform != "win32":
        _sync(folder, os.O_RDONLY)


def _sync(path: Path, how: int = os.O_RDWR) -> None:
    file = os.open(path, how)
    try:
        os.fsync(file)
    finally:
        os.close(file)


@cache
def _made_by() -> bytes:
    return json.dumps({"software": {"biocosmos": package_version()}}).encode()
