"""Where thumbnails are kept: with the collection; in the user's cache where that may only be read; else for this process."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from pathlib import Path

from biocosmos.machine import CACHE, user_cache
from biocosmos.serve.thumbnails.store import Kept, Store
from biocosmos.unfinished import ScratchFolder

FOLDER = "thumbnails"


class Shelf:
    """Thumbnails of one size of one collection: one file that is written to, and one more that is only read from, where a
    collection that may only be read has brought some along."""

    def __init__(self, collection: Path, size: int) -> None:
        self._scratch: ScratchFolder | None = None
        self._brought: Store | None = None
        own = collection / FOLDER / f"{size}.sqlite"
        store = _opened(own) if _may_write(collection) else None
        if store is None:
            self._brought = _opened(own, only_read=True) if own.is_file() else None
            store = _opened(cache_folder(collection) / f"{size}.sqlite")
        if store is None:
            self._scratch = ScratchFolder()
            store = Store(self._scratch.path / f"{size}.sqlite")
        self.store = store

    def find(self, id_: str) -> list[Kept]:
        """What is kept of a specimen, at most one of each file."""
        found = [self.store.find(id_), None if self._brought is None else self._brought.find(id_)]
        return [kept for kept in found if kept is not None]

    def close(self) -> None:
        """Let go of the files."""
        for store in (self.store, self._brought):
            if store is not None:
                store.close()
        if self._scratch is not None:
            self._scratch.remove()


def cache_folder(collection: Path) -> Path:
    """Where the thumbnails of a collection that may only be read are kept."""
    place = hashlib.sha256(os.fsencode(collection.resolve())).hexdigest()[:16]
    return Path(os.environ.get(CACHE) or user_cache()) / FOLDER / place


def _may_write(collection: Path) -> bool:
    folder = collection / FOLDER
    return os.access(folder if folder.exists() else collection, os.W_OK)


def _opened(path: Path, *, only_read: bool = False) -> Store | None:
    try:
        return Store(path, only_read=only_read)
    except (OSError, sqlite3.Error):
        return None
