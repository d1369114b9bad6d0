"""Checksums of a collection's data: kept of every block of every file that a version of the dataset is made of.

The files of Lance are written once and never changed, so what differs from its checksum was damaged after it was written. Kept in
``checksums.json`` when something is committed, looked at in part whenever a collection is opened, for vectors whenever they are
loaded, and whole by ``biocosmos check``.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lance

from biocosmos.facts import Number, read_facts
from biocosmos.specimens.damage import Damaged, damaged
from biocosmos.specimens.records import EMBEDDING_PREFIX
from biocosmos.tables import replacing

FILE = "checksums.json"
BLOCK_BYTES = 1 << 20
OPENING_BYTES = 16 << 20
"""So much is read of a collection when it is opened: all of a small one, blocks drawn at random of a large one."""
VECTORS_BYTES = 4 << 30
"""So much of a column of vectors is read when it is loaded."""
THREADS = 4
_DIGEST_BYTES = 8
_HEX = 2 * _DIGEST_BYTES
_SHAPE = {"format": 1, "version": Number(0, whole=True), "files": {str: {"size": Number(0, whole=True), "blocks": str}}}


@dataclass(frozen=True)
class Stored:
    """A file of a version of a dataset, by its path in the dataset's folder; ``columns``: top-level columns that lie in it."""

    name: str
    columns: frozenset[str]

    @property
    def is_of_vectors(self) -> bool:
        """Whether nothing but vectors lies in it: these can be made anew."""
        return bool(self.columns) and all(name.startswith(EMBEDDING_PREFIX) for name in self.columns)


def stored_files(dataset: lance.LanceDataset) -> list[Stored]:
    """The files that the dataset's version is made of."""
    names = {field.id(): field.name() for field in dataset.lance_schema.fields()}
    columns: dict[str, set[str]] = {}
    for fragment in dataset.get_fragments():
        for file in fragment.metadata.files:
            found = columns.setdefault(f"data/{file.path}", set())
            found.update(names.get(each, "?") for each in file.fields if each >= 0)  # "?": within a list or an object
    folder = Path(dataset.uri)
    deletions = [f"_deletions/{path.name}" for path in sorted(folder.glob("_deletions/*"))]
    manifests = (f"_versions/{number}.manifest" for number in (2**64 - 1 - dataset.version, dataset.version))
    others = [*deletions, *(name for name in manifests if (folder / name).exists())]
    return [Stored(name, frozenset(found)) for name, found in columns.items()] + [Stored(name, frozenset()) for name in others]


class Checksums:
    """Those of the collection in ``path``. Raises Damaged if their own file is."""

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, path / FILE
        self.version = -1
        self._files: dict[str, dict[str, Any]] = {}
        if self._file.exists():
            remedy = f"this collection is damaged: restore it, or remove {FILE} and let 'biocosmos check {path}' make it anew"
            facts = read_facts(self._file, _SHAPE, what="the checksums of a collection", remedy=remedy)
            self.version, self._files = facts["version"], facts["files"]

    def record(self, dataset: lance.LanceDataset) -> None:
        """Add the files that are new in this version, and forget those it has no more. With the collection's lock held."""
        if dataset.version == self.version:
            return
        folder = Path(dataset.uri)
        files = {each.name: self._files.get(each.name) or _sums(folder / each.name) for each in stored_files(dataset)}
        self.version, self._files = dataset.version, files
        with replacing(self._file) as temporary:
            temporary.write_text(json.dumps({"format": 1, "version": dataset.version, "files": files}) + "\n", encoding="utf-8")

    def unknown(self, files: Sequence[Stored]) -> list[str]:
        """Files whose checksum was not kept: they were written by a process that was killed before it could, or by an older
        version."""
        return [each.name for each in files if each.name not in self._files]

    def check(self, folder: Path, files: Sequence[Stored], most_bytes: int | None = None) -> Iterator[tuple[Stored, str]]:
        """The files that are not what was written, and what is wrong; of more than ``most_bytes`` blocks drawn at random."""
        whole: list[tuple[Stored, int]] = []
        for each in files:
            kept = self._files.get(each.name)
            if kept is None:
                continue
            try:
                size = (folder / each.name).stat().st_size
            except OSError:
                yield each, "is missing"
                continue
            if size != kept["size"]:
                yield each, f"has {size:,} bytes, {kept['size']:,} were written"
            elif len(kept["blocks"]) == _HEX * -(-size // BLOCK_BYTES):
                whole += [(each, number) for number in range(len(kept["blocks"]) // _HEX)]
        if most_bytes is not None and len(whole) * BLOCK_BYTES > most_bytes:
            whole = random.sample(whole, most_bytes // BLOCK_BYTES)
        told = set()
        with ThreadPoolExecutor(THREADS) as pool:
            for (each, number), well in zip(whole, pool.map(lambda at: self._is_well(folder, *at), whole)):
                if not well and each.name not in told:
                    told.add(each.name)
                    yield (
                        each,
                        f"was changed after it was written (at byte {number * BLOCK_BYTES:,} or soon after)",
                    )

    def _is_well(self, folder: Path, file: Stored, number: int) -> bool:
        kept: str = self._files[file.name]["blocks"]
        try:
            with (folder / file.name).open("rb") as opened:
                opened.seek(number * BLOCK_BYTES)
                return _digest(opened.read(BLOCK_BYTES)) == kept[number * _HEX : (number + 1) * _HEX]
        except OSError:
            return False


def check_opening(path: Path, dataset: lance.LanceDataset) -> None:
    """Look at a part of a collection. Raises Damaged for what cannot be made anew; vectors are looked at when they are loaded."""
    files = [each for each in stored_files(dataset) if not each.is_of_vectors]
    sums = Checksums(path)
    # where it seems so, looked at again: a writer may just have made the next one
    if sums.version > dataset.version and sums.version > lance.dataset(dataset.uri).version:
        raise damaged(path, f"specimens.lance/_versions/{2**64 - 1 - sums.version}.manifest", "is missing")
    for each, reason in sums.check(Path(dataset.uri), files, OPENING_BYTES):
        raise damaged(path, f"specimens.lance/{each.name}", reason)


def check_vectors(path: Path, dataset: lance.LanceDataset, columns: Mapping[str, str]) -> None:
    """Look at columns of vectors, column -> encoder. Raises Damaged if they are not what was written."""
    files = [each for each in stored_files(dataset) if each.is_of_vectors and each.columns & set(columns)]
    for each, reason in Checksums(path).check(Path(dataset.uri), files, VECTORS_BYTES):
        raise vectors_damaged(path, each, reason, columns)


def vectors_damaged(path: Path, file: Stored, reason: str, columns: Mapping[str, str]) -> Damaged:
    """The error for a file of vectors."""
    encoder = next((columns[name] for name in sorted(file.columns) if name in columns), None)
    remedy = f"restore it from a copy, or make the vectors anew with 'biocosmos embed {path} --encoder {encoder} --overwrite'"
    return damaged(path, f"specimens.lance/{file.name}", reason, remedy)


def _sums(path: Path) -> dict[str, Any]:
    size, blocks = 0, []
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            size += len(block)
            blocks.append(_digest(block))
    return {"size": size, "blocks": "".join(blocks)}


def _digest(block: bytes) -> str:
    return hashlib.blake2b(block, digest_size=_DIGEST_BYTES).hexdigest()
