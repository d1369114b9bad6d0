"""The two ways to train by cluster discrimination: the whole image tower, or a projection of stored vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.optim import Optimizer

from biocosmos.encoders.encoder import Normalised
from biocosmos.encoders.input_size import at_size
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.saving import save_encoder
from biocosmos.encoders.towers import Towers, trainable, with_projection
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.nn.centre_optimizer import CentreAdamW
from biocosmos.nn.margins import CombinedMargin
from biocosmos.nn.mlcd import MultiLabelPartialFC
from biocosmos.nn.partial_fc import PartialFC
from biocosmos.nn.projection import Projection
from biocosmos.nn.still import hold_still
from biocosmos.search.gallery import Gallery
from biocosmos.specimens.collection import Collection
from biocosmos.train.batches.augment import PRESETS
from biocosmos.train.batches.drawing import LARGEST_OF_IMAGES, LARGEST_OF_VECTORS, suited_batch
from biocosmos.train.batches.drawn_task import DrawnTask
from biocosmos.train.batches.encoding import BLOCK, encode
from biocosmos.train.batches.images import ImageBatches, Images, VectorBatches
from biocosmos.train.loop.freezing import freeze_stages
from biocosmos.train.loop.loop import Batch
from biocosmos.train.loop.processes import Processes
from biocosmos.train.unicom.labels import ClusterLabels
from biocosmos.train.unicom.settings import UnicomSettings
from biocosmos.train.unicom.validation import Validation
from biocosmos.train.unicom.whitening import whitening

Array = npt.NDArray[Any]


class UnicomTask(DrawnTask):
    """What both ways to train share: the objective over the centres."""

    model: nn.Module
    objective: PartialFC | MultiLabelPartialFC

    def __init__(self, settings: UnicomSettings, where: Processes, labels: ClusterLabels, validation: Validation | None) -> None:
        self.settings, self.where, self.labels, self.validation = settings, where, labels, validation
        what = "clusters" if labels.names is None else "taxa"
        self.name = f"{self.settings.encoder} on {labels.count:,} {what}"
        self.failures = Failures()

    def targets(self, ids: list[str]) -> torch.Tensor:
        """(n,) classes, or (n, positives) for MLCD, int64."""
        rows = self.labels.rows_of(ids)
        if self.settings.loss == "mlcd":
            return torch.from_numpy(self.labels.nearest(self._positives)[rows].astype(np.int64))
        return torch.from_numpy(self.labels.labels[rows].astype(np.int64))

    @property
    def _positives(self) -> int:
        return min(self.settings.positives, self.labels.count - 1)

    def make_objective(self, dim: int, means: Array | None) -> PartialFC | MultiLabelPartialFC:
        s = self.settings
        margin = CombinedMargin(
            s.scale,
            s.m1,
            s.m2,
            s.m3,
            gradient=s.gradient,  # type: ignore[arg-type]
            interclass_filter=s.interclass_filter,
            filter_mode=s.filter_mode,  # type: ignore[arg-type]
        )
        shared: dict[str, Any] = {
            "margin": margin,
            "sample_rate": s.sample_rate,
            "features": s.features,
            "sub_centres": s.sub_centres,
            "seed": s.seed,
        }
        classes = self.labels.count
        made = (
            MultiLabelPartialFC(dim, classes, positives=self._positives, **shared)
            if s.loss == "mlcd"
            else PartialFC(dim, classes, **shared)
        )
        if means is not None:
            _begin_at(made, torch.from_numpy(means))
        return made

    def objective_optimizer(self, lr: float, weight_decay: float) -> Optimizer | None:
        """AdamW over the rows that were used. Centres are normalised, so that decay would only change their step size."""
        return CentreAdamW(self.objective.parameters(), lr=lr, weight_decay=0.0)

    def lr_factor(self, name: str) -> float:
        """All weights of the model learn alike."""
        return 1.0

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The margin softmax, or MLCD, of a batch."""
        return self.objective(model(batch.inputs), batch.targets)  # type: ignore[no-any-return]


class _Tower(Normalised):
    """The image tower; frozen stages, and batch norms that keep their statistics, stay in evaluation mode."""

    def __init__(self, tower: nn.Module, preprocessing: Preprocessing, settings: UnicomSettings) -> None:
        super().__init__(tower, preprocessing)
        if settings.freeze_stages:
            freeze_stages(tower, settings.freeze_stages)
        self._norms_still = settings.batch_norm == "still"

    def train(self, mode: bool = True) -> _Tower:
        super().train(mode)
        hold_still(self.tower, norms=self._norms_still)
        return self


class ImageTask(UnicomTask):
    """Train the image tower, on images."""

    def __init__(
        self,
        collection: Collection,
        settings: UnicomSettings,
        where: Processes,
        towers: Towers,
        base: Gallery,
        labels: ClusterLabels,
        means: Array,
        validation: Validation | None,
    ) -> None:
        super().__init__(settings, where, labels, validation)
        s = settings
        if s.size is not None:
            towers = at_size(towers, s.size)
        self.preprocessing: Preprocessing = towers.preprocessing
        if s.dim:
            towers = with_projection(towers, projection_of(base, towers.features(), s))
        if s.test_size is not None:
            at_size(towers, s.test_size)  # refuses now what it would refuse after the training
        self.towers = towers
        self.model = _Tower(trainable(towers), self.preprocessing, s).to(memory_format=torch.channels_last)
        dim = towers.features()
        begin: Array | None = None
        if s.centres == "means":
            begin = means
            if s.dim and towers.projection is not None and towers.projection.dim_in == means.shape[1]:
                with torch.no_grad():
                    begin = towers.projection(torch.from_numpy(means)).numpy()
            if begin.shape[1] != dim:
                begin = None  # the vectors were made by a part of the model that is not the one trained
        self.objective = self.make_objective(dim, begin)
        ids = [str(id_) for id_ in labels.ids]
        self.images = Images(collection, ids, self.preprocessing, s.cache_gb)
        self._batches = ImageBatches(
            self.images,
            self.targets(ids),
            PRESETS[s.augment],
            batch_size=suited_batch(s.batch_size, len(ids), where.size, LARGEST_OF_IMAGES),
            seed=s.seed,
            rank=self.where.rank,
            size=self.where.size,
            workers=s.workers,
        )
        self.failures = self.images.failures
        self.held = None
        if validation is not None:
            self.held = Images(collection, [str(id_) for id_ in validation.gallery.ids], self.preprocessing, s.cache_gb / 2)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Recall@1 among the validation part, of images as they are."""
        if self.held is None or self.validation is None:
            return {}
        parts = [encode(model, images, self.where.device) for _, images, _ in self.held.blocks(BLOCK, self.settings.workers)]
        return self.validation.figures(np.concatenate(parts))

    def save(self, folder: Path, facts: dict[str, Any]) -> None:
        """The trained tower as an encoder folder."""
        self.model.cpu()
        towers = self.towers if self.settings.test_size is None else at_size(self.towers, self.settings.test_size)
        save_encoder(folder, towers, base=self.settings.encoder, training=facts)


class FrozenTask(UnicomTask):
    """Train a projection of the stored vectors."""

    def __init__(
        self,
        collection: Collection,
        settings: UnicomSettings,
        where: Processes,
        towers: Towers,
        base: Gallery,
        labels: ClusterLabels,
        means: Array,
        validation: Validation | None,
    ) -> None:
        super().__init__(settings, where, labels, validation)
        s = settings
        if s.size is not None and s.size != towers.preprocessing.size:
            raise BiocosmosError("--size changes the images, which --freeze does not look at: leave one of them out")
        self.towers = towers
        stored = collection.encoders[s.encoder]["preprocessing"]
        self.preprocessing = Preprocessing.from_dict(stored)  # of the vectors: another --resize may have made them
        self.model = projection_of(base, base.dim, s)
        with torch.no_grad():
            begin = self.model(torch.from_numpy(means)).numpy() if s.centres == "means" else None
        self.objective = self.make_objective(self.model.dim_out, begin)
        rows = np.flatnonzero(labels.rows_of(base.ids) >= 0)
        ids = [str(id_) for id_ in base.ids[rows]]
        self._batches = VectorBatches(
            ids,
            torch.from_numpy(base.vectors[rows]),
            self.targets(ids),
            batch_size=suited_batch(s.batch_size, len(ids), where.size, LARGEST_OF_VECTORS),
            seed=s.seed,
            noise=s.noise,
            rank=self.where.rank,
            size=self.where.size,
        )

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Recall@1 among the validation part's stored vectors."""
        if self.validation is None:
            return {}
        vectors = torch.from_numpy(self.validation.gallery.vectors)
        return self.validation.figures(encode(model, vectors, self.where.device))

    def save(self, folder: Path, facts: dict[str, Any]) -> None:
        """The projection, beside the name of the encoder it stands on."""
        assert isinstance(self.model, Projection)
        save_encoder(
            folder,
            self.towers,
            base=self.settings.encoder,
            preprocessing=self.preprocessing,
            training=facts,
            projection=self.model,
            frozen=True,
        )


@torch.no_grad()
def projection_of(base: Gallery, features: int, settings: UnicomSettings) -> Projection:
    """The projection at its start: as near to doing nothing as it can, or whitening the vectors of the embedding ``base``."""
    if settings.start == "plain":
        return Projection(features, settings.dim)
    if features != base.dim:
        raise BiocosmosError("--start whiten needs the stored vectors to be what the projection takes: use --start plain")
    weight, bias = whitening(base.vectors, settings.dim)
    projection = Projection(features, len(weight))
    projection.linear.weight.copy_(torch.from_numpy(weight))
    projection.linear.bias.copy_(torch.from_numpy(bias))
    return projection


@torch.no_grad()
def _begin_at(objective: PartialFC, centres: torch.Tensor) -> None:
    """Put the centres (classes, dim) of this process's classes at ``centres``; sub-centres of a class are set a little apart."""
    own = centres[objective.start : objective.start + objective.local_classes]
    apart = objective.weight if objective.sub_centres > 1 else torch.zeros(())
    objective.weight.copy_(nn.functional.normalize(own, dim=1).repeat_interleave(objective.sub_centres, 0) + apart)
