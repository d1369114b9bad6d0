"""Training images out of a collection: decoded, prepared and changed by threads while the model computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.embed.reader import ImageReader, StoredImages, ahead
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.collection import Collection
from biocosmos.train.batches.augment import Augment
from biocosmos.train.batches.drawing import Drawing, Rows
from biocosmos.train.loop.loop import Batch, derived_seed


class Images:
    """The images of some specimens, as a model takes them, by their number.

    ids: of the specimens, n; missing ones raise BiocosmosError. Prepared images stay in memory, (n, 3, size, size) uint8,
    when all take at most ``cache_gb`` GiB. An image that cannot be read is a row of ``failures``, once.
    """

    def __init__(
        self,
        collection: Collection,
        ids: Sequence[str],
        preprocessing: Preprocessing,
        cache_gb: float = 0.0,
        *,
        failures: Failures | None = None,
    ) -> None:
        self.ids, self.preprocessing = list(ids), preprocessing
        self.failures = Failures() if failures is None else failures
        stored = StoredImages(collection, ids)
        self._positions = stored.positions
        self._reader = ImageReader(stored, preprocessing, stage="train", failures=self.failures)
        size = preprocessing.size
        self._kept: torch.Tensor | None = None
        if len(self.ids) * 3 * size * size <= cache_gb * 2**30:
            self._kept = torch.empty(len(self.ids), 3, size, size, dtype=torch.uint8)
        self._have = np.zeros(len(self.ids), np.bool_)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def in_memory(self) -> bool:
        """Whether prepared images stay there."""
        return self._kept is not None

    def read(self, rows: Rows) -> tuple[torch.Tensor, npt.NDArray[np.bool_]]:
        """((k, 3, size, size) uint8, (k,) whether the image could be read; one that could not is black)."""
        order = np.argsort(self._positions[rows], kind="stable")  # the store is fastest in its own order
        if self._kept is None:
            batch = self._reader.read(rows[order])
            back = np.argsort(order)
            return batch.images[back], batch.good[back]
        fresh = order[~self._have[rows[order]]]
        good = np.ones(len(rows), np.bool_)
        if len(fresh):
            batch = self._reader.read(rows[fresh])
            read = rows[fresh[batch.good]]
            self._kept[rows[fresh]] = batch.images
            self._have[read] = True
            good[fresh] = batch.good
        return self._kept[rows], good

    def blocks(self, size: int, workers: int | None = None) -> Iterator[tuple[Rows, torch.Tensor, npt.NDArray[np.bool_]]]:
        """All images in order, ``size`` at a time, read ahead: (rows, images, whether each could be read)."""
        yield from image_blocks(self, size, workers)


def image_blocks(
    images: Any, size: int, workers: int | None = None, *, start: int = 0
) -> Iterator[tuple[Rows, torch.Tensor, npt.NDArray[np.bool_]]]:
    """The images of a source from number ``start`` on in order, ``size`` at a time, read ahead by threads."""
    starts = range(start, len(images), size)
    yield from ahead(
        lambda first: ((rows := np.arange(first, min(first + size, len(images)))), *images.read(rows)), starts, workers
    )


class ImageBatches:
    """Shuffled, changed batches of images with their targets, the same ones for the same seed, epoch and process.

    images: what is drawn from; targets: (n, ...) int64 tensor; augment: how they are changed; rank, size: of this process;
    order: which rows an epoch sees (default each once, shuffled); see :class:`Drawing`.
    """

    def __init__(
        self,
        images: Images,
        targets: torch.Tensor,
        augment: Augment,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        size: int = 1,
        workers: int | None = None,
        order: Callable[[int], Rows] | None = None,
    ) -> None:
        self._images, self._targets, self._augment = images, targets, augment
        self._drawing = Drawing(len(images), batch_size, seed=seed, rank=rank, size=size, order=order)
        self.batch_size, self.count = self._drawing.batch_size, self._drawing.count
        self._seed, self._rank, self._workers = seed, rank, workers

    def epoch(self, epoch: int, start: int) -> Iterator[Batch]:
        """Batches ``start`` to ``count`` of an epoch."""
        order = self._drawing.order(epoch)

        def make(number: int) -> Batch:
            rows = self._drawing.rows(order, number)
            images, good = self._images.read(rows)
            if not good.any():
                raise BiocosmosError(
                    f"none of {len(rows)} images can be read, '{self._images.ids[rows[0]]}' among them: see the failures"
                )
            if not good.all():  # another specimen of the batch stands in, twice
                substitutes = np.flatnonzero(good)[np.arange((~good).sum()) % good.sum()]
                rows[~good], images[~good] = rows[substitutes], images[substitutes]
            generator = torch.Generator().manual_seed(derived_seed(self._seed, epoch, number, self._rank, 1))
            return Batch(self._augment(images, generator), self._targets[rows], [self._images.ids[row] for row in rows])

        yield from ahead(make, range(start, self.count), self._workers)


class VectorBatches:
    """Shuffled batches of vectors that are in memory; see :class:`ImageBatches`.

    vectors: (n, dim) float32; noise: standard deviation of what is added to each number, in units of 1 / sqrt(dim).
    """

    def __init__(
        self,
        ids: Sequence[str],
        vectors: torch.Tensor,
        targets: torch.Tensor,
        *,
        batch_size: int,
        seed: int,
        noise: float = 0.0,
        rank: int = 0,
        size: int = 1,
        order: Callable[[int], Rows] | None = None,
    ) -> None:
        self._ids, self._vectors, self._targets = list(ids), vectors, targets
        self._drawing = Drawing(len(self._ids), batch_size, seed=seed, rank=rank, size=size, order=order)
        self.batch_size, self.count = self._drawing.batch_size, self._drawing.count
        self._seed, self._noise, self._rank = seed, noise, rank

    def epoch(self, epoch: int, start: int) -> Iterator[Batch]:
        """Batches ``start`` to ``count`` of an epoch."""
        order = self._drawing.order(epoch)
        for number in range(start, self.count):
            rows = torch.from_numpy(self._drawing.rows(order, number))
            vectors = self._vectors[rows]
            if self._noise:
                generator = torch.Generator().manual_seed(derived_seed(self._seed, epoch, number, self._rank, 1))
                vectors = vectors + torch.randn(vectors.shape, generator=generator) * (self._noise / vectors.shape[1] ** 0.5)
            yield Batch(vectors, self._targets[rows], [self._ids[row] for row in rows.tolist()])
