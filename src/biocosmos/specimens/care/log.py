"""The history of a collection on disk: entries that are only ever added, and the one that is not finished yet.

history/
    changes.jsonl           one entry a line
    pending.json            the entry that is being carried out; what is left of it after a kill is finished by the next
    000012-fields.parquet   a piece of change 12
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.care.entry import Entry, Piece
from biocosmos.tables import replacing

FOLDER = "history"
LOG = "changes.jsonl"
PENDING = "pending.json"
DIGITS = 6


class Log:
    """The entries of the collection in ``collection_path``."""

    def __init__(self, collection_path: Path) -> None:
        self.folder = collection_path / FOLDER

    def entries(self) -> list[Entry]:
        """All of them, oldest first. Raises BiocosmosError, with file and line, for one that cannot be read."""
        path = self.folder / LOG
        if not path.exists():
            return []
        found = []
        for line, text in enumerate(path.read_text(encoding="utf-8").rstrip("\n").split("\n"), 1):
            found.append(_entry(text, f"{path}, line {line}"))
        return found

    def entry(self, number: int) -> Entry:
        """One of them. Raises BiocosmosError where there is none of this number."""
        found = next((entry for entry in self.entries() if entry.number == number), None)
        if found is None:
            raise BiocosmosError(f"{self.folder.parent} has no change {number}: see biocosmos history {self.folder.parent}")
        return found

    def undone(self) -> dict[int, int]:
        """Number of a change -> number of the change that undid it, where that is not itself undone."""
        entries = self.entries()
        taken_back: dict[int, int] = {}
        for entry in reversed(entries):
            if entry.undoes is not None and entry.number not in taken_back:
                taken_back[entry.undoes] = entry.number
        return taken_back

    @property
    def pending(self) -> Entry | None:
        """The change that was begun and not finished."""
        path = self.folder / PENDING
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            return _entry(text, str(path))
        except BiocosmosError as error:
            raise BiocosmosError(f"{error}; or remove it, to give up the change that was not finished") from error

    def next_number(self) -> int:
        """Of the next change."""
        return max((entry.number for entry in self.entries()), default=0) + 1

    def path(self, piece: Piece) -> Path:
        """The file of a piece. Raises BiocosmosError where it is gone."""
        path = self.folder / piece.file
        if not path.is_file():
            raise BiocosmosError(f"{path} is gone, without which this change cannot be carried out or undone: restore it")
        return path

    def intend(self, entry: Entry) -> None:
        """Say what is about to be done. From now on it is done, whatever happens."""
        with replacing(self.folder / PENDING) as temporary:
            _write(temporary, json.dumps(entry.as_dict(), ensure_ascii=False))

    def finish(self, entry: Entry) -> None:
        """Count the pending change as done. May be called again after a kill."""
        entries = self.entries()
        if all(other.number != entry.number for other in entries):
            lines = [json.dumps(each.as_dict(), ensure_ascii=False) + "\n" for each in [*entries, entry]]
            with replacing(self.folder / LOG) as temporary:
                _write(temporary, "".join(lines))
        (self.folder / PENDING).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a change left that was stopped before it was intended. Only with the collection's lock held."""
        if not self.folder.is_dir():
            return
        next_number = self.next_number()
        for path in list(_leftovers(self.folder, next_number)):
            path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def piece_file(number: int, name: str) -> str:
    """The name of the file of a piece of a change."""
    return f"{number:0{DIGITS}d}-{name}.parquet"


def _leftovers(folder: Path, next_number: int) -> Iterator[Path]:
    for path in folder.iterdir():
        head = path.name.partition("-")[0]
        if path.name.endswith(".tmp") or (head.isdigit() and int(head) >= next_number):
            yield path


def _entry(text: str, where: str) -> Entry:
    try:
        return Entry.from_dict(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BiocosmosError(f"{where}: this is no entry of a history: restore the file from a copy") from error


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
