"""Novel specimens of a batch, with a stated share of false alarms among those flagged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from biocosmos.errors import BiocosmosError
from biocosmos.identify.novelty.distances import p_values

Float64 = NDArray[np.float64]
# A p that equals its bound in arithmetic may miss it by a rounding.
_HAIR = 1e-12


def novel_in_batch(scores: Float64, calibration: Float64, rate: float = 0.1) -> NDArray[np.bool_]:
    """Which of a batch are novel, such that the expected share of known specimens among those flagged is at most ``rate``.

    Conformal p-values and Benjamini-Hochberg over the batch; the p-values share their calibration specimens, under which the
    procedure still holds: Bates, Candes, Lei, Romano, Sesia: Testing for Outliers with Conformal p-values, 2023,
    arXiv:2104.08279. It rests on the known specimens of the batch being exchangeable with the calibration specimens.

    scores: (q,) float64 of any novelty detector, higher is more novel, NaN never flagged; calibration: (n,) of known
    specimens that neither head nor detector was fitted on. Returns (q,) bool. No p is under 1/(n + 1): with few calibration
    specimens, and a large batch, a few novel ones cannot be told.
    """
    return benjamini_hochberg(p_values(np.asarray(scores, np.float64), np.asarray(calibration, np.float64)), rate)


def benjamini_hochberg(p: Float64, rate: float) -> NDArray[np.bool_]:
    """Benjamini & Hochberg 1995: reject the k smallest of m p-values, k the largest with p_(k) <= rate k / m; NaN is no test.

    p: (m,) float64; returns (m,) bool. Raises BiocosmosError for a rate not between 0 and 1.
    """
    if not 0 < rate < 1:
        raise BiocosmosError(f"false discovery rate {rate} must be between 0 and 1, for example 0.1")
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    under = p[order] <= rate * np.arange(1, len(order) + 1) / max(len(order), 1) + _HAIR
    out = np.zeros(len(p), np.bool_)
    if under.any():
        out[order[: np.flatnonzero(under)[-1] + 1]] = True
    return out
