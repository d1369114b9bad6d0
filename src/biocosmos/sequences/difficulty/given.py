"""Vectors of individuals that were made elsewhere."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from biocosmos.arrays import DAMAGE
from biocosmos.errors import BiocosmosError, first_line
from biocosmos.sequences.difficulty.measure import Features

PARTS = ("frame", "id", "feat")
_DAMAGE = (*DAMAGE, AttributeError)
"""Also of what NumPy gives as bytes, since it is no array."""


class GivenFeatures:
    """A .npz with the arrays frame (n,) number of the frame, id (n,) individual and feat (n, dim), each under ``<sequence>/``.

    Those of a single sequence may stand without it. Raises BiocosmosError for a file that is nothing of the kind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not zipfile.is_zipfile(path):
            raise BiocosmosError(f"{path} is no .npz of vectors: write it with numpy.savez")
        try:
            self._stored = np.load(path, allow_pickle=False)
            names = list(self._stored.files)
        except _DAMAGE as error:
            raise BiocosmosError(f"{path} is no .npz of vectors: {first_line(error)}") from error
        self.sequences = sorted({name.rpartition("/")[0] for name in names})
        for sequence in self.sequences:
            for part in PARTS:
                if self._key(sequence, part) not in names:
                    wanted = ", ".join(f"<sequence>/{each}" for each in PARTS)
                    raise BiocosmosError(f"{path} has no array '{self._key(sequence, part)}': it needs {wanted}")

    def of(self, name: str, *, only: bool) -> Features | None:
        """Those of a sequence; None where there are none. only: it is the only sequence, and may go unnamed."""
        found = name if name in self.sequences else name.rpartition("/")[2]
        if found not in self.sequences:
            if not (only and self.sequences == [""]):
                return None
            found = ""
        try:
            frame, track, vectors = (self._stored[self._key(found, part)] for part in PARTS)
            return Features(frame.astype(np.int64), track, vectors.astype(np.float64) if vectors.dtype.kind in "iu" else vectors)
        except _DAMAGE as error:
            raise BiocosmosError(f"{self.path}: the arrays of '{found}' cannot be read: {first_line(error)}") from error

    @staticmethod
    def _key(sequence: str, part: str) -> str:
        return f"{sequence}/{part}" if sequence else part
