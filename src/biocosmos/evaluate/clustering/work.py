"""What an evaluation of clusterings has made already, kept under its collection so that a killed run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.arrays import read_arrays
from biocosmos.provenance import package_version
from biocosmos.tables import replacing

Array = npt.NDArray[Any]


class Work:
    """Arrays by what they were made of; folder None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.found = self.made = 0

    def get(self, what: str, facts: Any, make: Callable[[], Mapping[str, Array]]) -> dict[str, Array]:
        """The arrays that ``make`` gives, from the folder where they were made of the same ``facts`` before.

        what: begins the file's name; facts: all that decides the arrays, for JSON. A file is there whole or not at all.
        Raises BiocosmosError for a damaged one.
        """
        if self.folder is None:
            self.made += 1
            return dict(make())
        told = json.dumps([what, package_version(), facts], sort_keys=True, default=str)
        path = self.folder / f"{what}-{hashlib.sha256(told.encode()).hexdigest()[:20]}.npz"
        if path.exists():
            self.found += 1
            return read_arrays(path, {}, what=f"a kept {what}", remedy="remove the file and run again")
        self.made += 1
        arrays = dict(make())
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        return arrays


def digest(*arrays: Array) -> str:
    """A name for what is in the arrays."""
    sha = hashlib.sha256()
    for array in arrays:
        array = np.asarray(array)
        sha.update(f"{array.dtype}{array.shape}".encode())
        sha.update("\0".join(map(str, array)).encode() if array.dtype == object else np.ascontiguousarray(array).data)
    return sha.hexdigest()[:20]
