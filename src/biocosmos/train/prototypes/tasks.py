"""The two ways to train prototypes that unseen taxa can join: with the image tower, or a projection of stored vectors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biocosmos.encoders.encoder import Normalised
from biocosmos.encoders.input_size import at_size
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.saving import save_encoder
from biocosmos.encoders.towers import Towers, trainable, with_projection
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.namers.placed_prototypes import CHOSEN_ON, SEEN
from biocosmos.nn.contrastive import SupervisedContrastive
from biocosmos.nn.gromov import cosine_distances, gromov_wasserstein, stretch
from biocosmos.nn.prototypes import Prototypes, from_relatives
from biocosmos.nn.standardised import StandardisedProjection
from biocosmos.nn.still import hold_still
from biocosmos.search.gallery import Gallery
from biocosmos.specimens.collection import Collection
from biocosmos.train.batches.augment import PRESETS
from biocosmos.train.batches.drawing import LARGEST_OF_IMAGES, LARGEST_OF_VECTORS, Rows, suited_batch
from biocosmos.train.batches.drawn_task import DrawnTask
from biocosmos.train.batches.encoding import BLOCK, encode
from biocosmos.train.batches.images import ImageBatches, Images, VectorBatches
from biocosmos.train.batches.sampling import drawn
from biocosmos.train.loop.freezing import freeze_stages
from biocosmos.train.loop.loop import Batch
from biocosmos.train.loop.processes import Processes
from biocosmos.train.prototypes.geometry import OWN, Geometry, coupling
from biocosmos.train.prototypes.handicap import best_handicap
from biocosmos.train.prototypes.held_out_taxa import LabelledPart, TaxaRoles
from biocosmos.train.prototypes.settings import ZeroShotSettings

Array = npt.NDArray[Any]


class PrototypeNet(nn.Module):
    """Inputs -> features -> standardised projection -> unit vectors, beside the prototypes.

    forward(inputs): inputs as the backbone takes them, features (n, dim_in) if there is none. Returns: (n, d) unit vectors and
    (K, d) unit prototypes.
    """

    def __init__(
        self, backbone: nn.Module | None, head: StandardisedProjection, prototypes: Prototypes, *, norms_still: bool = True
    ) -> None:
        super().__init__()
        self.backbone, self.head, self.prototypes, self._norms_still = backbone, head, prototypes, norms_still

    def train(self, mode: bool = True) -> PrototypeNet:
        super().train(mode)
        if self.backbone is not None:
            hold_still(self.backbone, norms=self._norms_still)
        return self

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        features = inputs if self.backbone is None else self.backbone(inputs)
        return F.normalize(self.head(features).float(), dim=1), self.prototypes.unit()


class PrototypeLoss(nn.Module):
    """Prototype classification + contrastive + Gromov-Wasserstein, with the weights of the settings.

    - classification: softmax of scale * cosine over the prototypes of the seen taxa;
    - contrastive: :class:`SupervisedContrastive`;
    - Gromov-Wasserstein: between 1 - cosine of all prototypes, unseen ones too, and the distances of the geometry, stretched to
      fit; the coupling is solved for again every ``plan_steps`` steps and is constant between.
    """

    plan: Tensor
    distances: Tensor
    seen: Tensor
    steps: Tensor

    def __init__(self, settings: ZeroShotSettings, known: Geometry, seen: Array) -> None:
        super().__init__()
        self.settings = settings
        self.contrastive = SupervisedContrastive(settings.temperature)
        self.register_buffer("distances", torch.from_numpy(known.distances()).float())
        self.register_buffer("seen", torch.from_numpy(seen))
        self.register_buffer("plan", torch.zeros_like(self.distances))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, vectors: Tensor, points: Tensor, targets: Tensor) -> Tensor:
        """vectors: (n, d) unit; points: (K, d) unit; targets: (n,) int64 taxa, all seen. Returns: scalar."""
        s, own = self.settings, points[self.seen]
        column = torch.cumsum(self.seen, 0)[targets] - 1
        loss = F.cross_entropy(s.scale * vectors @ own.T, column)
        if s.contrastive:
            loss = loss + s.contrastive * self.contrastive(vectors, targets)
        if s.gromov:
            loss = loss + s.gromov * self.geometry(points)
        return loss

    def geometry(self, points: Tensor) -> Tensor:
        """The Gromov-Wasserstein term of the prototypes (K, d)."""
        apart = cosine_distances(points)
        if int(self.steps) % self.settings.plan_steps == 0:
            found = apart.detach().double().cpu().numpy()
            asked = self.distances.cpu().numpy()
            asked = asked * (np.linalg.norm(found) / np.linalg.norm(asked))  # as large, whatever the coupling
            plan = coupling(self.settings.coupling, found, asked, self.seen.cpu().numpy())
            self.plan.copy_(torch.from_numpy(plan))
        self.steps += 1
        return gromov_wasserstein(apart, stretch(apart, self.distances, self.plan) * self.distances, self.plan)


class ZeroShotTask(DrawnTask):
    """What both ways to train share."""

    model: nn.Module

    def __init__(
        self,
        settings: ZeroShotSettings,
        where: Processes,
        taxa: TaxaRoles,
        known: Geometry,
        parts: Mapping[str, LabelledPart],
    ) -> None:
        self.settings, self.where, self.taxa, self.known, self.parts = settings, where, taxa, known, dict(parts)
        self.name = f"{settings.encoder}, {int(taxa.of(SEEN).sum()):,} seen of {len(taxa.nodes):,} taxa"
        self.objective = PrototypeLoss(settings, known, taxa.of(SEEN))
        self.failures = Failures()

    def make_head(self, base: Gallery) -> StandardisedProjection:
        """The projection, for features like the stored vectors of ``base``."""
        s, vectors = self.settings, base.vectors
        mean, deviation = vectors.mean(axis=0, dtype=np.float64), vectors.std(axis=0, dtype=np.float64)
        hidden = s.hidden or None
        return StandardisedProjection(
            torch.from_numpy(mean), torch.from_numpy(deviation), s.dim, hidden=hidden, dropout=s.dropout
        )

    # ------------------------------------------------------------------ what the loop asks for

    def order(self, epoch: int) -> Rows:
        """Which training specimens an epoch sees, in which order."""
        return drawn(self.parts["train"].taxa, self.settings.sampler, self.settings.seed, epoch)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The weighted sum of the terms, each of this process's batch; in float32 whatever the model computes in."""
        vectors, points = model(batch.inputs)
        with torch.autocast(self.where.device.type, enabled=False):
            return self.objective(vectors.float(), points.float(), batch.targets)  # type: ignore[no-any-return]

    def lr_factor(self, name: str) -> float:
        """The projection and the prototypes learn faster than a backbone."""
        return 1.0 if self.settings.freeze or name.startswith("backbone.") else self.settings.head_lr_factor

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Share right of the validation part's seen taxa and of those that are chosen on, mean over taxa, all candidates of one
        another, at the handicap that makes their harmonic mean best; that mean first."""
        held = self.parts.get("held")
        if held is None or not len(held.ids):
            return {}
        vectors = self.vectors(model, "held")
        found = best_handicap(vectors, held.taxa, self.placed(model), self.taxa.of(SEEN), self.taxa.of(CHOSEN_ON))
        if not self.taxa.of(CHOSEN_ON).any():
            return {"seen": found.seen, "handicap": 0.0}
        return {"harmonic mean": found.harmonic, "seen": found.seen, "unseen": found.unseen, "handicap": found.handicap}

    # ------------------------------------------------------------------ after the training

    @torch.no_grad()
    def placed(self, model: nn.Module) -> Array:
        """(K, d) float32 unit prototypes: those of seen taxa as learnt, the others where ``place`` puts them."""
        points = _net(model).prototypes.unit().cpu()
        if self.settings.place == "relatives":
            hidden = torch.from_numpy(~self.taxa.of(SEEN))
            if bool(hidden.any()):
                kernel = torch.from_numpy(self.known.kernel).float()
                points = points.masked_scatter(hidden[:, None], from_relatives(points, kernel, hidden, own=OWN))
        return np.asarray(points.numpy(), np.float32)

    def vectors(self, model: nn.Module, which: str) -> Array:
        """(n, d) float32 unit vectors of the specimens that are ``held``, or of the ``chosen`` taxa's training specimens."""
        raise NotImplementedError

    def save(self, folder: Path, facts: dict[str, Any]) -> str:
        """The encoder of the new vectors as a folder; returns its digest."""
        raise NotImplementedError


class FrozenZeroShotTask(ZeroShotTask):
    """Train a projection of the stored vectors. ``parts``: training, validation and chosen taxa's training specimens."""

    def __init__(
        self,
        settings: ZeroShotSettings,
        where: Processes,
        taxa: TaxaRoles,
        known: Geometry,
        parts: dict[str, LabelledPart],
        towers: Towers,
        galleries: dict[str, Gallery],
        preprocessing: Preprocessing,
    ) -> None:
        super().__init__(settings, where, taxa, known, parts)
        s = settings
        if s.size is not None or s.freeze_stages:
            raise BiocosmosError(
                "--size and --freeze-stages change how images are looked at, which --freeze does not do: leave them out"
            )
        self.towers, self.preprocessing = towers, preprocessing
        self._stored = {}
        for name, part in parts.items():
            gallery = galleries["held" if name == "held" else "train"]
            row = {str(id_): i for i, id_ in enumerate(gallery.ids)}
            has = np.array([str(id_) in row for id_ in part.ids], bool)
            self.parts[name] = LabelledPart(part.ids[has], part.taxa[has], part.other)
            self._stored[name] = torch.from_numpy(gallery.vectors[[row[str(id_)] for id_ in part.ids[has]]])
        base = galleries["train"]
        self.model = PrototypeNet(None, self.make_head(base), Prototypes(len(taxa.nodes), s.dim, scale=s.scale))
        own = self.parts["train"]
        self._batches = VectorBatches(
            [str(id_) for id_ in own.ids],
            self._stored["train"],
            torch.from_numpy(own.taxa),
            batch_size=suited_batch(s.batch_size, len(own.ids), where.size, LARGEST_OF_VECTORS),
            seed=s.seed,
            noise=s.noise,
            rank=where.rank,
            size=where.size,
            order=self.order,
        )

    def vectors(self, model: nn.Module, which: str) -> Array:
        return encode(_net(model).head, self._stored[which], self.where.device)

    def save(self, folder: Path, facts: dict[str, Any]) -> str:
        return save_encoder(
            folder,
            self.towers,
            base=self.settings.encoder,
            preprocessing=self.preprocessing,
            training=facts,
            projection=_net(self.model.cpu()).head.folded(),
            frozen=True,
        )


class ImageZeroShotTask(ZeroShotTask):
    """Train the image tower and the projection on top, on images. ``parts`` as for :class:`FrozenZeroShotTask`."""

    def __init__(
        self,
        collection: Collection,
        settings: ZeroShotSettings,
        where: Processes,
        taxa: TaxaRoles,
        known: Geometry,
        parts: dict[str, LabelledPart],
        towers: Towers,
        base: Gallery,
    ) -> None:
        super().__init__(settings, where, taxa, known, parts)
        s = settings
        if towers.projection is not None or towers.architecture["kind"] == "none":
            raise BiocosmosError(
                f"'{s.encoder}' cannot be trained and built again from a folder: train a projection of it (--freeze)"
            )
        self.towers = towers if s.size is None else at_size(towers, s.size)
        preprocessing = self.towers.preprocessing
        if self.towers.features() != base.dim:
            raise BiocosmosError(
                f"'{s.encoder}' gives other features than its stored vectors: train a projection of those (--freeze)"
            )
        tower = Normalised(trainable(self.towers), preprocessing)
        if s.freeze_stages:
            freeze_stages(tower, s.freeze_stages)
        net = PrototypeNet(
            tower, self.make_head(base), Prototypes(len(taxa.nodes), s.dim, scale=s.scale), norms_still=s.batch_norm == "still"
        )
        self.model = net.to(memory_format=torch.channels_last)
        share = {"train": s.cache_gb}
        self.images = {
            name: Images(collection, [str(id_) for id_ in part.ids], preprocessing, share.get(name, s.cache_gb / 2))
            for name, part in parts.items()
        }
        self.failures = self.images["train"].failures
        self._batches = ImageBatches(
            self.images["train"],
            torch.from_numpy(parts["train"].taxa),
            PRESETS[s.augment],
            batch_size=suited_batch(s.batch_size, len(parts["train"].ids), where.size, LARGEST_OF_IMAGES),
            seed=s.seed,
            rank=where.rank,
            size=where.size,
            workers=s.workers,
            order=self.order,
        )

    def vectors(self, model: nn.Module, which: str) -> Array:
        net = _net(model)
        assert net.backbone is not None
        whole = nn.Sequential(net.backbone, net.head)
        blocks = self.images[which].blocks(BLOCK, self.settings.workers)
        parts = [encode(whole, images, self.where.device) for _, images, _ in blocks]
        return np.concatenate(parts) if parts else np.empty((0, self.settings.dim), np.float32)

    def save(self, folder: Path, facts: dict[str, Any]) -> str:
        projection = _net(self.model.cpu()).head.folded()
        return save_encoder(folder, with_projection(self.towers, projection), base=self.settings.encoder, training=facts)


def _net(model: nn.Module) -> PrototypeNet:
    assert isinstance(model, PrototypeNet)
    return model
