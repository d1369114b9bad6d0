"""Where the picture of a specimen is, and a mark that changes when what is seen on it does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa

from biocosmos.images import Crop
from biocosmos.search.conditions import quoted
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.damage import reading

Find = Callable[[str], int]
"""The position of an id in the collection's storage order, -1 where it is not known."""
COLUMNS = ("id", "image", "image_path", "crop", "content_hash")
NO_IMAGE = "no image"
NOTHING = "none"
"""The mark of a specimen without an image."""


@dataclass(frozen=True)
class Picture:
    """The image of a specimen: packed bytes, a path, or None; ``mark`` as :func:`mark_of`."""

    id: str
    source: bytes | str | None
    crop: Crop | None
    mark: str

    def stamp(self) -> str:
        """Size and time of change of its file; "" where it is packed, absent or gone."""
        return stamp_of(self.source) if isinstance(self.source, str) else ""


def mark_of(content_hash: str | None, crop: Sequence[float] | None) -> str:
    """What is seen, in letters and digits: the hash of the image file and, where only a part is shown, of its box.

    >>> mark_of("5f3c", None), mark_of(None, None)
    ('5f3c', 'none')
    """
    mark = content_hash or NOTHING
    if crop is None:
        return mark
    box = ",".join(f"{value:g}" for value in crop)
    return f"{mark}-{hashlib.sha256(box.encode()).hexdigest()[:8]}"


def stamp_of(path: str | None) -> str:
    """Size and time of change of a file; "" where there is none."""
    if path is None:
        return ""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return ""
    return f"{found.st_size}:{found.st_mtime_ns}"


class Pictures:
    """The pictures of a collection as it is now, whatever another process changed since it was opened.

    find: where a specimen is stored, if somebody knows; an answer that is wrong costs a search and does no harm.
    """

    def __init__(self, collection: Collection, find: Find | None = None) -> None:
        self._collection, self._find = collection, find

    def of(self, id_: str) -> Picture | None:
        """The picture of one specimen; None where the collection has no such specimen."""
        table = self._row(id_, COLUMNS)
        return _pictures(table)[0] if table.num_rows else None

    def barcode(self, id_: str) -> str | None:
        """The barcode of one specimen; None where it has none or the collection has no such specimen."""
        if "barcode" not in self._collection.dataset.schema.names:
            return None
        return next((barcode or None for barcode in self._row(id_, ("id", "barcode"))["barcode"].to_pylist()), None)

    def _row(self, id_: str, columns: Sequence[str]) -> pa.Table:
        """Cells of the specimen of this id, which is among the columns; a table without a row where there is none."""
        dataset = self._collection.dataset
        place = -1 if self._find is None else self._find(id_)
        with reading(self._collection.path):
            if 0 <= place < dataset.count_rows():
                found = dataset.take([place], columns=list(columns))
                if found["id"][0].as_py() == id_:
                    return found
            return dataset.to_table(columns=list(columns), filter=f"id = {quoted(id_)}", limit=1)

    def at(self, dataset: lance.LanceDataset, places: Sequence[int]) -> list[Picture]:
        """The pictures of the specimens stored at these places, in their order."""
        return _pictures(dataset.take(list(places), columns=list(COLUMNS)))


def _pictures(table: pa.Table) -> list[Picture]:
    batch = table.combine_chunks().to_batches()[0] if table.num_rows else None
    if batch is None:
        return []
    rows: list[dict[str, Any]] = batch.select(["id", "crop", "content_hash"]).to_pylist()
    return [
        Picture(
            row["id"],
            Collection.image_source(batch, i),
            None if row["crop"] is None else tuple(row["crop"]),
            mark_of(row["content_hash"], row["crop"]),
        )
        for i, row in enumerate(rows)
    ]
