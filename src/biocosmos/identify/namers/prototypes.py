"""SimpleShot: few-shot prototypes on centred, normalised features."""

from __future__ import annotations

import numpy as np

from biocosmos.errors import BiocosmosError
from biocosmos.identify.blocks import FloatArray, NodeArray


class SimpleShot:
    """Nearest class mean after centring: with m the mean of the training rows, z(x) = (x - m) / |x - m|, mu_c the mean of z
    over class c (not normalised again), score_c(q) = -|z(q) - mu_c|^2.

    Wang, Chao, Weinberger, van der Maaten: SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot Learning,
    2019, arXiv:1911.04623 (CL2N). The squared distance ranks classes as the distance does, and is what a softmax expects.

    ``mean``: (d,) float32; ``prototypes``: (C, d) float32; ``candidates``: (C,) int32 ascending.
    """

    def __init__(self, candidates: NodeArray, mean: FloatArray, prototypes: FloatArray) -> None:
        self.candidates, self.mean, self.prototypes = candidates, mean, prototypes
        self._squares = np.einsum("cd,cd->c", prototypes, prototypes)

    @classmethod
    def fit(cls, vectors: FloatArray, taxa: NodeArray) -> SimpleShot:
        """Fit on ``vectors`` (n, d) float32 with taxonomy nodes ``taxa`` (n,) int32 in any order."""
        mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        candidates, position = np.unique(taxa, return_inverse=True)
        centred = _centred(vectors, mean)
        sums = np.zeros((len(candidates), vectors.shape[1]))
        order = np.argsort(position, kind="stable")
        starts = np.searchsorted(position[order], np.arange(len(candidates)))
        for c, rows in enumerate(np.split(order, starts[1:])):
            sums[c] = centred[rows].mean(axis=0, dtype=np.float64)
        if not np.isfinite(sums).all():
            raise BiocosmosError("simpleshot: the class means are not finite; look for NaN in the gallery's vectors")
        return cls(candidates.astype(np.int32), mean, sums.astype(np.float32))

    def scores(self, queries: FloatArray) -> FloatArray:
        """Minus the squared Euclidean distance to each prototype: (q, C) float32 in [-4, 0]."""
        z = _centred(queries, self.mean)
        squares = np.einsum("qd,qd->q", z, z)[:, None] + self._squares[None] - 2 * (z @ self.prototypes.T)
        out: FloatArray = -np.maximum(squares, 0).astype(np.float32)
        return out


def _centred(x: FloatArray, mean: FloatArray) -> FloatArray:
    difference = x - mean
    norms = np.linalg.norm(difference, axis=1, keepdims=True)
    # A vector that is the mean itself has no direction: leave it at the origin, as far from every class as the others allow.
    out: FloatArray = (difference / np.where(norms > 0, norms, 1)).astype(np.float32)
    return out
