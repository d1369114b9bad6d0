"""Namers that compare vectors with those of known specimens: the neighbour rules, and SimpleShot's prototypes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from biocosmos.identify.blocks import FloatArray, NodeArray
from biocosmos.identify.namer import FitOptions, GalleryNamer
from biocosmos.identify.namers.prototypes import SimpleShot
from biocosmos.identify.namers.rules import NeighbourRule
from biocosmos.search.gallery import Gallery


class ByRule(GalleryNamer):
    """A neighbour rule of :mod:`biocosmos.identify.namers.rules`."""

    @classmethod
    def fit(cls, gallery: Gallery, options: FitOptions) -> Self:
        """Nothing is learnt: a rule follows from its gallery."""
        return cls()._over(gallery)

    def _over(self, gallery: Gallery) -> Self:
        assert gallery.taxa is not None
        self._rule = NeighbourRule(self.name, gallery.vectors, gallery.taxa)
        return self.known(gallery, self._rule.candidates)

    def scores(self, vectors: FloatArray) -> FloatArray:
        """Cosines, or minus distances: (n, C)."""
        return self._rule.scores(vectors)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """None."""
        return {}

    @classmethod
    def restore(cls, gallery: Gallery, classes: NodeArray, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """The rule over its gallery."""
        return cls()._over(gallery)


class Nearest(ByRule):
    """By the nearest specimen."""

    name, says = "nearest", "the taxon of its nearest member, by cosine"


class ClassMean(ByRule):
    """By the mean cosine."""

    name, says = "class-mean", "the mean cosine to its members; a taxon of one specimen is favoured"


class NearestEuclidean(ByRule):
    """By the nearest specimen, Euclidean."""

    name, says = "nearest-euclidean", "the taxon of its nearest member, by Euclidean distance"


class ClassMeanEuclidean(ByRule):
    """By the mean distance."""

    name, says = "class-mean-euclidean", "the mean Euclidean distance to its members"


class Centroid(ByRule):
    """By the unit centroid."""

    name, says = "centroid", "the mean of its members, made unit length again"


class Prototypes(GalleryNamer):
    """SimpleShot as a namer."""

    name, says = "simpleshot", "its mean after centring (Wang et al. 2019); for a few specimens a taxon"

    @classmethod
    def fit(cls, gallery: Gallery, options: FitOptions) -> Self:
        """Means of the centred vectors."""
        assert gallery.taxa is not None
        return cls()._with(SimpleShot.fit(gallery.vectors, gallery.taxa), gallery)

    def _with(self, model: SimpleShot, gallery: Gallery) -> Self:
        self._model = model
        return self.known(gallery, model.candidates)

    def scores(self, vectors: FloatArray) -> FloatArray:
        """Minus squared distances to the prototypes: (n, C)."""
        return self._model.scores(vectors)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Mean and prototypes."""
        return {"mean": self._model.mean, "prototypes": self._model.prototypes}

    @classmethod
    def restore(cls, gallery: Gallery, classes: NodeArray, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """From its arrays."""
        model = SimpleShot(classes, np.asarray(arrays["mean"]), np.asarray(arrays["prototypes"]))
        return cls()._with(model, gallery)
