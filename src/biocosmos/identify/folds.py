"""Which specimens of a gallery are hidden from what names them: folds within each taxon."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from biocosmos.search.gallery import Gallery

FOLDS = 5


def fold_numbers(gallery: Gallery, seed: int) -> NDArray[np.int64]:
    """(n,) int64 fold of each row in 0..FOLDS-1, balanced within each class; -1 for rows alone in their class."""
    assert gallery.taxa is not None
    random = np.random.default_rng(seed)
    starts = np.unique(gallery.taxa, return_index=True)[1]
    out = np.full(len(gallery), -1, np.int64)
    for a, b in zip(starts, np.append(starts[1:], len(gallery))):
        if b - a > 1:
            out[a:b] = (random.permutation(b - a) + random.integers(FOLDS)) % FOLDS
    return out
