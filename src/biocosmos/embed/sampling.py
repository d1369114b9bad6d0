"""A few of a collection's own images, to calibrate a quantised model and to measure it."""

from __future__ import annotations

import numpy as np
import torch

from biocosmos.embed.reader import ImageReader, StoredImages
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.collection import Collection

_SPARE = 2
"""Rows looked at for each image wanted: some have none, or one that cannot be read."""
_TOGETHER = 8


def sample_images(collection: Collection, preprocessing: Preprocessing, count: int, *, offset: float = 0.0) -> torch.Tensor:
    """Up to ``count`` images from all over the collection, always the same ones.

    ``offset`` in 0..1 shifts the rows between those of offset 0, so that two samples need not share an image.

    Returns: (n, 3, size, size) uint8, n <= count. Raises BiocosmosError if not one image can be read.
    """
    rows = len(collection)
    wanted = min(_SPARE * count, rows)
    positions = np.unique(((np.arange(wanted) + offset) * rows / max(wanted, 1)).astype(np.int64))
    order = np.concatenate([positions[::_SPARE], positions[1::_SPARE]])  # the spare ones last
    reader = ImageReader(StoredImages(collection, positions=order), preprocessing)
    found: list[torch.Tensor] = []
    for batch in reader.batches(_TOGETHER):
        found += list(batch.images[torch.from_numpy(batch.good)])
        if len(found) >= count:
            break
    if not found:
        raise BiocosmosError(f"no image of {collection.path} can be read: see its failures")
    return torch.stack(found[:count])
