"""A few of a collection's own images, to calibrate a quantised model and to measure it."""

from __future__ import annotations

import numpy as np
import torch

from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.errors import BiocosmosError, ImageError
from biocosmos.specimens.collection import Collection

_SPARE = 2
"""Rows looked at for each image wanted: some have none, or one that cannot be read."""


def sample_images(collection: Collection, preprocessing: Preprocessing, count: int, *, offset: float = 0.0) -> torch.Tensor:
    """Up to ``count`` images from all over the collection, always the same ones.

    ``offset`` in 0..1 shifts the rows between those of offset 0, so that two samples need not share an image.

    Returns: (n, 3, size, size) uint8, n <= count. Raises BiocosmosError if not one image can be read.
    """
    rows = len(collection)
    wanted = min(_SPARE * count, rows)
    positions = np.unique(((np.arange(wanted) + offset) * rows / max(wanted, 1)).astype(np.int64))
    order = np.concatenate([positions[::_SPARE], positions[1::_SPARE]])  # the spare ones last
    found: list[torch.Tensor] = []
    for position in order:
        if len(found) == count:
            break
        row = collection.dataset.take([int(position)], columns=["image", "image_path", "crop"])
        batch = row.combine_chunks().to_batches()[0]
        source, crop = collection.image_source(batch, 0), batch.column("crop")[0].as_py()
        if source is None:
            continue
        try:
            found.append(preprocessing.read(source, crop))
        except ImageError:
            continue
    if not found:
        raise BiocosmosError(f"no image of {collection.path} can be read: see its failures")
    return torch.stack(found)
