"""The space in which one looks for what is near: fewer axes than the vectors have, and as good."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
SPACE_DIMS = 256
ENOUGH = 50_000
"""Rows from which the axes are found; of more every second, third, ..."""
WIDE = 4096
"""Numbers of a vector above which the axes are sketched, from so many rows: counts of 7-mers have 16,384, whose scatter matrix
takes 2 GB and half an hour."""
SPARE, ROUNDS = 16, 3
"""Of the sketch: axes more than are wanted, and rounds of sharpening."""


def reduced(vectors: Array, dims: int = SPACE_DIMS) -> Array:
    """(n, p) float32 unit rows: the vectors on their first ``dims`` principal axes, centred; as they are if they have no more."""
    x = np.asarray(vectors, np.float32)
    if not len(x) or x.shape[1] <= dims:
        return x
    some = x[:: -(-len(x) // ENOUGH)]
    mean = some.mean(axis=0)
    axes = _axes(some, mean, dims) if x.shape[1] <= WIDE else _sketched(some[:: -(-len(some) // WIDE)] - mean, dims)
    out = x @ axes - mean @ axes
    lengths = np.linalg.norm(out, axis=1, keepdims=True)
    return np.ascontiguousarray(np.divide(out, lengths, out=np.zeros_like(out), where=lengths > 1e-9))


def _axes(x: Array, mean: Array, dims: int) -> Array:
    """(p, dims) the first principal axes of the rows."""
    parts = (x[start : start + 8192] - mean for start in range(0, len(x), 8192))
    spread = sum((part.T @ part).astype(np.float64) for part in parts)
    return np.asarray(np.linalg.eigh(spread)[1][:, ::-1][:, :dims], np.float32)


def _sketched(centred: Array, dims: int) -> Array:
    """(p, at most dims) the same for wide rows, by subspace iteration from random axes (Halko, Martinsson and Tropp 2011, SIAM
    Review 53, algorithm 4.4)."""
    count = min(dims + SPARE, len(centred))
    found: Array = np.random.default_rng(0).standard_normal((centred.shape[1], count)).astype(np.float32)
    for _ in range(ROUNDS):
        found = np.linalg.qr(centred.T @ (centred @ found))[0]
    return np.asarray(found @ np.linalg.svd(centred @ found, full_matrices=False)[2][:dims].T)
