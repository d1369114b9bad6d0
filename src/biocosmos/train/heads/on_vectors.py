"""What a training on stored vectors takes from a collection, whatever it learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.errors import Failures
from biocosmos.specimens.collection import Collection
from biocosmos.train.batches.drawing import LARGEST_OF_VECTORS, Rows, suited_batch
from biocosmos.train.batches.images import VectorBatches
from biocosmos.train.heads.settings import HeadSettings
from biocosmos.train.loop.processes import Processes

HELD_BLOCK = 1024
"""Validation specimens that are looked at together."""
Array = npt.NDArray[Any]


class Targets(Protocol):
    """What specimens teach."""

    @property
    def ids(self) -> npt.NDArray[np.object_]:
        """(n,) of the specimens."""

    def take(self, rows: Any) -> Self:
        """What some of them teach."""


T = TypeVar("T", bound=Targets)


class OnVectors(Generic[T]):
    """The specimens that have a vector, and their vectors.

    targets, held: of those of them to learn from and to validate on, held None without any; x, held_x: (n, d) float32 of each.
    preprocessing: of the images that the vectors are of; failures: tells how many have none.
    """

    def __init__(
        self,
        collection: Collection,
        settings: HeadSettings,
        targets: T,
        held: T | None,
        vectors: Callable[[Array], tuple[Array, Array]],
    ) -> None:
        """vectors: ids -> (those that have a vector (m,) bool, their vectors (m', d))."""
        there, x = vectors(targets.ids)
        self.settings, self.targets, self.x = settings, targets.take(there), torch.from_numpy(x)
        self.held: T | None = None
        if held is not None:
            held_there, held_x = vectors(held.ids)
            self.held, self.held_x = held.take(held_there), torch.from_numpy(held_x)
        stored = collection.encoders[settings.encoder]
        digest = str(stored.get("digest"))
        self.encoder = {"name": settings.encoder, "digest": digest, "trained": digest}
        self.preprocessing = Preprocessing.from_dict(stored["preprocessing"])
        self.failures = Failures()
        if missing := int((~there).sum()):
            told = f"{missing:,} training specimens have no vector of {settings.encoder}"
            self.failures.add(told, stage="train", severity="warning")

    @property
    def channels(self) -> list[int]:
        """What a head takes."""
        return [self.x.shape[1]]

    def batches(self, labels: torch.Tensor, where: Processes, order: Callable[[int], Rows] | None = None) -> VectorBatches:
        """Batches of the training specimens with their ``labels``, in an order for each epoch."""
        s, ids = self.settings, [str(id_) for id_ in self.targets.ids]
        return VectorBatches(
            ids,
            self.x,
            labels,
            batch_size=suited_batch(s.batch_size, len(ids), where.size, LARGEST_OF_VECTORS),
            seed=s.seed,
            rank=where.rank,
            size=where.size,
            order=order,
        )
