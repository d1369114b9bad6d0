"""A threshold with a promise: Learn then Test on the error among answered specimens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from biocosmos.errors import BiocosmosError
from biocosmos.identify.confidence.rollback import lowest_sure_rank, pick

# Thresholds tried, from the safest down.
_GRID = np.round(np.arange(0.999, 0.5, -0.001), 3)
# Shares of the specimens that must be answered where a sequence of tests starts. From a start with few answers one error ends
# the sequence, so there are several starts, which share delta.
_STARTS = (0.125, 0.25, 0.5, 0.75)


def threshold_for_risk(confidence: NDArray[np.float64], right: NDArray[np.int8], risk: float, delta: float) -> float:
    """The lowest threshold t whose selective risk, P(answer wrong | answered), is at most ``risk`` with probability 1 - delta.

    Angelopoulos, Bates, Candes, Jordan, Lei: Learn then Test, 2021, arXiv:2110.01052, with exact binomial p-values and fixed
    sequence testing from safe thresholds down, several sequences sharing delta: each stops at the first threshold that it
    cannot certify, and all they certified hold together. Where a sequence starts depends on how many specimens are answered,
    never on what is right, so the promise stands. A specimen is answered when some rank reaches t; its answer, at the lowest
    such rank, is wrong when it is neither the truth nor an ancestor of it.

    confidence: (n, R) of calibration specimens that nothing else was fitted on; right: (n, R) int8 of :func:`paths.judge`.
    Answers that cannot be judged are left out. Raises BiocosmosError when no threshold can be certified.
    """
    if not (0 < risk < 1 and 0 < delta < 1):
        raise BiocosmosError(f"risk {risk} and delta {delta} must both be between 0 and 1, for example risk 0.05 and delta 0.1")
    answered, wrong = np.empty(len(_GRID), np.int64), np.empty(len(_GRID), np.int64)
    for i, t in enumerate(_GRID):
        outcome = pick(right, lowest_sure_rank(confidence, t), -1).astype(np.int64)
        answered[i], wrong[i] = (outcome >= 0).sum(), (outcome == 0).sum()
    certified = binom.cdf(wrong, answered, risk) <= delta / len(_STARTS)
    lowest = -1
    for share in _STARTS:
        start = int(np.argmax(answered >= share * len(right)))
        if answered[start] < share * len(right):
            continue
        failing = np.flatnonzero(~certified[start:])
        lowest = max(lowest, start + (int(failing[0]) if len(failing) else len(_GRID) - start) - 1 if certified[start] else -1)
    if lowest < 0:
        needed = int(np.ceil(np.log(delta / len(_STARTS)) / np.log1p(-risk)))
        raise BiocosmosError(
            f"no threshold keeps the error under {risk:.0%} with probability {1 - delta:.0%} on {len(right)} specimens: "
            f"allow more risk, or calibrate on more (at least {needed} must be answered)"
        )
    return float(_GRID[lowest])
