"""How many blocks each place of the image gets through before its patch is dropped, on average: a map; and how far two are alike.

Measures of maps are those of saliency models (Bylinskii et al. 2019, arXiv:1604.03605); KL, JS, EMD and SIM take the maps as
distributions, each divided by its sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError

Array = npt.NDArray[Any]
TINY = 1e-12
"""Added to shares before their logarithm, so that a place that one map has at zero is far and not infinitely far."""


class Likeness(NamedTuple):
    """Of two maps. kl: bits, of the first given the second, not symmetric; js: bits, in [0, 1]; emd: patches that the mass has to
    move on average; sim: shared mass, in [0, 1]; pearson, spearman: NaN where a map is flat."""

    kl: float
    js: float
    emd: float
    sim: float
    pearson: float
    spearman: float


def depths(kept: Sequence[Array], blocks: Sequence[int], total: int) -> Array:
    """(n, patches) float64: the block after which, or before which, each patch was dropped, ``total`` if never.

    kept: (n, patches) bool a stage, in order; blocks: the block of each stage, from 0; total: blocks of the encoder.
    """
    if not kept or len(kept) != len(blocks):
        raise BiocosmosError(f"a map needs the kept patches of each stage: there are {len(kept)} of {len(blocks)} stages")
    found = np.full(np.shape(kept[0]), float(total))
    for mask, block in zip(reversed(kept), reversed(blocks)):
        found[~np.asarray(mask, bool)] = block  # the earliest stage is written last
    return found


def mean_map(found: Array, grid: tuple[int, int]) -> Array:
    """(rows, columns) mean over images of :func:`depths` (n, patches)."""
    if found.ndim != 2 or found.shape[1] != grid[0] * grid[1]:
        raise BiocosmosError(f"a grid of {grid[0]} x {grid[1]} patches cannot hold depths of shape {found.shape}")
    return np.asarray(found.mean(0).reshape(grid))


def likeness(first: Array, second: Array) -> Likeness:
    """All measures of two maps (rows, columns) of depths, none negative. Raises BiocosmosError for maps of two sizes."""
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape or first.ndim != 2 or first.min() < 0 or second.min() < 0:
        raise BiocosmosError(f"maps of one grid are compared, without negative depths, not {first.shape} and {second.shape}")
    one, two = _shares(first), _shares(second)
    return Likeness(
        kl(one, two),
        js(one, two),
        earth_movers(one, two, grid_distances(first.shape)),
        float(np.minimum(one, two).sum()),
        correlation(first.ravel(), second.ravel()),
        correlation(ranks(first.ravel()), ranks(second.ravel())),
    )


def kl(one: Array, two: Array) -> float:
    """sum p log2(p / q), bits; both (m,) shares that sum to 1."""
    return max(float((one * np.log2((one + TINY) / (two + TINY))).sum()), 0.0)


def js(one: Array, two: Array) -> float:
    """The mean of both KL to their mean, bits: Jensen and Shannon's divergence, not its root."""
    middle = (one + two) / 2
    return min((kl(one, middle) + kl(two, middle)) / 2, 1.0)


def earth_movers(one: Array, two: Array, costs: Array) -> float:
    """The least mass x distance that turns one into the other (Rubner et al. 2000); costs: (m, m)."""
    import ot  # type: ignore[import-untyped]

    return float(ot.emd2(one, two * (one.sum() / two.sum()), costs))


def grid_distances(grid: tuple[int, ...]) -> Array:
    """(m, m) Euclidean distances between the places of a grid, in patches."""
    places = np.stack(np.meshgrid(*(np.arange(side) for side in grid), indexing="ij"), -1).reshape(-1, len(grid))
    return np.asarray(np.linalg.norm((places[:, None] - places[None]).astype(np.float64), axis=-1))


def correlation(one: Array, two: Array) -> float:
    """Pearson's of (m,) each; NaN where one is constant."""
    one, two = one - one.mean(), two - two.mean()
    own = float(np.sqrt((one**2).sum() * (two**2).sum()))
    return float(np.clip((one * two).sum() / own, -1, 1)) if own > TINY else float("nan")


def ranks(values: Array) -> Array:
    """(m,) mean ranks."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(values), np.float64)


def _shares(values: Array) -> Array:
    total = values.sum()
    return values.ravel() / total if total > 0 else np.full(values.size, 1 / values.size)
