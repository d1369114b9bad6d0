"""How much of a stream of specimens is in memory at once, and the arrays that everything here is made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
NodeArray = NDArray[np.int32]
RowArray = NDArray[np.int64]

BLOCK_ELEMENTS = 1 << 24
"""Numbers in the largest temporary table (64 MB of float32): streams are cut into blocks under this size."""
LARGEST_BLOCK = 1024


def block_rows(columns: int) -> int:
    """Specimens a block, so that a table of (specimens, columns) stays under :data:`BLOCK_ELEMENTS`."""
    return max(1, min(LARGEST_BLOCK, BLOCK_ELEMENTS // max(1, columns)))
