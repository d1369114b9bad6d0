"""The nearest specimen of each, by the exact search."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.search.exact import ExactIndex

Array = npt.NDArray[Any]


def nearest(vectors: Array, gallery: Array, *, own: Array | bool = False) -> Array:
    """(n,) int64 row of the nearest of ``gallery`` by cosine, the first of equals.

    vectors, gallery: float32 unit vectors. own: (n,) row of the gallery that is the specimen itself and is
    not found, -1 for none; True: row i is.
    """
    if own is False:
        return ExactIndex(gallery).search(vectors, 1).rows[:, 0]
    mine = np.arange(len(vectors)) if own is True else own
    found = ExactIndex(gallery).search(vectors, min(2, len(gallery))).rows
    return np.where(found[:, 0] == mine, found[:, -1], found[:, 0])
