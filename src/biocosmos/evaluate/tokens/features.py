"""How far two encoders give the same features of the same images, whatever basis they write them in.

first, second: (n, d1) and (n, d2) features, a row an image. Every feature is centred over the images and the whole is divided by
its Frobenius norm before anything is measured. All are distances: 0 for the same features, turned (or mixed, for CCA) and scaled.

CCA needs many more images than features: with n - 1 at most d1 or d2 any two encoders correlate perfectly, and it is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError

Array = npt.NDArray[Any]
RANK = 1e-6
"""Singular values below this share of the largest are noise of float32 and no direction."""


class Distances(NamedTuple):
    """Of two encoders' features; each in [0, 1], ``procrustes`` in [0, 2]."""

    cka: float
    pwcca: float
    cca: float
    squared_cca: float
    procrustes: float


def normalised(features: Array) -> Array:
    """(n, d) float64: every column centred, Frobenius norm 1; zeros where all rows are the same."""
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or not np.isfinite(features).all():
        raise BiocosmosError(f"features must be (images, features) finite numbers, not of shape {features.shape}")
    features = features - features.mean(0, keepdims=True)
    norm = float(np.linalg.norm(features))
    return features / norm if norm > 0 else features


@dataclass(frozen=True)
class Prepared:
    """Features of one encoder, ready to be compared with many others: normalised, and an orthonormal basis of their columns."""

    features: Array
    basis: Array

    @classmethod
    def of(cls, features: Array) -> Prepared:
        """features: (n, d)."""
        features = normalised(features)
        return cls(features, _basis(features))


def distances(first: Array | Prepared, second: Array | Prepared) -> Distances:
    """All of :class:`Distances`. Raises BiocosmosError where the images are not as many."""
    one, two = (side if isinstance(side, Prepared) else Prepared.of(side) for side in (first, second))
    _same_images(one.features, two.features)
    own = (one.features, two.features)
    return Distances(_cka(*own), *_canonical(one.features, one.basis, two.basis), _procrustes(*own))


def cka(first: Array, second: Array) -> float:
    """1 - |X'Y|_F^2 / (|X'X|_F |Y'Y|_F): linear centred kernel alignment (Kornblith et al. 2019, arXiv:1905.00414, equation 3).
    Does not change when either side is turned or scaled."""
    return _cka(*_both(first, second))


def cca(first: Array, second: Array) -> float:
    """1 - mean of the canonical correlations (Raghu et al. 2017, arXiv:1706.05806, without its singular value cut): does not
    change under any invertible linear map of either side."""
    return distances(first, second).cca


def squared_cca(first: Array, second: Array) -> float:
    """1 - mean of the squared canonical correlations, as :func:`cca`."""
    return distances(first, second).squared_cca


def pwcca(first: Array, second: Array) -> float:
    """1 - mean of the canonical correlations, each weighed by how much of ``first`` its direction carries: the sum over the
    features of |<direction, feature>| (Morcos et al. 2018, arXiv:1806.05759, section 3). Not symmetric."""
    return distances(first, second).pwcca


def procrustes(first: Array, second: Array) -> float:
    """|X|_F^2 + |Y|_F^2 - 2 |X'Y|_*: what is left between both after the best rotation (Schoenemann 1966; Ding et al. 2021,
    arXiv:2108.01661); in [0, 2] since both have norm 1."""
    return _procrustes(*_both(first, second))


def _both(first: Array, second: Array) -> tuple[Array, Array]:
    one, two = normalised(first), normalised(second)
    _same_images(one, two)
    return one, two


def _same_images(one: Array, two: Array) -> None:
    if len(one) != len(two):
        raise BiocosmosError(f"features of the same images are compared, not of {len(one):,} and {len(two):,}")


def _cka(one: Array, two: Array) -> float:
    own = float(np.linalg.norm(one.T @ one) * np.linalg.norm(two.T @ two))
    return float("nan") if own == 0 else max(1 - float(np.linalg.norm(one.T @ two)) ** 2 / own, 0.0)


def _procrustes(one: Array, two: Array) -> float:
    squares = float((one**2).sum() + (two**2).sum())
    return max(squares - 2 * float(np.linalg.svd(one.T @ two, compute_uv=False).sum()), 0.0)


def _canonical(one: Array, left: Array, right: Array) -> tuple[float, float, float]:
    """(PWCCA, mean CCA, mean squared CCA) distances. one: the first's features; left, right: the bases of both."""
    shared = min(left.shape[1], right.shape[1])
    if not shared or len(one) - 1 <= max(left.shape[1], right.shape[1]):
        return float("nan"), float("nan"), float("nan")
    turn, found, _ = np.linalg.svd(left.T @ right, full_matrices=False)
    found = np.clip(found[:shared], 0, 1)
    carried = np.abs((left @ turn[:, :shared]).T @ one).sum(1)
    return 1 - float(carried @ found / carried.sum()), 1 - float(found.mean()), 1 - float((found**2).mean())


def _basis(features: Array) -> Array:
    """(n, rank) orthonormal columns that span the centred features."""
    left, values, _ = np.linalg.svd(features, full_matrices=False)
    return np.asarray(left[:, values > RANK * values.max(initial=0.0)])
