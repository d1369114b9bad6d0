"""How large each specimen's image is, before it is scaled to what a model takes: for plankton, a matter of taxonomy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError, ImageError
from biocosmos.images import inspect_image, read_image
from biocosmos.specimens.collection import Collection

BLOCK = 1024


def image_sizes(collection: Collection, ids: Sequence[str]) -> npt.NDArray[np.float32]:
    """(n, 2) natural logarithms of height and width in pixels of the images, or of their crops, in the order of ``ids``.

    Read from the files' headers; no pixel is decoded. An image that cannot be read has the mean of the others. Raises
    BiocosmosError for ids the collection does not have.
    """
    sizes = np.full((len(ids), 2), np.nan)
    for start in range(0, len(ids), BLOCK):
        asked = list(ids[start : start + BLOCK])
        table = collection.take(asked, columns=["id", "image", "image_path", "crop"])
        if len(table) < len(asked):
            absent = next(iter(set(asked) - set(table["id"].to_pylist())), asked[0])
            raise BiocosmosError(f"{collection.path} has no specimen '{absent}'")
        batch = table.combine_chunks().to_batches()[0]
        for row in range(len(batch)):
            sizes[start + row] = _size(collection, batch, row)
    missing = np.isnan(sizes[:, 0])
    logarithms = np.log(sizes)
    logarithms[missing] = logarithms[~missing].mean(0) if (~missing).any() else 0.0
    return np.asarray(logarithms, np.float32)


def _size(collection: Collection, batch: pa.RecordBatch, row: int) -> tuple[float, float]:
    """(height, width) in pixels of the part that is looked at, upright; not a number when the image cannot be read."""
    source, crop = collection.image_source(batch, row), batch["crop"][row].as_py()
    try:
        if source is None:
            raise ImageError("no image")
        info = inspect_image(source)
        height, width = info.height, info.width
        if "EXIF rotation" in info.notes:  # the header's sides are those before it
            height, width = read_image(source).pixels.shape[:2]
    except ImageError:
        return np.nan, np.nan
    if crop is None:
        return height, width
    x, y, crop_width, crop_height = crop
    inside_x = min(x + crop_width, width) - max(x, 0)
    inside_y = min(y + crop_height, height) - max(y, 0)
    return max(1, inside_y), max(1, inside_x)
