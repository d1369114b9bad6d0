"""The files of acts: each alone at first, merged into few now and then.

Merging writes ``...merged.parquet`` first and removes what it holds only when that is on the disk: a process that is killed in
between leaves acts that stand in two files, and an act counts once. Nobody waits for anybody: whoever appends makes a file of a
name that nobody else makes, and only files that were read are ever removed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection as Some
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.specimens.by_hand.acts import FOLDER, OLD, SCHEMA, sync_folder, write_durably
from biocosmos.specimens.lock import try_lock

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

ENDING = ".parquet"
MERGED = ".merged.parquet"
MANY = 64
"""Small files from which on merging is worth the while."""
FULL = 1_000_000
"""Rows from which on a merged file is left as it is."""
GROWTH = 4
"""A merged file is merged again once so many times fewer rows have come since."""
_CODED = ("taxon", "rank", "status", "by", "how", "note", "act", "undoes")
_RESIDENT = pa.schema([(f.name, pa.dictionary(pa.int32(), pa.string()) if f.name in _CODED else f.type) for f in SCHEMA])


@dataclass(frozen=True)
class Compacted:
    """What a merger did. path: the merged file, None where there was nothing to do; acts: that it holds; removed: files."""

    path: Path | None = None
    acts: int = 0
    removed: int = 0


def read_rows(folder: Path, *, without: Some[str] = (), done: Some[str] = ()) -> tuple[pa.Table, list[str]]:
    """(every row of every act, each act once, oldest first, the columns of ``SCHEMA`` with words as dictionaries; names of the
    files that they are in).

    without: acts that are left out; done: files that are. Raises BiocosmosError, with the file, where one is damaged.
    """
    while True:
        names = [name for name in listed(folder) if name not in done]
        try:
            return _in_order(list(_parts(folder, names, without))), names
        except FileNotFoundError:  # merged meanwhile
            continue


def listed(folder: Path) -> list[str]:
    """Names of the files of acts, merged ones first.

    A listing is not made at one moment: files that are merged meanwhile may show in neither place. So it is made until nothing
    went away and nothing was merged between two of them.
    """
    before: set[str] | None = None
    while True:
        try:
            with os.scandir(folder) as entries:
                now = {entry.name for entry in entries if entry.name.endswith(ENDING) and not entry.name.startswith(".")}
        except FileNotFoundError:
            now = set()
        if before is not None and before <= now and not any(name.endswith(MERGED) for name in now - before):
            return sorted(now, key=lambda name: (not name.endswith(MERGED), name))
        before = now


def act_of(name: str) -> str:
    """The act in a file that holds one."""
    return name.removesuffix(ENDING)


def read_file(path: Path) -> pa.Table:
    """Rows of one file. Raises FileNotFoundError, and BiocosmosError where it is damaged."""
    data = path.read_bytes()
    try:
        about = pq.read_metadata(pa.BufferReader(data))
        have = about.schema.to_arrow_schema().names
        if lacking := [name for name in OLD if name not in have]:
            raise pa.ArrowInvalid(f"it has no column {lacking[0]!r}")
        coded = [name for name in _CODED if name in have]
        file = pq.ParquetFile(pa.BufferReader(data), metadata=about, read_dictionary=coded)
        table = file.read(columns=[name for name in SCHEMA.names if name in have])
        return _fitted(table, act_of(path.name))
    except (OSError, KeyError, pa.ArrowException) as error:
        raise BiocosmosError(f"{path} is damaged ({first_line(error)}): restore it from a backup") from error


def compact(collection: Collection, *, many: int = MANY) -> Compacted:
    """Merge the files of acts into few, without changing what :func:`history` says.

    many: small files below which nothing is done. Another process that merges at the moment is not waited for. Raises
    BiocosmosError, with the file, where one is damaged; then everything stays as it is.
    """
    folder = collection.path / FOLDER
    if not folder.is_dir():
        return Compacted()
    with _alone(folder) as mine:
        if not mine:
            return Compacted()
        try:
            return _merge(folder, many)
        except FileNotFoundError:  # another process without locks merges too
            return Compacted()


def _merge(folder: Path, many: int) -> Compacted:
    names = listed(folder)
    merged = [name for name in names if name.endswith(MERGED)]
    alone = [name for name in names if not name.endswith(MERGED)]
    known, left = _superfluous(folder, merged)
    left += [name for name in alone if act_of(name) in known]  # somebody was killed before these were removed
    fresh = [name for name in alone if act_of(name) not in known]
    removed = _remove(folder, left)
    if len(fresh) < max(many, 1):
        return Compacted(removed=removed)
    whole = _in_order(list(_parts(folder, fresh, ())))
    small = _worth_merging(folder, [name for name in merged if name not in left], len(whole))
    whole = _in_order([*_parts(folder, small, ()), whole])
    acts = pc.unique(whole["act"].combine_chunks().dictionary_decode()) if len(whole) else pa.array([], pa.string())
    if not len(acts):
        return Compacted(removed=removed + _remove(folder, [*small, *fresh]))
    path = folder / f"{max(acts.to_pylist())}-{os.getpid()}-{time.monotonic_ns()}{MERGED}"
    write_durably(_plain(whole), path)
    if not _plain(read_file(path)).equals(_plain(whole)):
        raise BiocosmosError(f"{path} does not read as it was written: is the disk failing? No act was removed")
    return Compacted(path, len(acts), removed + _remove(folder, [*small, *fresh]))


def _superfluous(folder: Path, merged: list[str]) -> tuple[set[str], list[str]]:
    """(acts in merged files, those of the files whose acts all stand in others)."""
    acts = {name: _acts_in(folder / name) for name in merged}
    left = list[str]()
    for name in sorted(merged, key=lambda name: (len(acts[name]), name)):
        if acts[name] <= set().union(*(acts[other] for other in merged if other != name and other not in left)):
            left.append(name)
    return set().union(*acts.values()), left


def _worth_merging(folder: Path, merged: list[str], rows: int) -> list[str]:
    """The merged files that are read and written again with ``rows`` new rows: not large ones each time for a few."""
    found = list[str]()
    for size, name in sorted((_rows_in(folder / name), name) for name in merged):
        if size < FULL and size <= GROWTH * rows:
            found.append(name)
            rows += size
    return found


def _remove(folder: Path, names: list[str]) -> int:
    for name in names:
        (folder / name).unlink(missing_ok=True)
    if names:
        sync_folder(folder)
    return len(names)


def _parts(folder: Path, names: list[str], without: Some[str]) -> Iterator[pa.Table]:
    """Tables of files, without acts that came before or that are not wanted."""
    seen = set(without)
    for name in names:
        if not name.endswith(MERGED) and act_of(name) in seen:
            continue
        if seen and name.endswith(MERGED) and _acts_in(folder / name) <= seen:
            continue
        table = read_file(folder / name)
        acts = _acts(table)
        if again := acts & seen:
            twice = pc.is_in(table["act"].combine_chunks().dictionary_decode(), value_set=pa.array(sorted(again), pa.string()))
            table = table.filter(pc.invert(twice))
        seen |= acts
        if len(table):
            yield table


def _acts(table: pa.Table) -> set[str]:
    return set(pc.unique(table["act"].combine_chunks().dictionary_decode()).to_pylist()) if len(table) else set()


def _acts_in(path: Path) -> set[str]:
    """The acts of a merged file, without its other columns."""
    try:
        column = pq.ParquetFile(pa.BufferReader(path.read_bytes()), read_dictionary=["act"]).read(columns=["act"])
    except (KeyError, pa.ArrowException) as error:
        raise BiocosmosError(f"{path} is damaged ({first_line(error)}): restore it from a backup") from error
    return _acts(column.cast(pa.schema([("act", _RESIDENT.field("act").type)]))) if column.num_columns else set()


def _rows_in(path: Path) -> int:
    return int(pq.read_metadata(path).num_rows)


def _fitted(table: pa.Table, act: str) -> pa.Table:
    """A table of one file with the columns of today: rows of files that do not say their act are the act ``act``."""
    columns: list[Any] = []
    for field in _RESIDENT:
        if field.name not in table.column_names:
            word = pa.scalar(act if field.name == "act" else None, pa.string())
            column: Any = pa.repeat(word, len(table)).dictionary_encode()
        else:
            column = table[field.name].combine_chunks()
            if pa.types.is_dictionary(field.type) and not pa.types.is_dictionary(column.type):
                column = column.cast(pa.string()).dictionary_encode()
        if field.name == "act" and column.null_count:
            column = column.dictionary_decode().fill_null(act).dictionary_encode()
        columns.append(column.cast(field.type))
    return pa.table(columns, schema=_RESIDENT)


def _in_order(parts: list[pa.Table]) -> pa.Table:
    """Rows of several files, oldest first; of one moment in the order of their acts' names, within an act as they stand."""
    if not parts:
        return _RESIDENT.empty_table()
    whole = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
    order = pc.sort_indices(
        pa.table({"at": whole["at"], "act": whole["act"].cast(pa.string())}),
        sort_keys=[("at", "ascending"), ("act", "ascending")],
    )
    return whole.take(order)


def _plain(table: pa.Table) -> pa.Table:
    """With words as words."""
    return table.cast(SCHEMA).replace_schema_metadata(None).combine_chunks()


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether nobody else merges at the moment; True too where the file system has no locks, since mergers do one another no
    harm."""
    try:
        file = os.open(folder / ".merging", os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        raise BiocosmosError(f"{folder} may not be written to ({error.strerror}): its acts were not merged") from error
    try:
        try:
            mine = try_lock(file)
        except OSError:
            mine = True
        yield mine
    finally:
        os.close(file)


__all__ = ["ENDING", "FULL", "MANY", "MERGED", "Compacted", "act_of", "compact", "listed", "read_file", "read_rows"]
