"""Prototypes of images where what varies within a species counts less: pose, light and rotation say nothing about a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from biocosmos.identify.blocks import FloatArray, NodeArray
from biocosmos.identify.namer import FitOptions, GalleryNamer
from biocosmos.search.gallery import Gallery

SHRINKAGE = 1.0
"""Of the covariance within taxa, in units of its mean variance. Chosen on validation parts (docs/modalities.md)."""


class WhitenedPrototypes(GalleryNamer):
    """The cosine of z(x) = L^-1 (x - m), where L L' is the covariance within taxa, shrunk to a multiple of the identity, with the
    mean of z of each taxon, both of unit length: nearest class mean of linear discriminant analysis, by cosine.

    Of unit length, since the mean of one image is longer than that of many, and a taxon must not be judged by how often it was
    seen. Ledoit, Wolf: A well-conditioned estimator for large-dimensional covariance matrices, Journal of Multivariate Analysis
    2004 (shrinkage).
    """

    name, says = "whitened", "its mean after whitening by what varies within taxa; part of the method 'fused'"
    centre: FloatArray
    root: FloatArray
    prototypes: FloatArray

    @classmethod
    def fit(cls, gallery: Gallery, options: FitOptions) -> Self:
        """Means of the whitened vectors."""
        assert gallery.taxa is not None
        made = cls()
        made.centre = gallery.vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        made.root = _root(gallery.vectors - made.centre, gallery.taxa)
        classes, of = np.unique(gallery.taxa, return_inverse=True)
        sums = np.zeros((len(classes), gallery.dim), np.float32)
        np.add.at(sums, of, made._white(gallery.vectors))
        made.prototypes = _unit(sums)
        return made.known(gallery, classes.astype(np.int32))

    def _white(self, vectors: FloatArray) -> FloatArray:
        return _unit(solve_triangular(self.root, (vectors - self.centre).T, lower=True, check_finite=False).T)

    def scores(self, vectors: FloatArray) -> FloatArray:
        """Cosines with the prototypes: (n, C)."""
        return np.asarray(self._white(vectors) @ self.prototypes.T, np.float32)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Mean, what whitens, and prototypes."""
        return {"centre": self.centre, "root": self.root, "prototypes": self.prototypes}

    @classmethod
    def restore(cls, gallery: Gallery, classes: NodeArray, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """From its arrays."""
        made = cls()
        made.centre, made.root, made.prototypes = (np.asarray(arrays[name]) for name in ("centre", "root", "prototypes"))
        return made.known(gallery, classes)


def _unit(vectors: FloatArray) -> FloatArray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1.0), np.float32)


def _root(centred: FloatArray, taxa: NodeArray) -> FloatArray:
    """(d, d) float32 lower triangle, the Cholesky factor of the shrunk covariance within taxa."""
    _, of, count = np.unique(taxa, return_inverse=True, return_counts=True)
    means = np.zeros((len(count), centred.shape[1]), np.float32)
    np.add.at(means, of, centred)
    rest = (centred - (means / count[:, None].astype(np.float32))[of])[count[of] > 1]
    freedom = max(1, int((count[count > 1] - 1).sum()))
    within = (rest.T @ rest).astype(np.float64) / freedom
    mean = float(np.trace(within)) / len(within)
    if not mean > 0:  # every taxon has one specimen
        return np.eye(centred.shape[1], dtype=np.float32)
    within[np.diag_indices_from(within)] += SHRINKAGE * mean
    return np.linalg.cholesky(within).astype(np.float32)
