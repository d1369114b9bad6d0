"""Judge shares sample by sample (González et al. 2017, Validation methods for plankton image classification systems): the error
of a community is what a user has, not that of an image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from biocosmos.identify.quantification.methods import Float64

PRESENT = 0.002
"""Share from which a taxon counts as there: one of 500 specimens."""


def made_communities(
    truth: npt.NDArray[np.int64], *, count: int = 100, specimens: int = 500, alpha: float = 0.3, seed: int = 0
) -> Iterator[npt.NDArray[np.int64]]:
    """Rows of made communities: shares Dirichlet(alpha) over the classes of ``truth`` (n,), specimens drawn with replacement."""
    rng, classes = np.random.default_rng(seed), np.unique(truth)
    rows = {each: np.flatnonzero(truth == each) for each in classes}
    for _ in range(count):
        counts = rng.multinomial(specimens, rng.dirichlet(np.full(len(classes), alpha)))
        yield np.concatenate([rng.choice(rows[each], number) for each, number in zip(classes, counts)])


def errors(found: Float64, true: Float64) -> dict[str, float]:
    """Of shares (C,): Bray-Curtis (half the sum of differences), |ΔH| of Shannon's diversity, taxa too many or too few."""
    return {
        "bray_curtis": float(np.abs(found - true).sum() / 2),
        "shannon": abs(_shannon(found) - _shannon(true)),
        "richness": float((found >= PRESENT).sum() - (true >= PRESENT).sum()),
    }


def _shannon(shares: Float64) -> float:
    there = shares[shares > 0]
    return float(-(there * np.log(there)).sum())
