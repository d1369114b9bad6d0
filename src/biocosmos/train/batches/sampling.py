"""Which specimens an epoch sees: those of rare taxa more often, those of common ones less."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError

_SAMPLING = 7
"""Keeps this stream of random numbers apart from that of the plain order."""


def chances(targets: npt.NDArray[Any], q: float) -> npt.NDArray[np.float64]:
    """(n,) how often an epoch of n sees each specimen on average: in proportion to (size of its taxon)^-q.

    targets: (n,) integers, equal for specimens of one taxon; those below 0, outliers, are seen once. q: 0, as they are, to
    1, every taxon as often. Raises BiocosmosError for another q.
    """
    if not 0 <= q <= 1:
        raise BiocosmosError(f"the q of sampling must be 0 to 1, not {q:g}")
    targets = np.asarray(targets)
    known = targets >= 0
    out = np.ones(len(targets))
    if known.any():
        _, code, sizes = np.unique(targets[known], return_inverse=True, return_counts=True)
        weights = sizes[code] ** -float(q)
        out[known] = weights * (known.sum() / weights.sum())
    return out


def drawn(targets: npt.NDArray[Any], q: float, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """The order of an epoch, (n,) rows: each specimen as often as :func:`chances` says, rounded up or down at random.

    Drawn systematically (Madow 1949), which wastes nothing: a taxon of 3 specimens that is due 30 times is seen 29 to 31
    times, 9 to 11 times each, and no specimen of a common taxon comes twice before each had its turn. The same for the same
    seed and epoch.
    """
    targets = np.asarray(targets)
    rng = np.random.default_rng([seed, epoch, _SAMPLING])
    mixed = rng.permutation(len(targets))
    order = mixed[np.argsort(targets[mixed], kind="stable")]  # taxa together, each in a random order
    due = np.cumsum(chances(targets, q)[order])
    ticks = np.arange(len(targets)) + rng.random()
    # the last sum is n but for rounding: no tick may fall beyond it
    rows = order[np.minimum(np.searchsorted(due, ticks, side="right"), len(targets) - 1)]
    return rng.permutation(rows).astype(np.int64)
