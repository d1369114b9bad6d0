"""Parts of splits as codes, read when a view first asks for one."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.specimens.splits import is_name

if TYPE_CHECKING:
    from biocosmos.serve.catalogue.stored import Stored
    from biocosmos.specimens.collection import Collection

DEFAULT = "default"
Int16 = npt.NDArray[np.int16]


@dataclass(frozen=True)
class SplitCodes:
    """codes: (n,) int16 into ``names``, -1 for a specimen that no part has."""

    codes: Int16
    names: tuple[str, ...]


class Parts:
    """The splits of a collection; thread-safe. A split that was made again is read again."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._lock = threading.Lock()
        self._read: dict[str, tuple[int, int, SplitCodes]] = {}

    @property
    def splits(self) -> list[str]:
        """Names of the splits, that which needs no name first."""
        return sorted(self._collection.split_names, key=lambda name: (name != DEFAULT, name))

    def split(self, stored: Stored, name: str) -> SplitCodes:
        """A split as codes of the rows of ``stored``. Raises BiocosmosError where there is none of the name, or it is damaged."""
        path = self._collection.path / "splits" / f"{name}.parquet"
        try:
            if not is_name(name):
                raise FileNotFoundError
            made = path.stat().st_mtime_ns
        except OSError:
            have = ", ".join(self.splits) or "none"
            raise BiocosmosError(f"no split '{name[:80]}' here (there is {have}): make it with 'biocosmos split'") from None
        with self._lock:
            version = id(stored.ids)
            if self._read.get(name, (0, 0))[:2] != (version, made):
                self._read[name] = (version, made, _codes(path, stored))
            return self._read[name][2]

    def of(self, stored: Stored, part: str) -> tuple[Int16, int]:
        """(codes, code) of "train" or "openworld:novel". Raises BiocosmosError for a part that is not there."""
        split, _, name = part.rpartition(":")
        found = self.split(stored, split or DEFAULT)
        if name not in found.names:
            have = ", ".join(found.names) or "none"
            raise BiocosmosError(f"split '{split or DEFAULT}' has no part '{name[:80]}': it has {have}")
        return found.codes, found.names.index(name)


def _codes(path: object, stored: Stored) -> SplitCodes:
    try:
        table = pq.read_table(path, columns=["id", "part"], read_dictionary=["part"])
        ids = table["id"].cast(pa.string()).combine_chunks()
        parts = table["part"].unify_dictionaries().combine_chunks()
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise BiocosmosError(f"{path} is damaged ({first_line(error)}): make the split again") from error
    codes = np.full(len(stored), -1, np.int16)
    if table.num_rows == 0:
        return SplitCodes(codes, ())
    rows = stored.rows_of_ids(ids)
    given = parts.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int16)
    codes[rows[rows >= 0]] = given[rows >= 0]
    return SplitCodes(codes, tuple(map(str, parts.dictionary.to_pylist())))
