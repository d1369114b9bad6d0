"""A threshold for each class of a set, chosen on validation specimens, never on those that are judged."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.evaluate.attributes.multi_label import checked
from biocosmos.identify.attributes import HALF

Array = npt.NDArray[Any]


def tuned(probabilities: Array, values: Array, beta: float = 2.0) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """The threshold of each class with the highest F_beta of that class on validation specimens, where >= it is said.

    probabilities, values: (n, C) as for :func:`multi_label`. A threshold lies halfway between two scores; of several that are as
    good, the one nearest to 0.5. Returns (thresholds (C,), found (C,) bool): a class that is true of no specimen, or of all, has
    0.5 and is not found.
    """
    probabilities, values = checked(probabilities, values)
    classes = probabilities.shape[1]
    thresholds, found = np.full(classes, HALF), np.zeros(classes, bool)
    for k in range(classes):
        known = values[:, k] >= 0
        true = values[known, k] == 1
        if true.any() and not true.all():
            thresholds[k], found[k] = _best(probabilities[known, k], true, beta), True
    return thresholds, found


def _best(scores: Array, true: Array, beta: float) -> float:
    order = np.argsort(-scores, kind="stable")
    scores, right = scores[order], np.cumsum(true[order])
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # said: everything down to here
    f = (1 + beta**2) * right[last] / (last + 1 + beta**2 * right[-1])
    below = np.append(scores[last[:-1] + 1], 0.0)
    halfway = (scores[last] + below) / 2
    halfway = np.where(halfway > below, halfway, scores[last])  # neighbours among the floats have nothing between them
    best = np.flatnonzero(f >= f.max() - 1e-12)
    return float(halfway[best[np.argmin(np.abs(halfway[best] - HALF))]])
