"""The space in which one looks for what is near: fewer axes than the vectors have, and as good."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
SPACE_DIMS = 256
ENOUGH = 50_000
"""Rows from which the axes are found; of more every second, third, ..."""


def reduced(vectors: Array, dims: int = SPACE_DIMS) -> Array:
    """(n, p) float32 unit rows: the vectors on their first ``dims`` principal axes, centred; as they are if they have no more."""
    x = np.asarray(vectors, np.float32)
    if not len(x) or x.shape[1] <= dims:
        return x
    some = x[:: -(-len(x) // ENOUGH)]
    mean = some.mean(axis=0)
    spread = sum(((part := some[start : start + 8192] - mean).T @ part).astype(np.float64) for start in range(0, len(some), 8192))
    axes = np.linalg.eigh(spread)[1][:, ::-1][:, :dims].astype(np.float32)
    out = x @ axes - mean @ axes
    lengths = np.linalg.norm(out, axis=1, keepdims=True)
    return np.ascontiguousarray(np.divide(out, lengths, out=np.zeros_like(out), where=lengths > 1e-9))
