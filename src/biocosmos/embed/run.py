"""The rows that need a vector, in fixed blocks: each is decoded, encoded and written as a part file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import lance
import numpy as np
import numpy.typing as npt

from biocosmos.embed.parts import Part, Work
from biocosmos.embed.reader import ImageBatch, ImageReader, Rows, StoredImages, ahead
from biocosmos.embed.summary import EmbedSummary
from biocosmos.encoders.encoder import Encoder, Vectors
from biocosmos.progress import progress
from biocosmos.specimens.collection import Collection

PART_ROWS = 1024
"""Rows of a part file: at most so many images are decoded again after a kill."""


@dataclass(frozen=True)
class _Item:
    """The rows of one run of the model, numbers in the pending ones; or a block that is ``done``."""

    block: int
    ids: list[str]
    rows: Rows
    done: Part | None = None


class Blocks:
    """The pending rows of one version of a dataset in blocks of :data:`PART_ROWS`, each a part file of ``work``.

    Args:
        pending: (n,) int64 positions of the rows whose image must be read, ascending.
        batch_size: images per run of the model; workers: threads that decode and encode.
    """

    def __init__(
        self,
        collection: Collection,
        dataset: lance.LanceDataset,
        pending: Rows,
        encoder: Encoder,
        work: Work,
        batch_size: int,
        workers: int,
    ) -> None:
        self.pending = pending
        self._dataset, self._encoder, self._work = dataset, encoder, work
        self._batch_size, self._workers = batch_size, workers
        images = StoredImages(collection, positions=pending, dataset=dataset)
        self._reader = ImageReader(images, encoder.preprocessing, required=False)

    def compute(self, summary: EmbedSummary) -> int:
        """Make the part file of every block that has none, counted in ``summary``; returns how many images were encoded."""
        computed = 0
        part: Part | None = None
        enter, leave = self._encoder.enter_thread, self._encoder.leave_thread
        made = ahead(self._encode, self._items(), self._workers, enter=enter, leave=leave)
        with progress(f"embed with {self._encoder.name}", total=len(self.pending), unit="images") as bar:
            for item, batch, vectors in made:
                if item.done is not None:
                    summary.resumed += int(item.done.valid.sum())
                    _count(item.done, summary)
                    bar.advance(len(item.ids))
                    continue
                if part is None:
                    part = Part.empty(item.ids, self._encoder.dim)
                first = int(item.rows[0]) % PART_ROWS
                rows = slice(first, first + len(item.rows))
                part.vectors[rows], part.valid[rows] = vectors, batch.good
                part.failures += [(first + one.place, one.path, one.reason) for one in batch.unread]
                computed += int(batch.good.sum())
                bar.advance(len(item.rows))
                if rows.stop == len(part.ids):
                    part.save(self._work.part(item.block))
                    _count(part, summary)
                    part = None
        return computed

    def load(self, block: int) -> Part | None:
        """The part file of a block, if it is whole and of these rows."""
        return Part.load(self._work.part(block), self._ids(block), self._encoder.dim)

    def _items(self) -> Iterator[_Item]:
        """The runs of the model for every block in order; for a block that is done, its part."""
        for block in range(-(-len(self.pending) // PART_ROWS)):
            first, last = block * PART_ROWS, min((block + 1) * PART_ROWS, len(self.pending))
            ids = self._ids(block)
            done = Part.load(self._work.part(block), ids, self._encoder.dim)
            if done is not None:
                yield _Item(block, ids, np.arange(first, last), done)
                continue
            for start in range(first, last, self._batch_size):
                yield _Item(block, ids, np.arange(start, min(start + self._batch_size, last)))

    def _ids(self, block: int) -> list[str]:
        positions = self.pending[block * PART_ROWS : (block + 1) * PART_ROWS]
        return [str(id_) for id_ in self._dataset.take(positions.tolist(), columns=["id"])["id"].to_pylist()]

    def _encode(self, item: _Item) -> tuple[_Item, ImageBatch, Vectors]:
        """Decode and encode the rows of one run, in a thread of the pool. An image that fails is black in its place."""
        batch = self._reader.read(item.rows if item.done is None else item.rows[:0])
        vectors: Vectors = np.zeros((len(batch.rows), self._encoder.dim), np.float32)
        if batch.good.any():
            encoded: npt.NDArray[np.float32] = self._encoder.encode_images(batch.images, together=self._batch_size)
            vectors[batch.good] = encoded[batch.good]
        return item, batch, vectors


def _count(part: Part, summary: EmbedSummary) -> None:
    made = int(part.valid.sum())
    summary.images += made
    summary.failed += len(part.failures)
    summary.without_image += len(part.ids) - made - len(part.failures)
    for row, source, reason in part.failures:
        summary.failures.add(reason, stage="embed", source=source, id=part.ids[row])
