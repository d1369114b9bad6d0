"""Another instrument: a linear head from the specimens of before and a few labels of each class from the new source."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.identify.namers.linear import LinearHead


def refitted(
    vectors: npt.NDArray[np.float32],
    taxa: npt.NDArray[np.int32],
    new_vectors: npt.NDArray[np.float32],
    new_taxa: npt.NDArray[np.int32],
) -> LinearHead:
    """A head fitted on both; vectors (n, d), taxa (n,) nodes, and the same anew. Each specimen counts once: on PlanktonSet it was
    no better to count new ones 4 or 12 times.

    Raises BiocosmosError: no new specimen, vectors of another width, taxa that were not known before.
    """
    if not len(new_vectors) or len(new_vectors) != len(new_taxa):
        raise BiocosmosError("give labels of the new source: about five specimens of each class")
    if new_vectors.shape[1] != vectors.shape[1]:
        raise BiocosmosError(f"vectors of {new_vectors.shape[1]} numbers do not go with those of {vectors.shape[1]}: embed alike")
    if len(strange := np.setdiff1d(new_taxa, taxa)):
        raise BiocosmosError(f"{len(strange)} of the labelled taxa are not among those known: add them to the collection")
    return LinearHead.fit(np.concatenate([vectors, new_vectors]), np.concatenate([taxa, new_taxa]))
