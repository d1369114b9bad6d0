"""Views of an image: its eight turned and mirrored copies, and the mean of their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.encoders.input_size import at_size
from biocosmos.encoders.registry import build_encoder, load_towers
from biocosmos.encoders.views import VIEWS, check_views, view
from biocosmos.errors import BiocosmosError, ImageError
from biocosmos.machine import usable_cores
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
    preprocessing = loaded.preprocessing
    read: list[str] = []
    parts: list[Array] = []

    def prepared(source: tuple[bytes | str | None, Any]) -> torch.Tensor | None:
        image, crop = source
        try:
            return None if image is None else preprocessing.read(image, crop)
        except ImageError:
            return None

    with progress(f"embed {len(views)} views", total=len(ids), unit="images") as bar, ThreadPoolExecutor(usable_cores()) as pool:
        for start in range(0, len(ids), READ_ROWS):
            wanted = [str(id_) for id_ in ids[start : start + READ_ROWS]]
            table = collection.take(wanted, columns=["image", "image_path", "crop"])
            rows = table.combine_chunks().to_batches()[0]
            crops = rows.column("crop").to_pylist()
            images = list(pool.map(prepared, [(collection.image_source(rows, i), crops[i]) for i in range(rows.num_rows)]))
            kept = [i for i, image in enumerate(images) if image is not None]
            read += [rows.column("id")[i].as_py() for i in kept]
            if kept:
                batch = torch.stack([image for image in images if image is not None])
                parts.append(np.stack([loaded.encode_images(view(batch, number)) for number in views], 1))
            bar.advance(len(wanted))
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
