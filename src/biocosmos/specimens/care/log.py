"""The history of a collection on disk: entries that are only ever added, and the one that is not finished yet.

history/
    changes.jsonl           one entry a line
    pending.json            the entry that is being carried out; what is left of it after a kill is finished by the next
    000012-fields.parquet   a piece of change 12
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.facts import parse_facts
from biocosmos.specimens.care.entry import ENTRY, NEW, OLD, Entry, Piece
from biocosmos.tables import replacing

FOLDER = "history"
LOG = "changes.jsonl"
PENDING = "pending.json"
DIGITS = 6
ROWS_CHECKED = 256
DIGEST = "sha256"
"""Of all else that a line says."""


class Log:
    """The entries of the collection in ``collection_path``."""

    def __init__(self, collection_path: Path) -> None:
        self.folder = collection_path / FOLDER

    def entries(self) -> list[Entry]:
        """All of them, oldest first. Raises BiocosmosError, with file and line, for one that cannot be read."""
        path = self.folder / LOG
        text = _read(path)
        found: list[Entry] = []
        for line, each in enumerate(() if text is None else text.rstrip(b"\n").split(b"\n"), 1):
            found.append(_entry(each, f"{path}, line {line}"))
            if found[-1].number != line:
                raise BiocosmosError(f"{path}, line {line}: this is change {found[-1].number}: restore the file from a copy")
        return found

    def check(self) -> int:
        """Read all that is kept of every change; how many there are. Raises BiocosmosError for what is gone or damaged."""
        entries = self.entries()
        for piece in (piece for entry in entries for piece in entry.pieces):
            for _ in self.batches(piece, rows=ROWS_CHECKED):
                pass
        return len(entries)

    @property
    def pending(self) -> Entry | None:
        """The change that was begun and not finished."""
        path = self.folder / PENDING
        text = _read(path)
        if text is None:
            return None
        try:
            return _entry(text, str(path))
        except BiocosmosError as error:
            raise BiocosmosError(f"{error}; or remove it, to give up the change that was not finished") from error

    def next_number(self) -> int:
        """Of the next change."""
        return len(self.entries()) + 1

    def batches(self, piece: Piece, columns: Sequence[str] | None = None, *, rows: int) -> Iterator[pa.RecordBatch]:
        """Rows of a piece, ``rows`` at a time, whole or of some columns. Raises BiocosmosError where it is gone or damaged."""
        path = self.folder / piece.file
        with self._reading(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
            have = set(file.schema_arrow.names)
            needed = {"id", *(columns or ()), *(mark + name for name in piece.columns for mark in (OLD, NEW))}
            if file.metadata.num_rows != piece.rows or not needed <= have:
                raise ValueError("it holds other rows or columns than the change says")
            found = file.iter_batches(batch_size=rows, columns=None if columns is None else list(columns))
            while (batch := next(found, None)) is not None:
                yield batch

    def rows_of(self, file: str, *, rows: int) -> Iterator[pa.RecordBatch]:
        """Whole specimens of the file that keeps them. Raises BiocosmosError where it is gone or damaged."""
        with self._reading(self.folder / file), pq.ParquetFile(self.folder / file, page_checksum_verification=True) as open_file:
            yield from open_file.iter_batches(batch_size=rows)

    def schema(self, file: str) -> pa.Schema:
        """The columns of a piece's file. Raises BiocosmosError where it is gone or damaged."""
        with self._reading(self.folder / file):
            return pq.read_schema(self.folder / file)

    @contextmanager
    def _reading(self, path: Path) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            what = "gone" if isinstance(error, FileNotFoundError) else f"damaged ({first_line(error)})"
            raise BiocosmosError(
                f"{path} is {what}, without which this change cannot be carried out or undone: restore it from a copy"
            ) from error

    def intend(self, entry: Entry) -> None:
        """Say what is about to be done. From now on it is done, whatever happens."""
        with replacing(self.folder / PENDING) as temporary:
            _write(temporary, _line(entry))

    def finish(self, entry: Entry) -> None:
        """Count the pending change as done. May be called again after a kill."""
        entries = self.entries()
        if all(other.number != entry.number for other in entries):
            lines = [_line(each) + "\n" for each in [*entries, entry]]
            with replacing(self.folder / LOG) as temporary:
                _write(temporary, "".join(lines))
        (self.folder / PENDING).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a change left that was stopped before it was intended. Only with the collection's lock held."""
        if not self.folder.is_dir():
            return
        next_number = self.next_number()
        numbers = [int(path.name[:DIGITS]) for path in self.folder.iterdir() if path.name[:DIGITS].isdigit()]
        if max(numbers, default=0) > next_number:  # one change at a time: a later one was whole, and its line is lost
            raise BiocosmosError(f"{self.folder / LOG} lacks change {next_number} and later ones: restore the file from a copy")
        for path in list(_leftovers(self.folder, next_number)):
            path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def undone(entries: Sequence[Entry]) -> dict[int, int]:
    """Of all entries, number of a change -> number of the change that undid it, where that is not itself undone."""
    taken_back: dict[int, int] = {}
    for entry in reversed(entries):
        if entry.undoes is not None and entry.number not in taken_back:
            taken_back[entry.undoes] = entry.number
    return taken_back


def piece_file(number: int, name: str) -> str:
    """The name of the file of a piece of a change."""
    return f"{number:0{DIGITS}d}-{name}.parquet"


def _leftovers(folder: Path, next_number: int) -> Iterator[Path]:
    for path in folder.iterdir():
        head = path.name.partition("-")[0]
        if path.name.endswith(".tmp") or (head.isdigit() and int(head) >= next_number):
            yield path


def _line(entry: Entry) -> str:
    facts = entry.as_dict()
    return json.dumps({**facts, DIGEST: _digest(facts)}, ensure_ascii=False)


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _entry(text: bytes, where: str) -> Entry:
    facts = parse_facts(text, ENTRY, where=where, what="an entry of a history", remedy="restore the file from a copy")
    digest = facts.pop(DIGEST, None)
    if digest is not None and digest != _digest(facts):
        raise BiocosmosError(f"{where} was changed after it was written: restore the file from a copy")
    return Entry.from_dict(facts)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BiocosmosError(f"cannot read {path} ({first_line(error)}): restore the file from a copy") from error


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
