"""A namer: the taxon whose three nearest specimens are nearest on average."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from biocosmos.identify.namer import FitOptions, GalleryNamer
from biocosmos.search.gallery import Gallery

NEAREST = 3


class NearestThree(GalleryNamer):
    """score(q, c) = mean of the three highest cosines between q and the specimens of c, or of all where c has fewer."""

    name: ClassVar[str] = "nearest-three"
    says: ClassVar[str] = "the mean cosine to its three nearest members"

    @classmethod
    def fit(cls, gallery: Gallery, options: FitOptions) -> Self:
        """Nothing is learnt; rows of one taxon stand together in a gallery, so that a class is a slice of it."""
        assert gallery.taxa is not None
        namer = cls()
        classes, starts = np.unique(gallery.taxa, return_index=True)
        namer._members = [gallery.vectors[rows] for rows in np.split(np.arange(len(gallery)), starts[1:])]
        return namer.known(gallery, classes)

    def scores(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(n, d) unit vectors -> (n, C), higher is nearer. Temperature, calibration and roll-back are not a namer's business."""
        best = [np.sort(vectors @ members.T, axis=1)[:, -NEAREST:].mean(axis=1) for members in self._members]
        return np.stack(best, axis=1).astype(np.float32)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What was fitted, to be saved: nothing beyond the gallery."""
        return {}

    @classmethod
    def restore(cls, gallery: Gallery, classes: npt.NDArray[np.int32], arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """The namer again, when an identifier is loaded."""
        return cls.fit(gallery, FitOptions())
