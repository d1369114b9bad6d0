"""Encoders of images that are trained themselves, in full or by LoRA, with a projection on top."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from biocosmos.encoders.input_size import at_size
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.registry import load_towers
from biocosmos.encoders.saving import save_encoder
from biocosmos.encoders.towers import Towers, trainable
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.nn.chunked import Chunked
from biocosmos.nn.low_rank import add_low_rank, merge_low_rank
from biocosmos.nn.projection import Projection
from biocosmos.train.batches.augment import PRESETS
from biocosmos.train.batches.drawing import Rows
from biocosmos.train.batches.images import Images
from biocosmos.train.contrastive.settings import ContrastiveSettings
from biocosmos.train.contrastive.specimens import ModalRows
from biocosmos.train.loop.processes import Processes

TRAINED_FACTOR = 0.1
"""How many times the rate of what is new the weights of a trained encoder learn with: 1e-4 where that is 1e-3."""
PIXELS_AT_ONCE = {"cpu": 1 << 18, "cuda": 1 << 22}
"""Pixels of the images that go through at once where nothing is asked for: 28 images of 96 pixels on a processor."""
FEWEST_AT_ONCE = 4
BLOCK = 64


class TunedImages:
    """An image tower that is trained on images; see :class:`biocosmos.train.contrastive.towers.source.TowerSource`.

    Batch norms keep the statistics of the encoder, and their scales learn: so the vectors do not depend on who else is in a
    batch, a chunk or a process.
    """

    modality = "image"

    def __init__(self, rows: ModalRows, settings: ContrastiveSettings, where: Processes, failures: Failures) -> None:
        self.name, how = settings.image, settings.tune_of("image")
        towers, begun = _beneath(load_towers(self.name), self.name)
        _refuse(towers, begun, self.name, settings)
        self.towers = towers if settings.size is None else at_size(towers, settings.size)
        self._augment = PRESETS[settings.augment]
        tower = trainable(self.towers)
        tower.requires_grad_(True)
        if how == "lora":
            add_low_rank(tower.image, rank=settings.lora_rank, what=f"'{self.name}'")  # type: ignore[arg-type]
        self._low_rank = how == "lora"
        self._new: Projection | None = None
        if begun is not None:
            self._new = begun
        elif self.towers.projection is None:
            self._new = Projection(self.towers.features(), settings.width, hidden=settings.hidden or None)
        size = self.towers.preprocessing.size
        fits = PIXELS_AT_ONCE["cpu" if where.device.type == "cpu" else "cuda"] // size**2
        network = _ImageTower(tower, self._new, self.towers.preprocessing)
        self.module: nn.Module = Chunked(network, settings.chunk or max(FEWEST_AT_ONCE, fits))
        self.there = rows.there["image"].copy()
        self._place = np.cumsum(self.there) - 1
        ids = [id_ for id_, there in zip(rows.ids, self.there.tolist()) if there]
        self._images = Images(rows.collection, ids, self.towers.preprocessing, settings.cache_gb, failures=failures)
        if self._images.in_memory:
            self._leave_out_unread(settings.workers)

    def _leave_out_unread(self, workers: int | None) -> None:
        """Read all images, which stay in memory; those that cannot be read are not there."""
        numbers = np.flatnonzero(self.there)
        for read, _, good in self._images.blocks(BLOCK, workers):
            self.there[numbers[read[~good]]] = False

    def inputs(self, rows: Rows, generator: torch.Generator | None) -> torch.Tensor:
        """(m, 3, size, size) uint8. An image that cannot be read, found out too late to be left out, is black."""
        images, _ = self._images.read(self._place[rows])
        return images if generator is None else self._augment(images, generator)

    def lr_factor(self, name: str) -> float:
        """The projection and the changes of low rank are new; other weights are an encoder's already."""
        if self._low_rank or (self._new is not None and ".projection." in f".{name}" and ".tower." not in f".{name}"):
            return 1.0
        return TRAINED_FACTOR

    def save(self, folder: Path, facts: dict[str, Any]) -> str:
        """As any trained encoder: its own weights, changes of low rank added to them, and the projection."""
        merge_low_rank(self.module.cpu())
        return save_encoder(folder, self.towers, base=self.name, projection=self._new, training=facts)


class _ImageTower(nn.Module):
    """uint8 pixels -> encoder -> projection: (n, 3, size, size) -> (n, width)."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, tower: nn.Module, projection: nn.Module | None, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.tower, self.projection = tower, projection
        mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
        self.register_buffer("scale", (1 / (255 * std))[:, None, None], persistent=False)
        self.register_buffer("shift", (-mean / std)[:, None, None], persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images: (n, 3, size, size) uint8."""
        x = (images.float() * self.scale + self.shift).contiguous(memory_format=torch.channels_last)
        features = self.tower(x)
        return features if self.projection is None else self.projection(features)  # type: ignore[no-any-return]


def _beneath(towers: Towers, name: str) -> tuple[Towers, Projection | None]:
    """The encoder to be tuned, and the projection that was trained over it while it stayed as it was: both go on from there."""
    if towers.base is None:
        return towers, None
    beneath = load_towers(towers.base.name)
    if beneath.digest != towers.base.digest:
        raise BiocosmosError(
            f"'{name}' is a projection over '{towers.base.name}' with weights {towers.base.digest}, and here it has "
            f"{beneath.digest}: bring the one it was trained on"
        )
    return beneath, towers.projection


def _refuse(towers: Towers, begun: Projection | None, name: str, settings: ContrastiveSettings) -> None:
    tune = f"--tune image={settings.tune_of('image')}"
    if towers.takes_bytes or towers.architecture["kind"] == "none" or (begun is not None and towers.projection is not None):
        raise BiocosmosError(f"'{name}' cannot be built again from a folder, so {tune} cannot save it: use --tune image=heads")
    projection = begun or towers.projection
    if projection is not None and projection.dim_out != settings.width:
        raise BiocosmosError(
            f"'{name}' has a projection to {projection.dim_out} numbers already, from which {tune} goes on: say --width "
            f"{projection.dim_out}, or use --tune image=heads"
        )
