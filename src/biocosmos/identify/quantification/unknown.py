"""Shares where some specimens are of no class that the classifier knows: they are rejected first, then EM takes the others."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.identify.quantification.methods import Float64, Shares, quantify

UNKNOWN = "unknown"
REJECTED = 0.1
"""Share of known validation specimens that the threshold rejects."""


def threshold_of(scores: npt.ArrayLike, rejected: float = REJECTED) -> float:
    """The novelty above which a specimen is rejected: so many of the known validation specimens lie above it."""
    values = np.asarray(scores, np.float64)
    if not values.size:
        raise BiocosmosError("no validation specimens: where unknown taxa begin cannot be chosen")
    return float(np.quantile(values, 1 - rejected))


def quantify_open(
    method: str,
    posteriors: npt.ArrayLike,
    novelty: npt.ArrayLike,
    threshold: float,
    prior: npt.ArrayLike | None = None,
    *,
    kept: float | npt.ArrayLike = 1 - REJECTED,
    confusion: npt.ArrayLike | None = None,
    rows: npt.NDArray[np.int64] | None = None,
) -> tuple[Shares, float]:
    """(shares (C,) of the classes among the known, share of the unknown among all), as facts of the sample.

    Specimens whose ``novelty`` (n,) lies above ``threshold`` are rejected, and the method looks at the rest. Known ones are
    rejected too: ``kept`` is the share of validation specimens below the threshold, or (C,) that of each class, by which what
    is left of each class is scaled up again. What then is missing to n is unknown, at least 0. rows: of the specimens below the
    threshold those that the method looks at, None for all.
    """
    said, scores = np.asarray(posteriors, np.float64), np.asarray(novelty, np.float64)
    if scores.shape != said.shape[:1]:
        raise BiocosmosError(f"novelty of {scores.shape} does not go with {len(said)} specimens")
    below = scores <= threshold
    if not below.any():
        return Shares(np.full(said.shape[1], 1 / said.shape[1]), method, 0), 1.0
    found = quantify(method, said[below if rows is None else rows], prior, confusion=confusion)
    whole: Float64 = found.values * below.sum() / np.maximum(np.asarray(kept, np.float64), 1e-3)
    known = min(float(whole.sum()), float(len(said)))
    return Shares(whole / whole.sum(), method, found.steps, found.converged), 1 - known / len(said)
