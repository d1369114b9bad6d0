"""Distances between specimens, from which energy distances are made."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Number = TypeVar("Number", np.float32, np.float64)


def distances(features: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Euclidean distances (n, n) of n specimens (n, d), in the type of the features."""
    x = features - features.mean(axis=0)
    squares = (x * x).sum(axis=1)
    found = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * (x @ x.T), 0))
    np.fill_diagonal(found, 0)
    return np.asarray(found, features.dtype)


def drawn_rows(number: int, most: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """At most ``most`` of ``number`` rows, ascending."""
    return np.sort(rng.permutation(number)[:most])
