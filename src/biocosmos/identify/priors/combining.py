"""A classifier's answer and a prior of places, combined on the leaves: q ∝ p · max(g / π, floor)^β.

p is what the classifier says, fitted on shares π of the taxa; g the shares at the place. Where g = π nothing changes, and the sum
of the leaves of a taxon is its own share, so that the answer stays coherent at all ranks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


def combined(
    p: npt.ArrayLike, g: npt.ArrayLike, base: npt.ArrayLike | None = None, *, floor: float = 0.005, exponent: float = 1.0
) -> Float64:
    """(n, C) float64, rows sum to 1: p weighed by g and renormalised.

    Args:
        p: (n, C) probabilities of the leaves. g: (n, C) shares or presence scores at each place; nan: not known there, the factor
            is 1.
        base: (C,) shares that p was fitted on; None: the factor is g itself, as SINR and iNaturalist have it.
        floor: the least factor: a taxon never seen near by becomes unlikely, not impossible. exponent: β; 0 leaves p as it is.

    A row whose weighed probabilities are all 0 stays as it is.
    """
    said, shares = np.asarray(p, np.float64), np.asarray(g, np.float64)
    ratio = shares if base is None else shares / np.maximum(np.asarray(base, np.float64), 1e-12)
    factor = np.where(np.isnan(ratio), 1.0, np.maximum(ratio, floor) ** exponent)
    weighed = said * factor
    total = weighed.sum(1, keepdims=True)
    return np.asarray(np.where(total > 0, weighed / np.where(total > 0, total, 1), said))


def inner_as_published(p: npt.ArrayLike, g: npt.ArrayLike, members: npt.NDArray[np.bool_], *, floor: float = 0.005) -> Float64:
    """(n, m) scores of inner nodes as iNaturalist's vision API has them: Σ p · max g over the leaves of each, not renormalised.

    members: (m, C) which leaves lie under which node. Not the sum of the leaves' own scores, so that ranks may disagree; ours is
    :func:`combined` and then a sum.
    """
    said, shares = np.asarray(p, np.float64), np.maximum(np.asarray(g, np.float64), floor)
    most = np.stack([shares[:, member].max(1) for member in members], 1)
    return np.asarray(said @ members.T.astype(np.float64) * most)
