"""Which specimens are in which batch of an epoch, for every process."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError

LARGEST_OF_IMAGES, LARGEST_OF_VECTORS = 64, 512
"""Specimens in a batch where nothing is asked for and the training part is large."""
STEPS, SMALLEST = 40, 16
"""An epoch has at least so many batches, where they are not smaller than that: few large ones learn little of a small collection.
952 vectors in batches of 512 were one step an epoch, and left half of the specimens out."""

Rows = npt.NDArray[np.int64]


class Drawing:
    """Batches of ``batch_size`` rows for each of ``size`` processes, of which this is number ``rank``; all of them alike long.

    count: batches of an epoch. Every row that an epoch's order names is seen: the last batch is filled up with the epoch's first
    rows, so that a few are seen twice. order: which rows an epoch sees, by default each once, shuffled by the seed.
    """

    def __init__(
        self, count: int, batch_size: int, *, seed: int, rank: int = 0, size: int = 1, order: Callable[[int], Rows] | None = None
    ) -> None:
        self.order = order or (lambda epoch: shuffled(count, seed, epoch))
        self.batch_size, self.rank, self.size = fitting_batch(batch_size, count, size), rank, size
        self.count = -(-count // (self.batch_size * size))

    def rows(self, order: Rows, number: int) -> Rows:
        """(batch_size,) int64 rows of batch ``number`` of an epoch in this order, for this process."""
        first = (number * self.size + self.rank) * self.batch_size
        return order[np.arange(first, first + self.batch_size) % len(order)]


def shuffled(count: int, seed: int, epoch: int) -> Rows:
    """The order of an epoch: 0..count-1, each once."""
    return np.random.default_rng([seed, epoch]).permutation(count).astype(np.int64)


def suited_batch(asked: int | None, count: int, processes: int, largest: int) -> int:
    """The batch size that was asked for; else ``largest``, or fewer, so that an epoch over ``count`` has :data:`STEPS` steps."""
    return asked or max(SMALLEST, min(largest, count // (STEPS * processes)))


def fitting_batch(batch_size: int, images: int, processes: int) -> int:
    """The batch size, or what there are images for in each process. Raises BiocosmosError when that is not one pair."""
    fits = min(batch_size, images // processes)
    if fits < 2:  # batch norm has no variance of one
        raise BiocosmosError(f"{images} images are too few to train on with {processes} processes: 2 for each are needed")
    return fits
