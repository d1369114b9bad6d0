"""Train attribute heads without a head over the ranks: on stored vectors, or with their backbone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.optim import Optimizer

from biocosmos.encoders.feature_maps import Trunk
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.towers import Towers
from biocosmos.errors import Failures
from biocosmos.identify.namers.attribute_heads import mean_probabilities
from biocosmos.identify.namers.head_model import HeadModel
from biocosmos.nn.attributes import AttributeCriterion
from biocosmos.specimens.collection import Collection
from biocosmos.train.batches.augment import PRESETS
from biocosmos.train.batches.drawing import LARGEST_OF_IMAGES, suited_batch
from biocosmos.train.batches.drawn_task import DrawnTask
from biocosmos.train.batches.images import ImageBatches, Images
from biocosmos.train.heads.attribute_part import AttributePart
from biocosmos.train.heads.attribute_targets import AttributeTargets
from biocosmos.train.heads.backbone import save_trained, to_train
from biocosmos.train.heads.on_vectors import HELD_BLOCK, OnVectors
from biocosmos.train.heads.settings import HeadSettings
from biocosmos.train.loop.freezing import freeze_stages
from biocosmos.train.loop.loop import Batch
from biocosmos.train.loop.patch_dropout import drop_patches
from biocosmos.train.loop.processes import Processes

IMAGE_BLOCK = 64
Array = npt.NDArray[Any]


class AttributeTask(DrawnTask):
    """What both ways share: the loss, the figures, the folder."""

    model: nn.Module
    objective: AttributeCriterion
    failures: Failures
    preprocessing: Preprocessing
    channels: list[int]

    def __init__(
        self, settings: HeadSettings, where: Processes, targets: AttributeTargets, held: AttributeTargets | None
    ) -> None:
        self.settings, self.where, self.targets, self.held = settings, where, targets, held
        self.part = AttributePart(settings, targets, held, where)
        classes = sum(self.part.sizes)
        self.name = f"{settings.head} heads of {len(self.part.sizes)} attributes on {settings.encoder}, {classes:,} classes"

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        """The batches of one epoch from number ``start`` on."""
        self.part.begin_epoch(self.objective, epoch, start)
        yield from self._batches.epoch(epoch, start)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The criterion of a batch."""
        return self.part.loss(self.objective, model(batch.inputs), batch.targets)

    def objective_optimizer(self, lr: float, weight_decay: float) -> Optimizer | None:
        """Of what the loss itself learns."""
        return self.part.optimizer(self.objective, lr)

    def lr_factor(self, name: str) -> float:
        """How many times as fast as the backbone the weight ``name`` of the model learns."""
        return self.settings.head_lr_factor if name.startswith("head.") else 1.0

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Figures of the validation part."""
        return {} if self.held is None else self.part.figures(self._held_probabilities(model))

    @torch.no_grad()
    def _held_probabilities(self, model: nn.Module) -> npt.NDArray[np.float32]:
        found = [np.empty((0, sum(self.part.sizes)), np.float32)]
        device = next(model.parameters()).device
        for inputs in self._held_inputs():
            found.append(mean_probabilities([model(inputs.to(device))], self.targets.shapes))
        return np.concatenate(found)

    def _held_inputs(self) -> Iterator[torch.Tensor]:
        raise NotImplementedError

    def save(self, folder: Path, training: dict[str, Any]) -> None:
        """The trained heads, and the encoder if it was trained too, as a folder."""
        raise NotImplementedError

    def _save(self, folder: Path, encoder: dict[str, Any], training: dict[str, Any]) -> None:
        model = self.model.eval()
        assert isinstance(model, HeadModel)
        held = None if self.held is None else self._held_probabilities(model)
        self.part.save(
            folder,
            model,
            held,
            channels=self.channels,
            encoder=encoder,
            preprocessing=self.preprocessing,
            training=training,
        )


class FrozenAttributeTask(AttributeTask):
    """Train the heads on stored vectors."""

    def __init__(
        self,
        collection: Collection,
        settings: HeadSettings,
        where: Processes,
        targets: AttributeTargets,
        held: AttributeTargets | None,
        vectors: Callable[[Array], tuple[Array, Array]],
    ) -> None:
        """vectors: ids -> (those that have a vector (m,) bool, their vectors (m', d))."""
        self.stored = OnVectors(collection, settings, targets, held, vectors)
        super().__init__(settings, where, self.stored.targets, self.stored.held)
        self.preprocessing, self.failures = self.stored.preprocessing, self.stored.failures
        self.channels = self.stored.channels
        self.model = HeadModel(None, self.part.module(self.channels))
        self.objective = self.part.criterion()
        self._batches = self.stored.batches(self.part.values, where)

    def _held_inputs(self) -> Iterator[torch.Tensor]:
        yield from torch.split(self.stored.held_x, HELD_BLOCK)

    def save(self, folder: Path, training: dict[str, Any]) -> None:
        """The heads, and the name of the encoder whose vectors they take."""
        self.model.cpu()
        self._save(folder, self.stored.encoder, training)


class ImageAttributeTask(AttributeTask):
    """Train the backbone and the heads, on images."""

    def __init__(
        self,
        collection: Collection,
        settings: HeadSettings,
        where: Processes,
        targets: AttributeTargets,
        held: AttributeTargets | None,
        towers: Towers,
    ) -> None:
        super().__init__(settings, where, targets, held)
        s = settings
        self.towers = to_train(towers, s)
        self.preprocessing = self.towers.preprocessing
        trunk = Trunk(self.towers, taps=1)
        if s.freeze_stages:
            freeze_stages(self.towers.image, s.freeze_stages)
        self.channels = list(trunk.channels)
        head = self.part.module(self.channels)
        if s.patch_dropout:
            drop_patches(self.towers.image, s.patch_dropout)
        model = HeadModel(trunk, head, self.preprocessing, norms_still=s.batch_norm == "still")
        self.model = model.to(memory_format=torch.channels_last)
        self.objective = self.part.criterion()
        self.images = Images(collection, [str(id_) for id_ in targets.ids], self.preprocessing, s.cache_gb)
        self.failures = self.images.failures
        self._batches = ImageBatches(
            self.images,
            self.part.values,
            PRESETS[s.augment],
            batch_size=suited_batch(s.batch_size, len(targets), where.size, LARGEST_OF_IMAGES),
            seed=s.seed,
            rank=where.rank,
            size=where.size,
            workers=s.workers,
        )
        if held is not None:
            self._held_images = Images(collection, [str(id_) for id_ in held.ids], self.preprocessing, s.cache_gb / 2)

    def _held_inputs(self) -> Iterator[torch.Tensor]:
        for _, images, _ in self._held_images.blocks(IMAGE_BLOCK, self.settings.workers):
            yield images

    def save(self, folder: Path, training: dict[str, Any]) -> None:
        """The backbone as an encoder, and the heads beside it."""
        self.model.cpu()
        self._save(folder, save_trained(folder, self.towers, self.settings, training), training)
