"""Where two columns of specimens differ, row by row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Mask = npt.NDArray[np.bool_]


def distinct(one: pa.Array, other: pa.Array) -> Mask:
    """(n,) whether two values differ; null equals null, and not-a-number itself."""
    if pa.types.is_nested(one.type) or one.type != other.type:
        return np.array([a != b for a, b in zip(one.to_pylist(), other.to_pylist())], bool)
    there, here = np.asarray(one.is_valid()), np.asarray(other.is_valid())
    unequal = pc.not_equal(one, other).fill_null(False)
    if pa.types.is_floating(one.type):
        unequal = pc.and_(unequal, pc.invert(pc.and_(pc.is_nan(one), pc.is_nan(other)).fill_null(False)))
    return np.asarray((there != here) | unequal.to_numpy(zero_copy_only=False), bool)
