"""How large each specimen's image is, before it is scaled to what a model takes: for plankton, a matter of taxonomy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from biocosmos.embed.reader import ImageReader, StoredImages
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.errors import Failures
from biocosmos.specimens.collection import Collection


def image_sizes(
    collection: Collection, ids: Sequence[str], *, failures: Failures | None = None, stage: str = "train"
) -> npt.NDArray[np.float32]:
    """(n, 2) natural logarithms of height and width in pixels of the images, or of their crops, in the order of ``ids``.

    Read from the files' headers; no pixel is decoded. An image that cannot be read is a row of ``failures`` and has the mean of
    the others. Raises BiocosmosError for ids the collection does not have.
    """
    reader = ImageReader(StoredImages(collection, ids), Preprocessing(), stage=stage, failures=failures)
    logarithms = reader.log_sizes()
    missing = np.isnan(logarithms[:, 0])
    if missing.any():
        logarithms[missing] = logarithms[~missing].mean(0) if (~missing).any() else 0.0
    return logarithms
