"""The costs of published trackers: between n boxes of tracks and m boxes of a frame, x, y, width, height in pixels each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from biocosmos.images.boxes import overlap

Float64 = NDArray[np.float64]


def distance(first: Float64, second: Float64) -> Float64:
    """Between the centres of boxes (n, 4) and (m, 4): (n, m) float64, pixels."""
    one, other = first[:, :2] + first[:, 2:] / 2, second[:, :2] + second[:, 2:] / 2
    return np.asarray(np.linalg.norm(one[:, None] - other[None], axis=-1))


def area_ratio(first: Float64, second: Float64) -> Float64:
    """The smaller area over the larger: (n, m) float64, 1 for equal ones."""
    one, other = first[:, 2:].prod(axis=1)[:, None], second[:, 2:].prod(axis=1)[None]
    return np.asarray(np.minimum(one, other) / np.maximum(one, other))


def ami(first: Float64, second: Float64, diagonal: float, cosine: Float64 | None = None) -> Float64:
    """AMI data companion: (1 - cosine) + (1 - IoU) + (1 - area ratio) + distance / diagonal, the IoU rounded to two digits.

    cosine (n, m), None: the term is left out. Linked where the cost is at most 1.0.
    """
    cost = (1 - np.round(overlap(first, second), 2)) + (1 - area_ratio(first, second)) + distance(first, second) / diagonal
    return cost if cosine is None else cost + 1 - cosine


def insecttracking(first: Float64, second: Float64, diagonal: float) -> Float64:
    """Bjerge's insectTracking: 1.3 distance / diagonal + 0.7 (1 - area ratio). Linked where the cost is at most 0.6."""
    return 1.3 * distance(first, second) / diagonal + 0.7 * (1 - area_ratio(first, second))


def mcc24(first: Float64, second: Float64, diagonal: float, cosine: Float64 | None = None) -> Float64:
    """MCC24 trap: 2.5 distance / diagonal + 0.7 (1 - area ratio) + 1.5 (1 - cosine). Linked where the cost is at most 0.7.

    cosine (n, m), None: the term is left out.
    """
    cost = 2.5 * distance(first, second) / diagonal + 0.7 * (1 - area_ratio(first, second))
    return cost if cosine is None else cost + 1.5 * (1 - cosine)
