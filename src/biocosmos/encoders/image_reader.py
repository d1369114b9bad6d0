"""The one reader of images: decoded and prepared as a model takes them, by number or as a stream, in order, in bounded memory.

    reader = ImageReader(ImageFiles(paths), preprocessing, stage="identify", failures=failures)
    for batch in reader.batches(64):        # read ahead by threads; batch.images (k, 3, size, size) uint8
        ...
    reader.read(np.array([5, 2]))           # two images by their numbers, in the calling thread

The images of a collection's specimens: :class:`biocosmos.embed.reader.StoredImages`.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.errors import Failures, ImageError
from biocosmos.images import image_size
from biocosmos.machine import usable_cores

FETCH_ROWS = 32
"""Images whose bytes are in memory at once in each thread: packed photographs of 10 MB take 320 MB."""
AHEAD = 2
"""Items that are being made while one is used, for each worker thread."""
NO_IMAGE = "no image"

Rows = npt.NDArray[np.int64]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class StoredImage:
    """One image to read: the id of what it shows, its bytes or path (None: it has none), the crop in pixels of it."""

    id: str
    source: bytes | str | None
    crop: tuple[float, float, float, float] | None = None

    @property
    def path(self) -> str | None:
        """Where it lies, if it is a file."""
        return self.source if isinstance(self.source, str) else None


class ImageSource(Protocol):
    """Numbered images; :meth:`fetch` is called from several threads."""

    def __len__(self) -> int: ...

    def fetch(self, rows: Rows) -> list[StoredImage]:
        """The images with these numbers, in the order asked for; a number may come twice."""


class ImageFiles:
    """Image files, or their bytes, as a source; their ids are their paths, or their numbers from 1."""

    def __init__(self, files: Iterable[bytes | str | Path]) -> None:
        self._files = list(files)
        self.ids = [f"image {row + 1}" if isinstance(file, bytes) else str(file) for row, file in enumerate(self._files)]

    def __len__(self) -> int:
        return len(self._files)

    def fetch(self, rows: Rows) -> list[StoredImage]:
        """See :class:`ImageSource`."""
        found = ((row, self._files[row]) for row in rows.tolist())
        return [StoredImage(self.ids[row], file if isinstance(file, bytes) else str(file)) for row, file in found]


@dataclass(frozen=True)
class Unread:
    """An image that could not be read: its place in the batch, what it is of, its path if it is a file, and why."""

    place: int
    id: str
    path: str | None
    reason: str


@dataclass(frozen=True)
class ImageBatch:
    """Some images as a model takes them.

    Attributes:
        rows: (k,) int64 their numbers in the source.
        ids: k ids.
        images: (k, 3, size, size) uint8; black where ``good`` is not.
        good: (k,) bool, whether there is an image and it could be read.
        log_sizes: (k, 2) float32 natural logarithms of height and width in pixels of what was looked at, upright and before it
            was scaled; NaN where ``good`` is not.
        unread: those that failed. One without an image is among them if the reader requires images.
    """

    rows: Rows
    ids: list[str]
    images: torch.Tensor
    good: npt.NDArray[np.bool_]
    log_sizes: npt.NDArray[np.float32]
    unread: list[Unread]


class ImageReader:
    """Reads the images of a source.

    Args:
        source: :class:`ImageFiles`, :class:`biocosmos.embed.reader.StoredImages`, or anything of that form.
        preprocessing: of the model.
        stage: of the rows in ``failures``.
        failures: gets a row for each image that cannot be read, once however often it is asked for; none without it.
        required: whether something without an image is such a failure.
    """

    def __init__(
        self,
        source: ImageSource,
        preprocessing: Preprocessing,
        *,
        stage: str = "read",
        failures: Failures | None = None,
        required: bool = True,
    ) -> None:
        self.source, self.preprocessing, self.failures = source, preprocessing, failures
        self._stage, self._required = stage, required
        self._told: set[int] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.source)

    def read(self, rows: Rows | Sequence[int]) -> ImageBatch:
        """The images with these numbers, in this order; called from any thread, it reads in that thread alone."""
        rows = np.asarray(rows, np.int64)
        size = self.preprocessing.size
        images = torch.zeros(len(rows), 3, size, size, dtype=torch.uint8)
        good = np.zeros(len(rows), np.bool_)
        log_sizes = np.full((len(rows), 2), np.nan, np.float32)
        ids, unread = [], []
        for start in range(0, len(rows), FETCH_ROWS):
            for place, image in enumerate(self.source.fetch(rows[start : start + FETCH_ROWS]), start):
                ids.append(image.id)
                try:
                    if image.source is None:
                        raise ImageError(NO_IMAGE)
                    images[place], sides = self.preprocessing.read_with_size(image.source, image.crop)
                    log_sizes[place] = np.log(sides)
                    good[place] = True
                except ImageError as error:
                    if image.source is not None or self._required:
                        unread.append(Unread(place, image.id, image.path, str(error)))
        self._tell(rows, unread)
        return ImageBatch(rows, ids, images, good, log_sizes, unread)

    def batches(self, size: int, *, workers: int | None = None, start: int = 0) -> Iterator[ImageBatch]:
        """All images from number ``start`` on in order, ``size`` at a time, read ahead by threads (default: one per core)."""
        count = len(self)
        blocks = (np.arange(first, min(first + size, count)) for first in range(start, count, size))
        return ahead(self.read, blocks, workers)

    def log_sizes(self) -> npt.NDArray[np.float32]:
        """(n, 2) natural logarithms of height and width in pixels of all images, from their headers; NaN where there is none.

        The numbers that :attr:`ImageBatch.log_sizes` has. Those that cannot be read are failures, as in :meth:`read`.
        """

        def of_block(rows: Rows) -> tuple[npt.NDArray[np.float32], list[Unread]]:
            found, unread = np.full((len(rows), 2), np.nan, np.float32), []
            for place, image in enumerate(self.source.fetch(rows)):
                try:
                    if image.source is None:
                        raise ImageError(NO_IMAGE)
                    found[place] = np.log(image_size(image.source, image.crop))
                except ImageError as error:
                    if image.source is not None or self._required:
                        unread.append(Unread(place, image.id, image.path, str(error)))
            self._tell(rows, unread)
            return found, unread

        blocks = (np.arange(first, min(first + FETCH_ROWS, len(self))) for first in range(0, len(self), FETCH_ROWS))
        return np.concatenate([np.empty((0, 2), np.float32), *(found for found, _ in ahead(of_block, blocks))])

    def _tell(self, rows: Rows, unread: Sequence[Unread]) -> None:
        if self.failures is None:
            return
        for one in unread:
            row = int(rows[one.place])
            with self._lock:
                new = row not in self._told
                self._told.add(row)
            if new:
                self.failures.add(one.reason, stage=self._stage, source=one.path, id=one.id)


def ahead(
    make: Callable[[T], R],
    items: Iterable[T],
    workers: int | None = None,
    *,
    each: int = AHEAD,
    enter: Callable[[], None] | None = None,
    leave: Callable[[], None] | None = None,
) -> Iterator[R]:
    """``make(item)`` for each item in order, by threads that are some items ahead; never more than that many are in memory.

    Args:
        workers: threads; default the cores this process may use, shared with the other processes of a torchrun.
        each: items that are made or wait, for each thread.
        enter: called once in each thread; by default it computes with one thread of torch's, so that no core waits for another.
        leave: called in the calling thread at the end; by default it gives torch's number of threads back.

    An exception of ``make`` comes out where its item would, and nothing is begun after it.
    """
    workers = workers or max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    threads = torch.get_num_threads()
    running: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(workers, "images", initializer=enter or (lambda: torch.set_num_threads(1)))
    try:
        rest = iter(items)
        running.extend(pool.submit(make, item) for item in islice(rest, each * workers + 1))
        while running:
            made = running.popleft().result()
            running.extend(pool.submit(make, item) for item in islice(rest, 1))
            yield made
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        if leave is not None:
            leave()
        elif enter is None:
            torch.set_num_threads(threads)
