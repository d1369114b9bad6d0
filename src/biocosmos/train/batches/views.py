"""Views of an image: its eight turned and mirrored copies, and the mean of their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.embed.reader import ImageReader, StoredImages
from biocosmos.encoders.input_size import at_size
from biocosmos.encoders.registry import build_encoder, load_towers
from biocosmos.encoders.views import VIEWS, check_views, view
from biocosmos.errors import BiocosmosError
from biocosmos.progress import progress
from biocosmos.specimens.collection import Collection

READ_ROWS = 128

Array = npt.NDArray[Any]


def vectors_of_views(
    collection: Collection,
    encoder: str,
    ids: Sequence[str] | Array,
    views: Sequence[int],
    digest: str | None = None,
    size: int | None = None,
) -> tuple[Array, Array]:
    """Vectors of several views of each image.

    ids: specimens, in the order wanted; those whose image cannot be read are left out. digest: of the weights they must be
    made with. size: side of the input, pixels; by default the encoder's own.
    Returns: (n,) ids that were read, (n, len(views), dim) float32 unit vectors.
    Raises BiocosmosError when the encoder has other weights than ``digest``, or no image can be read.
    """
    if not views or min(views) < 0 or max(views) >= VIEWS:
        raise BiocosmosError(
            f"views are numbered 0 to {VIEWS - 1}, not {list(views)}: the turned and mirrored copies of an image"
        )
    towers = load_towers(encoder)
    if digest is not None and towers.digest != digest:
        raise BiocosmosError(
            f"'{encoder}' has other weights now ({towers.digest}) than the stored vectors ({digest}): embed again"
        )
    loaded = build_encoder(encoder, towers if size is None else at_size(towers, size))
    reader = ImageReader(StoredImages(collection, [str(id_) for id_ in ids]), loaded.preprocessing)
    read: list[str] = []
    parts: list[Array] = []
    with progress(f"embed {len(views)} views", total=len(ids), unit="images") as bar:
        for batch in reader.batches(READ_ROWS):
            read += [id_ for id_, good in zip(batch.ids, batch.good) if good]
            if batch.good.any():
                images = batch.images[torch.from_numpy(batch.good)]
                parts.append(np.stack([loaded.encode_images(view(images, number)) for number in views], 1))
            bar.advance(len(batch.rows))
    if not read:
        raise BiocosmosError(f"no image of {collection.path} in this part can be read: see its failures")
    return np.array(read, dtype=object), np.concatenate(parts)


def mean_of_views(
    collection: Collection,
    encoder: str,
    ids: Sequence[str] | Array,
    views: int,
    digest: str | None = None,
    size: int | None = None,
) -> tuple[Array, Array]:
    """The mean over the first ``views`` views of each image, made unit length: (n,) ids that were read, (n, dim) float32."""
    read, vectors = vectors_of_views(collection, encoder, ids, range(check_views(views)), digest, size)
    mean = vectors.mean(1)
    return read, mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
