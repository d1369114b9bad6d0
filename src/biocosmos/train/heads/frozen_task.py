"""Train a head alone, on stored vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import nn

from biocosmos.errors import BiocosmosError
from biocosmos.identify.namers.attribute_model import HeadsModel
from biocosmos.identify.namers.head_model import HeadModel
from biocosmos.specimens.collection import Collection
from biocosmos.train.batches.image_sizes import image_sizes
from biocosmos.train.heads.attribute_part import AttributePart
from biocosmos.train.heads.on_vectors import HELD_BLOCK, OnVectors
from biocosmos.train.heads.settings import HeadSettings
from biocosmos.train.heads.targets import HeadTargets
from biocosmos.train.heads.task import BRANCHES, HeadTask
from biocosmos.train.loop.processes import Processes

Array = npt.NDArray[Any]


class FrozenHeadTask(HeadTask):
    """Train the head on stored vectors."""

    def __init__(
        self,
        collection: Collection,
        settings: HeadSettings,
        where: Processes,
        targets: HeadTargets,
        held: HeadTargets | None,
        vectors: Callable[[Array], tuple[Array, Array]],
        attributes: AttributePart | None = None,
    ) -> None:
        """vectors: ids -> (those that have a vector (m,) bool, their vectors (m', d)); attributes: what is learnt beside the
        ranks."""
        if settings.head in BRANCHES:
            raise BiocosmosError(
                f"--head {settings.head} takes the feature maps of a backbone, which stored vectors are not: "
                "use multitask with --freeze, or leave --freeze out"
            )
        self.stored = OnVectors(collection, settings, targets, held, vectors)
        targets, held = self.stored.targets, self.stored.held
        if attributes is not None:
            attributes = attributes.of(targets.ids, None if held is None else held.ids)
        super().__init__(settings, where, targets, held, attributes)
        self.taps = []
        self.preprocessing, self.failures = self.stored.preprocessing, self.stored.failures
        head = self.make(self.stored.channels)
        self.model = (
            HeadModel(None, head) if attributes is None else HeadsModel(None, head, attributes.module(self.stored.channels))
        )
        self.objective = self.make_objective()
        if settings.size_feature:
            self.sizes = image_sizes(collection, [str(id_) for id_ in targets.ids])
            self._held_sizes = None if held is None else image_sizes(collection, [str(id_) for id_ in held.ids])
        self._batches = self.stored.batches(torch.from_numpy(targets.nodes), where, self.order)

    def _held_inputs(self, model: nn.Module) -> Iterator[tuple[torch.Tensor, torch.Tensor | None, bool]]:
        for start in range(0, len(self.stored.held_x), HELD_BLOCK):
            rows = slice(start, start + HELD_BLOCK)
            extra = torch.from_numpy(self._held_sizes[rows]) if self.sizes is not None and self._held_sizes is not None else None
            yield self.stored.held_x[rows], extra, False

    def save(self, folder: Path, training: dict[str, Any]) -> None:
        """The head, and the name of the encoder whose vectors it takes."""
        self.model.cpu()
        self._save_head(folder, self.stored.encoder, training)
