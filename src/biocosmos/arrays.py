"""NumPy files of ours, read as data: never unpickled, never larger than they are, and of the types and shapes expected.

stored = read_arrays("kept.npz", {"classes": ("iu", 1), "logits": ("f", 2)}, what="predictions", remedy="make them again")
vectors = read_array("vectors.npy", ("f", 2), what="vectors", remedy="embed again", mapped=True)
"""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError, first_line

Array = npt.NDArray[Any]
Kind = tuple[str, int]
"""Letters of the kinds of numbers that are right ("f" floats, "iu" whole numbers, "U" text, "b" yes or no), and dimensions."""
MOST_TIMES = 1000
"""A compressed file that grows more than this was made to fill the memory."""
DAMAGE = (
    *(OSError, ValueError, KeyError, EOFError, TypeError, OverflowError, RecursionError, MemoryError, SyntaxError),
    *(NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error),
)
"""What NumPy, the zip and the system raise of a file that is no such thing."""


def read_arrays(path: str | Path, kinds: Mapping[str, Kind], *, what: str, remedy: str) -> dict[str, Array]:
    """The arrays in an ``.npz``: those of ``kinds``, whose names may end in ? where they may lack, and whatever else is in it.

    what: the file is meant to be; remedy: ends the message. Raises BiocosmosError, one line.
    """
    path = Path(path)
    try:
        _must_be_file(path)
        with zipfile.ZipFile(path) as archive:
            claimed = sum(member.file_size for member in archive.infolist())
            if claimed > MOST_TIMES * path.stat().st_size:
                raise ValueError(f"it would grow to {claimed:,} bytes")
            for member in archive.infolist():
                with archive.open(member) as file:
                    _check_size(file, member.file_size, member.filename)
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        for name, kind in kinds.items():
            key = name.removesuffix("?")
            if key in arrays:
                _check_kind(arrays[key], kind, key)
            elif key == name:
                raise ValueError(f"it lacks '{key}'")
    except DAMAGE as error:
        raise BiocosmosError(f"cannot read {what} from {path} ({_reason(error)}): {remedy}") from error
    return arrays


def read_array(path: str | Path, kind: Kind, *, what: str, remedy: str, mapped: bool = False) -> Array:
    """The array in an ``.npy``; mapped: left in the file and read as it is used. Errors as of :func:`read_arrays`."""
    path = Path(path)
    try:
        _must_be_file(path)
        with path.open("rb") as file:
            _check_size(file, path.stat().st_size, path.name)
        array: Array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        _check_kind(array, kind, path.name)
    except DAMAGE as error:
        raise BiocosmosError(f"cannot read {what} from {path} ({_reason(error)}): {remedy}") from error
    return array


def _must_be_file(path: Path) -> None:
    if not path.is_file():
        raise OSError("it is missing" if not path.exists() else "it is no file")


def _check_size(file: IO[bytes], size: int, name: str) -> None:
    """Refuse a header that claims more, or fewer, numbers than follow it: NumPy makes room for what is claimed."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError(f"'{name}' holds objects, which may be code")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size - file.tell():
        raise ValueError(f"'{name}' claims {math.prod(shape):,} numbers, which it does not have")


def _check_kind(array: Array, kind: Kind, name: str) -> None:
    letters, dimensions = kind
    if array.dtype.kind not in letters or array.ndim != dimensions:
        raise ValueError(f"'{name}' is {array.ndim}-dimensional {array.dtype}")


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or first_line(error)


__all__ = ["DAMAGE", "read_array", "read_arrays"]
