"""Blocks that are named, kept beside the table they will make, until it is written: ``names.csv.part/``.

settings.json      what the names are made with; others begin anew
lock               held by the running process
000000.block ...   a block each, whole or absent
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failure
from biocosmos.jobs.asked import Asked
from biocosmos.jobs.naming import NamedBlock
from biocosmos.specimens.lock import try_lock
from biocosmos.tables import replacing
from biocosmos.unfinished import writing

_MAGIC = b"biocosmos names 1\n"
_SETTINGS, _LOCK, _SUFFIX = "settings.json", "lock", ".block"
_PARTS = ("features", "shown", "said")


def work_beside(output: Path) -> Path:
    """The folder of the blocks of a table."""
    return output.with_name(output.name + ".part")


class NamingWork:
    """The folder, locked by this process; made by :func:`locked`. It is a :class:`biocosmos.jobs.naming.Work`."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self._say = folder, say
        self._digests: list[str] = []
        self._asked: Iterator[str] = iter(())

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Take up what an interrupted run with the same facts left; otherwise begin anew, and say what differs."""
        wanted = json.loads(json.dumps(dict(facts), default=str, sort_keys=True))
        path, found = self.folder / _SETTINGS, self.begun_with()
        changed = [name for name in sorted({*wanted, *found}) if found.get(name) != wanted.get(name)]
        if changed:
            self.clear()
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
        for left in self.folder.glob(".*.tmp"):
            left.unlink(missing_ok=True)
        if found and changed:
            self._say(f"what an interrupted run left in {self.folder} was made otherwise ({', '.join(changed)}): begun anew")

    def begun_with(self) -> dict[str, Any]:
        """What an interrupted run was made with; nothing where there is none."""
        try:
            found = json.loads((self.folder / _SETTINGS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def whole(self, asked: Asked) -> frozenset[int]:
        """The blocks from the first on that are whole and of what is asked now; the others are removed."""
        self._digests, self._asked = [], asked.digests()
        number = 0
        while self._path(number).exists() and self._read(number, self._digest(number)) is not None:
            number += 1
        left = [path for path in self.folder.glob(f"*{_SUFFIX}") if int(path.stem) >= number]
        for path in left:
            path.unlink()
        if left:
            self._say(
                f"files were changed since: {len(left):,} of {number + len(left):,} blocks of the interrupted run are named anew"
            )
        return frozenset(range(number))

    def load(self, number: int) -> NamedBlock:
        """A block that :meth:`whole` has seen. Raises BiocosmosError if it has been damaged since."""
        found = self._read(number, self._digest(number))
        if found is None:
            raise BiocosmosError(f"{self._path(number)} was changed while it was used: run the same command again")
        return found

    def save(self, number: int, block: NamedBlock) -> None:
        """Whole or not at all, on the disk and not only on its way there."""
        arrays = {f"{name}_{i}": part for name in _PARTS for i, part in enumerate(getattr(block, name))}
        sink = io.BytesIO()
        np.savez(sink, **arrays)
        table = pa.BufferOutputStream()
        with pa.ipc.new_stream(table, block.table.schema) as writer:
            writer.write_table(block.table)
        payload = [sink.getvalue(), table.getvalue().to_pybytes()]
        header = {
            "of": self._digest(number),
            "asked": block.asked,
            "failures": [asdict(one) for one in block.failures],
            "lengths": [len(part) for part in payload],
            "sha256": hashlib.sha256(b"".join(payload)).hexdigest(),
        }
        with replacing(self._path(number)) as temporary, temporary.open("wb") as file:
            file.write(_MAGIC + json.dumps(header).encode() + b"\n" + b"".join(payload))
            file.flush()
            os.fsync(file.fileno())

    def tables(self) -> Iterator[pa.Table]:
        """Of all blocks, in their order."""
        return (block.table for block in self.blocks())

    def blocks(self) -> Iterator[NamedBlock]:
        """All of them, in their order."""
        for path in sorted(self.folder.glob(f"*{_SUFFIX}"), key=lambda path: int(path.stem)):
            yield self.load(int(path.stem))

    def clear(self) -> None:
        """Remove everything but the lock."""
        for path in [*self.folder.glob(f"*{_SUFFIX}"), *self.folder.glob(".*.tmp"), self.folder / _SETTINGS]:
            path.unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}{_SUFFIX}"

    def _digest(self, number: int) -> str:
        while len(self._digests) <= number:
            self._digests.append(next(self._asked, "none"))
        return self._digests[number]

    def _read(self, number: int, digest: str) -> NamedBlock | None:
        """A block, if the file is whole and of what is asked."""
        try:
            with self._path(number).open("rb") as file:
                if file.readline() != _MAGIC:
                    return None
                header = json.loads(file.readline())
                payload = file.read()
            if header["of"] != digest or hashlib.sha256(payload).hexdigest() != header["sha256"]:
                return None
            first = header["lengths"][0]
            with np.load(io.BytesIO(payload[:first]), allow_pickle=False) as stored:
                parts = {name: [stored[f"{name}_{i}"] for i in range(_count(name, stored.files))] for name in _PARTS}
            table = pa.ipc.open_stream(pa.py_buffer(payload[first:])).read_all()
            failures = [Failure(**one) for one in header["failures"]]
            return NamedBlock(header["asked"], table, failures, *(tuple(parts[name]) for name in _PARTS))
        except (OSError, ValueError, LookupError, TypeError, pa.ArrowException):
            return None


@contextmanager
def locked(output: Path, say: Callable[[str], None]) -> Iterator[NamingWork]:
    """The work folder of a table, made if it is missing and locked; one without a single block is removed at the end.

    say: is told what of an interrupted run is of no use.

    Raises BiocosmosError: another process is making the same table. A lock left by a process that was killed is free.
    """
    folder = work_beside(output)
    try:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with (folder / _LOCK).open("a+") as file:
            if not try_lock(file.fileno()):
                raise BiocosmosError(f"another process is naming into {output} already ({folder}): wait for it, or stop it")
            yield NamingWork(folder, say)
    finally:
        _remove_without_block(folder)


def _remove_without_block(folder: Path) -> None:
    """Remove a work folder that nobody has locked and that holds no block, at whatever moment a signal came."""
    with suppress(OSError), (folder / _LOCK).open("a+") as file:
        if try_lock(file.fileno()) and not any(folder.glob(f"*{_SUFFIX}")):
            shutil.rmtree(folder, ignore_errors=True)


def _count(name: str, stored: list[str]) -> int:
    return sum(one.startswith(f"{name}_") for one in stored)
