"""Whitening of an embedding: directions in which all vectors are alike count less, found without a label."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError

HALF = 0.5
"""Exponent: 1 makes every direction vary alike, noise too; 0 is a principal component analysis."""
BLOCK_ROWS = 16384
_LEAST = 1e-6  # of the largest variance: directions below it are rounding

Array = npt.NDArray[Any]


def whitening(vectors: Array, dim: int | None = None, power: float = HALF) -> tuple[Array, Array]:
    """The affine map y = W x + b onto principal components divided by (standard deviation)^power.

    vectors: (n, d) float32. dim: components kept at most; fewer if the vectors vary in fewer directions. The map is scaled so
    that a mapped vector is of length 1 on average.
    Returns: ((k, d) float32 W, (k,) float32 b). Raises BiocosmosError when the vectors are all alike.

    Jegou and Chum, Negative evidences and co-occurrences in image retrieval, ECCV 2012, use power 1.
    """
    n, d = vectors.shape
    mean = np.zeros(d)
    for start in range(0, n, BLOCK_ROWS):
        mean += vectors[start : start + BLOCK_ROWS].sum(0, dtype=np.float64)
    mean /= max(n, 1)
    covariance = np.zeros((d, d))
    for start in range(0, n, BLOCK_ROWS):
        centred = vectors[start : start + BLOCK_ROWS] - mean.astype(np.float32)
        covariance += centred.T @ centred
    variance, axes = np.linalg.eigh(covariance / max(n, 1))
    variance, axes = variance[::-1], axes[:, ::-1]
    vary = int((variance > _LEAST * max(float(variance[0]), 0.0)).sum()) if variance[0] > 0 else 0
    if not vary:
        raise BiocosmosError(f"the {n:,} vectors are all alike: there is nothing to whiten")
    kept = vary if dim is None else min(dim, vary)
    variance, axes = variance[:kept], axes[:, :kept]
    # of the first non-zero entry's sign the decomposition says nothing: fix it
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(kept)])
    w = (axes / variance ** (power / 2)).T
    length = np.sqrt((variance ** (1 - power)).sum())  # root mean square of |W (x - mean)|
    return (w / length).astype(np.float32), (-(w @ mean) / length).astype(np.float32)


def whitened(vectors: Array, power: float = HALF) -> Array:
    """The vectors (n, d) by :func:`whitening` of themselves, made unit length: (n, k) float32."""
    w, b = whitening(vectors, power=power)
    out = vectors @ w.T + b
    return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12), np.float32)
