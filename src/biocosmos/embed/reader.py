"""The images of a collection's specimens, for the one reader of images; what it reads is described there.

reader = ImageReader(StoredImages(collection, ids), preprocessing, stage="identify", failures=failures)
for batch in reader.batches(64):
    batch.ids, batch.images, batch.good, batch.log_sizes
"""

from __future__ import annotations

from collections.abc import Sequence

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.encoders.image_reader import ImageBatch, ImageFiles, ImageReader, ImageSource, Rows, StoredImage, Unread, ahead
from biocosmos.errors import BiocosmosError
from biocosmos.specimens.collection import Collection

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
    """Where specimens are stored, by one pass over the ids that keeps nothing but the answer."""
    asked = [str(id_) for id_ in ids]
    distinct = list(dict.fromkeys(asked))
    places = np.full(len(distinct), -1, np.int64)
    wanted, position = pa.array(distinct, pa.string()), 0
    for batch in dataset.to_batches(columns=["id"]):
        column = batch.column("id").cast(pa.string())
        which = pc.index_in(column, value_set=wanted).fill_null(-1).to_numpy(zero_copy_only=False)
        found = np.flatnonzero(which >= 0)
        places[which[found]] = found + position
        position += len(column)
    if (places < 0).any():
        absent = [distinct[i] for i in np.flatnonzero(places < 0)]
        raise BiocosmosError(f"{where} has no specimen '{absent[0]}' ({len(absent):,} of {len(distinct):,} are not there)")
    row = {id_: i for i, id_ in enumerate(distinct)}
    return places[[row[id_] for id_ in asked]] if asked else np.empty(0, np.int64)
