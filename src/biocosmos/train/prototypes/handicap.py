"""How much seen taxa must be held back so that unseen ones are answered too: calibrated stacking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
HANDICAPS = np.round(np.arange(0.0, 0.605, 0.01), 2)
"""What is tried, in units of cosine."""


@dataclass(frozen=True)
class Handicap:
    """handicap: what is taken from the cosine of a seen taxon; seen, unseen: share right at it, mean over taxa; harmonic: their
    harmonic mean, the figure of Xian et al. 2018 (Zero-shot learning, a comprehensive evaluation, arXiv:1707.00600)."""

    handicap: float
    harmonic: float
    seen: float
    unseen: float


def harmonic_mean(a: float, b: float) -> float:
    """2 a b / (a + b), 0 where both are 0."""
    return 2 * a * b / (a + b) if a + b > 0 else 0.0


def best_handicap(vectors: Array, truth: Array, points: Array, seen: Array, unseen: Array) -> Handicap:
    """The handicap of :data:`HANDICAPS` at which the harmonic mean is largest, the smallest such one.

    vectors: (n, d) unit; truth: (n,) taxa; points: (K, d) unit; seen, unseen: (K,) bool, together the candidates. A specimen is
    right when no other candidate scores as high. Without specimens of unseen taxa the handicap is 0 and the harmonic mean stands
    for the seen share. Chao et al. 2016, arXiv:1605.04253.
    """
    scores = vectors @ points.T
    rows = np.arange(len(truth))
    own = scores[rows, truth].copy()
    scores[rows, truth] = -np.inf
    best_seen = np.where(seen, scores, -np.inf).max(axis=1, initial=-np.inf)
    best_unseen = np.where(unseen, scores, -np.inf).max(axis=1, initial=-np.inf)
    is_seen = seen[truth]
    counts = np.bincount(truth, minlength=len(points))
    asked = counts > 0

    def shares(handicap: float) -> tuple[float, float]:
        right = np.where(
            is_seen,
            (own > best_seen) & (own - handicap > best_unseen),
            (own > best_unseen) & (own > best_seen - handicap),
        )
        share = np.bincount(truth, right, minlength=len(points)) / np.maximum(counts, 1)
        return tuple(float(share[some & asked].mean()) if (some & asked).any() else np.nan for some in (seen, unseen))  # type: ignore[return-value]

    if not (unseen & asked).any():
        alone = shares(0.0)[0]
        return Handicap(0.0, alone, alone, float("nan"))
    best = Handicap(0.0, -1.0, 0.0, 0.0)
    for handicap in HANDICAPS:
        a, b = shares(float(handicap))
        if harmonic_mean(a, b) > best.harmonic:
            best = Handicap(float(handicap), harmonic_mean(a, b), a, b)
    return best
