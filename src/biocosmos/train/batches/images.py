"""Training images out of a collection: decoded, prepared and changed by threads while the model computes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.errors import BiocosmosError, Failures, ImageError
from biocosmos.machine import usable_cores
from biocosmos.specimens.collection import Collection
from biocosmos.train.batches.augment import Augment
from biocosmos.train.loop.loop import Batch, derived_seed

AHEAD = 3
"""Batches that are being made while one is used, for each worker thread."""
Rows = npt.NDArray[np.int64]


class Images:
    """The images of some specimens, as a model takes them, by their number.

    ids: of the specimens, n; missing ones raise BiocosmosError. Prepared images stay in memory, (n, 3, size, size) uint8,
    when all take at most ``cache_gb`` GiB. An image that cannot be read is a row of ``failures``, once.
    """

    def __init__(self, collection: Collection, ids: Sequence[str], preprocessing: Preprocessing, cache_gb: float = 0.0) -> None:
        self.ids, self.preprocessing, self.failures = list(ids), preprocessing, Failures()
        self._collection, self._dataset = collection, collection.dataset
        everything = {id_: row for row, id_ in enumerate(self._dataset.to_table(columns=["id"])["id"].to_pylist())}
        absent = [id_ for id_ in self.ids if id_ not in everything]
        if absent:
            raise BiocosmosError(
                f"{collection.path} has no specimen '{absent[0]}' ({len(absent):,} of {len(self.ids):,} are not there)"
            )
        self._positions = np.array([everything[id_] for id_ in self.ids], np.int64)
        size = preprocessing.size
        self._kept: torch.Tensor | None = None
        if len(self.ids) * 3 * size * size <= cache_gb * 2**30:
            self._kept = torch.empty(len(self.ids), 3, size, size, dtype=torch.uint8)
        self._have = np.zeros(len(self.ids), np.bool_)
        self._failed: set[int] = set()

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, rows: Rows) -> tuple[torch.Tensor, npt.NDArray[np.bool_]]:
        """((k, 3, size, size) uint8, (k,) whether the image could be read; one that could not is black)."""
        size = self.preprocessing.size
        out = torch.zeros(len(rows), 3, size, size, dtype=torch.uint8)
        good = np.ones(len(rows), np.bool_)
        if self._kept is not None:
            there = np.flatnonzero(self._have[rows])
            out[there] = self._kept[rows[there]]
        else:
            there = np.empty(0, np.int64)
        fresh = np.setdiff1d(np.arange(len(rows)), there)
        if len(fresh):
            order = np.argsort(self._positions[rows[fresh]], kind="stable")  # the store is fastest in its own order
            fresh = fresh[order]
            batch = self._take(rows[fresh])
            crops = batch.column("crop").to_pylist()
            for i, place in enumerate(fresh):
                good[place] = self._prepare(batch, i, crops[i], int(rows[place]), out[place])
        return out, good

    def _take(self, rows: Rows) -> pa.RecordBatch:
        positions, back = np.unique(self._positions[rows], return_inverse=True)
        table = self._dataset.take(positions.tolist(), columns=["image", "image_path", "crop"])
        return table.take(pa.array(back)).combine_chunks().to_batches()[0]

    def _prepare(self, batch: pa.RecordBatch, i: int, crop: Any, row: int, out: torch.Tensor) -> bool:
        source = self._collection.image_source(batch, i)
        try:
            if source is None:
                raise ImageError("no image")
            out.copy_(self.preprocessing.read(source, crop))
        except ImageError as error:
            if row not in self._failed:
                self._failed.add(row)
                self.failures.add(str(error), stage="train", source=source if isinstance(source, str) else None, id=self.ids[row])
            return False
        if self._kept is not None:
            self._kept[row] = out
            self._have[row] = True
        return True

    def blocks(self, size: int, workers: int | None = None) -> Iterator[tuple[Rows, torch.Tensor, npt.NDArray[np.bool_]]]:
        """All images in order, ``size`` at a time, read ahead: (rows, images, whether each could be read)."""
        yield from image_blocks(self, size, workers)


def image_blocks(
    images: Any, size: int, workers: int | None = None, *, start: int = 0
) -> Iterator[tuple[Rows, torch.Tensor, npt.NDArray[np.bool_]]]:
    """The images of a source from number ``start`` on in order, ``size`` at a time, read ahead by threads."""
    starts = range(start, len(images), size)
    yield from _ahead(
        lambda first: ((rows := np.arange(first, min(first + size, len(images)))), *images.read(rows)), starts, workers
    )


class ImageBatches:
    """Shuffled, changed batches of images with their targets, the same ones for the same seed, epoch and process.

    images: what is drawn from; targets: (n, ...) int64 tensor; augment: how they are changed; rank, size: of this process;
    order: which rows an epoch sees (default each once, shuffled).
    Each epoch leaves out the few specimens that would not fill a last batch, other ones each time.
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
        self._order = order or (lambda epoch: shuffled(len(images), seed, epoch))
        self.batch_size = fitting_batch(batch_size, len(images), size)
        self.count = len(images) // (self.batch_size * size)
        self._seed, self._rank, self._size, self._workers = seed, rank, size, workers

    def epoch(self, epoch: int, start: int) -> Iterator[Batch]:
        """Batches ``start`` to ``count`` of an epoch."""
        order = self._order(epoch)

        def make(number: int) -> Batch:
            first = (number * self._size + self._rank) * self.batch_size
            rows = order[first : first + self.batch_size]
            images, good = self._images.read(rows)
            if not good.any():
                raise BiocosmosError(
                    f"none of {len(rows)} images can be read, '{self._images.ids[rows[0]]}' among them: see the failures"
                )
            if not good.all():  # another specimen of the batch stands in, twice
                substitutes = np.flatnonzero(good)[np.arange((~good).sum()) % good.sum()]
                rows = rows.copy()
                rows[~good], images[~good] = rows[substitutes], images[substitutes]
            generator = torch.Generator().manual_seed(derived_seed(self._seed, epoch, number, self._rank, 1))
            return Batch(self._augment(images, generator), self._targets[rows], [self._images.ids[row] for row in rows])

        yield from _ahead(make, range(start, self.count), self._workers)


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
        self._order = order or (lambda epoch: shuffled(len(self._ids), seed, epoch))
        self._seed, self._noise, self._rank, self._size = seed, noise, rank, size
        self.batch_size = fitting_batch(batch_size, len(self._ids), size)
        self.count = len(self._ids) // (self.batch_size * size)

    def epoch(self, epoch: int, start: int) -> Iterator[Batch]:
        """Batches ``start`` to ``count`` of an epoch."""
        order = torch.from_numpy(self._order(epoch))
        for number in range(start, self.count):
            first = (number * self._size + self._rank) * self.batch_size
            rows = order[first : first + self.batch_size]
            vectors = self._vectors[rows]
            if self._noise:
                generator = torch.Generator().manual_seed(derived_seed(self._seed, epoch, number, self._rank, 1))
                vectors = vectors + torch.randn(vectors.shape, generator=generator) * (self._noise / vectors.shape[1] ** 0.5)
            yield Batch(vectors, self._targets[rows], [self._ids[row] for row in rows.tolist()])


def shuffled(count: int, seed: int, epoch: int) -> Rows:
    """The order of an epoch: 0..count-1, each once."""
    return np.random.default_rng([seed, epoch]).permutation(count).astype(np.int64)


def fitting_batch(batch_size: int, images: int, processes: int) -> int:
    """The batch size, or what there are images for in each process. Raises BiocosmosError when that is not one pair."""
    fits = min(batch_size, images // processes)
    if fits < 2:  # batch norm has no variance of one
        raise BiocosmosError(f"{images} images are too few to train on with {processes} processes: 2 for each are needed")
    return fits


def _ahead(make: Any, items: Sequence[int], workers: int | None) -> Iterator[Any]:
    """``make(item)`` for each item in order, by threads that are some items ahead."""
    workers = workers or max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    threads = torch.get_num_threads()
    running: deque[Future[Any]] = deque()
    pool = ThreadPoolExecutor(workers, "images", initializer=lambda: torch.set_num_threads(1))
    try:
        rest = iter(items)
        for item in rest:
            running.append(pool.submit(make, item))
            if len(running) >= AHEAD * workers:
                break
        while running:
            yield running.popleft().result()
            for item in islice(rest, 1):
                running.append(pool.submit(make, item))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(threads)
