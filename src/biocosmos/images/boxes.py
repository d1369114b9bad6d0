"""Boxes in a picture, beside one another."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def overlap(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """(n, m) float64 intersection over union of boxes (n, 4) and (m, 4), x, y, width, height; 0 where both have no area."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, :2] + one[:, None, 2:], other[None, :, :2] + other[None, :, 2:])
    common = np.prod(np.maximum(high - low, 0.0), axis=2)
    union = np.prod(one[:, None, 2:], axis=2) + np.prod(other[None, :, 2:], axis=2) - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))
