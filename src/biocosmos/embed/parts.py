"""The unfinished work of an embedding, on disk: part files that are whole or absent, and a lock that dies with its holder.

A work folder holds::

    settings.json     what the vectors are made with; another encoder may not go on with them
    lock              locked by the running process; the system unlocks it when that ends, however it ends
    000000.part ...   the vectors of a fixed block of rows each
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.facts import load_json, misfit
from biocosmos.specimens.lock import try_lock

_MAGIC = b"biocosmos part 1\n"
_HEADER = {"rows": int, "dim": int, "ids": str, "failures": [[object]], "sha256": str}


@dataclass
class Part:
    """The vectors of one block of rows.

    Attributes:
        ids: of the n specimens, in order.
        vectors: (n, dim) float32 unit vectors, zero where there is none.
        valid: (n,) bool, whether a row has a vector.
        failures: (position in the block, image path or None, reason) of the images that could not be read.
    """

    ids: list[str]
    vectors: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    failures: list[tuple[int, str | None, str]] = field(default_factory=list)

    @staticmethod
    def empty(ids: list[str], dim: int) -> Part:
        """A part without a vector yet."""
        return Part(ids, np.zeros((len(ids), dim), np.float32), np.zeros(len(ids), np.bool_))

    def save(self, path: Path) -> None:
        """Write the part so that a crash at any moment leaves either all of it or nothing under this name."""
        payload = self.vectors.tobytes() + self.valid.tobytes()
        header = {
            "rows": len(self.ids),
            "dim": self.vectors.shape[1],
            "ids": ids_digest(self.ids),
            "failures": self.failures,
            "sha256": hashlib.sha256(payload).hexdigest(),
        }
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            file.write(_MAGIC + json.dumps(header).encode() + b"\n")
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    @staticmethod
    def load(path: Path, ids: Sequence[str], dim: int) -> Part | None:
        """The part, if the file is whole and holds exactly these rows; None otherwise (it is then computed again)."""
        try:
            with path.open("rb") as file:
                if file.readline() != _MAGIC:
                    return None
                header = load_json(file.readline())
                payload = file.read()
        except (OSError, ValueError):
            return None
        if misfit(header, _HEADER):
            return None
        rows = len(ids)
        if (
            (header["rows"], header["dim"], header["ids"]) != (rows, dim, ids_digest(ids))
            or len(payload) != rows * (1 + 4 * dim)
            or hashlib.sha256(payload).hexdigest() != header["sha256"]
        ):
            return None
        # copied, because Arrow wants its buffers aligned and a bytes object promises nothing
        vectors = np.frombuffer(payload, np.float32, rows * dim).reshape(rows, dim).copy()
        valid = np.frombuffer(payload, np.bool_, rows, offset=4 * rows * dim).copy()
        return Part(list(ids), vectors, valid, [(int(row), source, reason) for row, source, reason in header["failures"]])


class Work:
    """A work folder that is locked by this process; made by :func:`locked_work`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def settings(self) -> dict[str, Any] | None:
        """What an interrupted run was made with; None if there is none, or it cannot be read."""
        try:
            found = load_json((self.folder / "settings.json").read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def begin(self, settings: Mapping[str, Any], *, restart: bool, notes: Mapping[str, Any] | None = None) -> None:
        """Take up what an interrupted run left, if it was made with the same settings; ``notes`` are kept beside them.

        Raises:
            BiocosmosError: it was made with others, and not ``restart``.
        """
        path = self.folder / "settings.json"
        wanted = json.loads(json.dumps(dict(settings)))
        if restart:
            self.clear()
        elif path.exists():
            try:
                found = load_json(path.read_bytes())
                if not isinstance(found, dict):
                    raise ValueError("it is no object")
            except ValueError:  # torn by a power cut: the parts beside it cannot be trusted
                self.clear()
            else:
                if changed := [key for key in wanted if found.get(key) != wanted[key]]:
                    key = changed[0]
                    raise BiocosmosError(
                        f"an interrupted embedding in {self.folder} had {key} {found.get(key)}, now it is {wanted[key]}: "
                        f"go on with the same, or start again with overwrite (--overwrite)"
                    )
        for left in self.folder.glob("*.tmp"):
            left.unlink()
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps({**dict(notes or {}), **wanted}, indent=1, default=str) + "\n")
        temporary.replace(path)

    def part(self, block: int) -> Path:
        """The file of a block."""
        return self.folder / f"{block:06d}.part"

    def clear(self) -> None:
        """Remove everything but the lock."""
        self.clear_parts()
        (self.folder / "settings.json").unlink(missing_ok=True)

    def clear_parts(self) -> None:
        """Remove all parts."""
        for pattern in ("*.part", "*.tmp"):
            for path in self.folder.glob(pattern):
                path.unlink()


@contextmanager
def locked_work(folder: Path, doing: str = "embedding with this encoder") -> Iterator[Work]:
    """Lock a work folder, made if it is missing, and remove it afterwards if nothing is left in it.

    doing: what another process is told that it is held for.

    Raises:
        BiocosmosError: another process holds it. A lock left by a process that was killed is free.
    """
    path = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise BiocosmosError(f"{folder} may not be written to ({error.strerror}): copy the collection to where it may") from error
    with path.open("a+") as file:
        if not try_lock(file.fileno()):
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise BiocosmosError(f"{holder} is {doing} already ({folder}): wait for it, or stop it")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield Work(folder)
        if [entry.name for entry in folder.iterdir()] == ["lock"]:
            shutil.rmtree(folder, ignore_errors=True)


def ids_digest(ids: Sequence[str]) -> str:
    """sha256 over the ids in order."""
    total = hashlib.sha256()
    for id_ in ids:
        total.update(f"{len(id_)}:{id_}".encode())
    return total.hexdigest()
