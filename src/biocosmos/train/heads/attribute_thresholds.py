"""Figures and thresholds of classes of which several may be true, on the validation part."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.attributes import TRUE, UNKNOWN, Attribute

HALF = 0.5
Floats = npt.NDArray[np.floating[Any]]


def best_threshold(p: Floats, true: npt.NDArray[np.int8], beta: float) -> float:
    """The threshold with the largest F-beta when a class is said where p >= threshold; of equal ones the largest, half-way down
    to the next lower score. p: (n,); true: (n,) of 1, 0 and -1, which does not count. HALF where no specimen has the class."""
    known = true != UNKNOWN
    p, positive = np.asarray(p, np.float64)[known], true[known] == TRUE
    if not positive.any():
        return HALF
    order = np.argsort(-p, kind="stable")
    scores, hits = p[order], np.cumsum(positive[order])
    ends = np.flatnonzero(np.append(scores[1:] < scores[:-1], True))  # a score is cut off whole
    said, hit = ends + 1.0, hits[ends]
    f = (1 + beta**2) * hit / (beta**2 * positive.sum() + said)
    best = int(f.argmax())
    below = scores[ends[best] + 1] if ends[best] + 1 < len(scores) else 0.0
    return float((scores[ends[best]] + below) / 2)


def average_precision(p: Floats, true: npt.NDArray[np.int8]) -> float | None:
    """Sum over the positives' scores of (recall gained) * precision, ties taken together; None without a positive."""
    known = true != UNKNOWN
    p, positive = np.asarray(p, np.float64)[known], true[known] == TRUE
    if not positive.any():
        return None
    order = np.argsort(-p, kind="stable")
    scores, hits = p[order], np.cumsum(positive[order])
    ends = np.flatnonzero(np.append(scores[1:] < scores[:-1], True))
    return float((np.diff(hits[ends], prepend=0) * hits[ends] / (ends + 1.0)).sum() / positive.sum())


def importance_of(source: str, task: Attribute) -> npt.NDArray[np.float64]:
    """(C,) weights of a task's classes."""
    raise BiocosmosError(f"no importance in {source}")
