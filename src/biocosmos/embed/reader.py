"""The images of a collection's specimens, for the one reader of images; what it reads is described there.

reader = ImageReader(StoredImages(collection, ids), preprocessing, stage="identify", failures=failures)
for batch in reader.batches(64):
    batch.ids, batch.images, batch.good, batch.log_sizes
"""

from __future__ import annotations

from collections.abc import Sequence

import lance
import numpy as np

from biocosmos.encoders.image_reader import ImageBatch, ImageFiles, ImageReader, ImageSource, Rows, StoredImage, Unread, ahead
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.positions import positions_of

__all__ = ["ImageBatch", "ImageFiles", "ImageReader", "ImageSource", "Rows", "StoredImage", "StoredImages", "Unread", "ahead"]

_COLUMNS = ["id", "image", "image_path", "crop"]


class StoredImages:
    """The images of specimens, numbered in the order of ``ids``, or as they are stored.

    Args:
        ids: of the specimens; default all of them.
        positions: in place of ids, their places in ``dataset``.
        dataset: one version of the collection's; default the newest, which is then kept whatever is added meanwhile.

    Raises:
        BiocosmosError: the collection has no specimen of such an id.
    """

    def __init__(
        self,
        collection: Collection,
        ids: Sequence[str] | None = None,
        *,
        positions: Rows | None = None,
        dataset: lance.LanceDataset | None = None,
    ) -> None:
        self._collection = collection
        self._dataset = collection.dataset if dataset is None else dataset
        if ids is not None:
            positions = _positions(self._dataset, ids, str(collection.path))
        elif positions is None:
            positions = np.arange(self._dataset.count_rows(), dtype=np.int64)
        self.positions = positions
        """(n,) int64 places in the dataset."""

    def __len__(self) -> int:
        return len(self.positions)

    def fetch(self, rows: Rows) -> list[StoredImage]:
        """See :class:`ImageSource`. The store is read in its own order, which is its fastest."""
        asked, back = np.unique(self.positions[rows], return_inverse=True)
        found = self._dataset.take(asked.tolist(), columns=_COLUMNS).combine_chunks().to_batches()
        if not found:
            return []
        ids, crops = found[0].column("id").to_pylist(), found[0].column("crop").to_pylist()
        images = [
            StoredImage(ids[i], self._collection.image_source(found[0], i), None if crops[i] is None else tuple(crops[i]))
            for i in range(len(ids))
        ]
        return [images[i] for i in back]


def _positions(dataset: lance.LanceDataset, ids: Sequence[str], where: str) -> Rows:
    """Where specimens are stored. Raises BiocosmosError for an id that none has."""
    places = positions_of(dataset, ids)
    absent = list(dict.fromkeys(str(ids[int(i)]) for i in np.flatnonzero(places < 0)))
    if absent:
        raise BiocosmosError(
            f"{where} has no specimen '{absent[0]}' ({len(absent):,} of {len(set(map(str, ids))):,} are not there)"
        )
    return places
