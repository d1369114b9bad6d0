"""What every training task tells the loop of the batches it draws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch.optim import Optimizer

from biocosmos.train.loop.loop import Batch


class Batches(Protocol):
    """What tasks draw from: images, stored vectors, or kept activations."""

    batch_size: int
    count: int

    def epoch(self, epoch: int, start: int) -> Iterator[Batch]:
        """Batches ``start`` to ``count`` of an epoch."""


class DrawnTask:
    """A task whose epochs are those of ``_batches``."""

    _batches: Batches

    def objective_optimizer(self, lr: float, weight_decay: float) -> Optimizer | None:
        """None: the loss has no weights of its own, or they learn with the model."""
        return None

    @property
    def batches_per_epoch(self) -> int:
        """Batches of this process in an epoch."""
        return self._batches.count

    @property
    def batch_size(self) -> int:
        """Specimens of this process in a batch: fewer than asked for where there are not so many."""
        return self._batches.batch_size

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        """The batches of one epoch from number ``start`` on."""
        return self._batches.epoch(epoch, start)
