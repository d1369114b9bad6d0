"""Roll-back: answer at the lowest rank that is sure enough."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from biocosmos.errors import BiocosmosError

# Issue 2, section 5: "answer at the lowest rank whose calibrated confidence reaches a threshold (default 0.9)".
DEFAULT_THRESHOLD = 0.9


def check_threshold(threshold: float) -> float:
    """Refuse a threshold outside (0, 1]."""
    if not 0 < threshold <= 1:
        raise BiocosmosError(
            f"threshold {threshold} is not a confidence: choose one above 0 and at most 1 (default {DEFAULT_THRESHOLD})"
        )
    return float(threshold)


def lowest_sure_rank(confidence: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
    """Index of the lowest (last) rank whose confidence is at least ``threshold``; -1 when none is.

    confidence: (q, R) float64, ranks coarse to fine, NaN where the path has no node. Returns (q,) int64.
    """
    sure = np.nan_to_num(confidence, nan=-1.0) >= threshold
    last = confidence.shape[1] - 1 - np.argmax(sure[:, ::-1], axis=1)
    return np.where(sure.any(axis=1), last, -1)


def pick(values: NDArray[np.generic], rank: NDArray[np.int64], missing: float) -> NDArray[np.generic]:
    """values[i, rank[i]], or ``missing`` where rank is -1: (q,)."""
    out = values[np.arange(len(values)), np.maximum(rank, 0)].copy()
    out[rank < 0] = missing
    return out
