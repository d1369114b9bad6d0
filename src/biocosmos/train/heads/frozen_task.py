"""Train a head alone, on stored vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import nn

from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.namers.attribute_model import HeadsModel
from biocosmos.identify.namers.head_model import HeadModel
from biocosmos.specimens.collection import Collection
from biocosmos.train.batches.drawing import LARGEST_OF_VECTORS, suited_batch
from biocosmos.train.batches.image_sizes import image_sizes
from biocosmos.train.batches.images import VectorBatches
from biocosmos.train.heads.attribute_part import AttributePart
from biocosmos.train.heads.settings import HeadSettings
from biocosmos.train.heads.targets import HeadTargets
from biocosmos.train.heads.task import BRANCHES, HeadTask
from biocosmos.train.loop.processes import Processes

HELD_BLOCK = 1024

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
        there, x = vectors(targets.ids)
        targets = _kept(targets, there)
        if held is not None:
            held_there, held_x = vectors(held.ids)
            held = _kept(held, held_there)
            self._held_vectors = torch.from_numpy(held_x)
        if attributes is not None:
            attributes = attributes.of(targets.ids, None if held is None else held.ids)
        super().__init__(settings, where, targets, held, attributes)
        s, self.taps = settings, []
        self.stored = collection.encoders[s.encoder]
        self.preprocessing = Preprocessing.from_dict(self.stored["preprocessing"])
        self.failures = Failures()
        if missing := int((~there).sum()):
            self.failures.add(f"{missing:,} training specimens have no vector of {s.encoder}", stage="train", severity="warning")
        head = self.make([x.shape[1]])
        self.model = HeadModel(None, head) if attributes is None else HeadsModel(None, head, attributes.module([x.shape[1]]))
        self.objective = self.make_objective()
        ids = [str(id_) for id_ in targets.ids]
        if s.size_feature:
            self.sizes = image_sizes(collection, ids)
            self._held_sizes = None if held is None else image_sizes(collection, [str(id_) for id_ in held.ids])
        self._batches = VectorBatches(
            ids,
            torch.from_numpy(x),
            torch.from_numpy(targets.nodes),
            batch_size=suited_batch(s.batch_size, len(ids), where.size, LARGEST_OF_VECTORS),
            seed=s.seed,
            rank=where.rank,
            size=where.size,
            order=self.order,
        )

    def _held_inputs(self, model: nn.Module) -> Iterator[tuple[torch.Tensor, torch.Tensor | None, bool]]:
        for start in range(0, len(self._held_vectors), HELD_BLOCK):
            rows = slice(start, start + HELD_BLOCK)
            extra = torch.from_numpy(self._held_sizes[rows]) if self.sizes is not None and self._held_sizes is not None else None
            yield self._held_vectors[rows], extra, False

    def save(self, folder: Path, training: dict[str, Any]) -> None:
        """The head, and the name of the encoder whose vectors it takes."""
        self.model.cpu()
        digest = str(self.stored.get("digest"))
        self._save_head(folder, {"name": self.settings.encoder, "digest": digest, "trained": digest}, training)


def _kept(targets: HeadTargets, rows: Array) -> HeadTargets:
    return HeadTargets(targets.ids[rows], targets.nodes[rows], targets.taxonomy, targets.classes, targets.facts)
