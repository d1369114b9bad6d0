"""What every way of naming has in common: scores of queries over the candidate taxa."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
NodeArray = NDArray[np.int32]
RowArray = NDArray[np.int64]

# Elements of the largest temporary array (64 MB of float32): queries are streamed in chunks under this size.
CHUNK_ELEMENTS = 1 << 24


class Scorer(Protocol):
    """Scores over candidate taxa; a higher score is a better match, on a scale of the method's own.

    ``candidates``: (C,) int32 taxonomy nodes, ascending; the columns of every score matrix.
    """

    candidates: NodeArray

    def scores(self, queries: FloatArray) -> FloatArray:
        """queries: (q, d) float32 unit vectors. Returns (q, C) float32; -inf for a candidate that has nothing to compare with."""
        ...

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The fitted arrays, for saving; empty when they follow from the gallery."""
        ...


def query_chunk(candidates: int) -> int:
    """Queries a chunk so that a (queries, candidates) array stays under :data:`CHUNK_ELEMENTS`."""
    return max(1, min(1024, CHUNK_ELEMENTS // max(1, candidates)))
