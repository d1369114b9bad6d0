"""Train a head with its backbone, on images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from biocosmos.encoders.feature_maps import Trunk
from biocosmos.encoders.reduction.dynamicvit import DynamicVitLoss, drawn
from biocosmos.encoders.towers import Towers, plain_state, weights_digest
from biocosmos.errors import BiocosmosError
from biocosmos.identify.namers.attribute_model import HeadsModel
from biocosmos.identify.namers.head_model import HeadModel
from biocosmos.identify.namers.heads import TrainedHead
from biocosmos.settings import names_in
from biocosmos.specimens.collection import Collection
from biocosmos.train.batches.augment import PRESETS
from biocosmos.train.batches.drawing import LARGEST_OF_IMAGES, suited_batch
from biocosmos.train.batches.drawn_task import Batches
from biocosmos.train.batches.image_sizes import image_sizes
from biocosmos.train.batches.images import ImageBatches, Images
from biocosmos.train.batches.near_boundary import near_boundary
from biocosmos.train.batches.outlier_images import ImageSource, outlier_source
from biocosmos.train.batches.stage_cache import CacheBatches, StageCache
from biocosmos.train.heads.attribute_part import AttributePart
from biocosmos.train.heads.backbone import save_trained, to_train
from biocosmos.train.heads.settings import HeadSettings
from biocosmos.train.heads.targets import OUTLIER, HeadTargets
from biocosmos.train.heads.task import BRANCHES, HeadTask
from biocosmos.train.heads.teaching import StudentModel, Teaching
from biocosmos.train.loop.freezing import freeze_stages
from biocosmos.train.loop.loop import Batch, derived_seed
from biocosmos.train.loop.patch_dropout import drop_patches
from biocosmos.train.loop.processes import Processes

BLOCK = 64
ADVERSARIAL = "adversarial"
TAPS = 3
"""Tensors a branch head takes from the backbone: two maps and the pooled features."""


class ImageHeadTask(HeadTask):
    """Train the backbone and the head, on images."""

    def __init__(
        self,
        collection: Collection,
        settings: HeadSettings,
        where: Processes,
        targets: HeadTargets,
        held: HeadTargets | None,
        towers: Towers,
        everything: HeadTargets,
        teaching: Teaching | None = None,
        attributes: AttributePart | None = None,
    ) -> None:
        """everything: targets of the whole training part, as if nothing were left out: what a cache is made of; teaching: what
        is learnt beside the labels; attributes: what is learnt beside the ranks."""
        super().__init__(settings, where, targets, held, attributes)
        s, self.teaching = settings, teaching
        self.towers = to_train(towers, s)
        self.preprocessing = self.towers.preprocessing
        if self.towers.reduction is not None and s.head in BRANCHES:
            raise BiocosmosError(f"--head {s.head} takes maps, and reduced tokens make none: choose flat, or leave --reduce out")
        trunk = self._trunk()
        self.taps = [trunk.stages.index(name) for name in trunk.tapped]
        if s.freeze_stages:
            freeze_stages(self.towers.image, s.freeze_stages)
        head = self.make(trunk.channels)
        if s.with_head:
            self._begin_with_head(head)
        if s.patch_dropout:
            drop_patches(self.towers.image, s.patch_dropout)
        still = s.batch_norm == "still"
        if self.attributes is not None:
            beside = self.attributes.module(trunk.channels)
            model: HeadModel = HeadsModel(trunk, head, beside, self.preprocessing, norms_still=still)
        elif teaching is not None and teaching.width is not None:
            model = StudentModel(trunk, head, self.preprocessing, norms_still=still, width=teaching.width)
        else:
            model = HeadModel(trunk, head, self.preprocessing, norms_still=still)
        self.model = model.to(memory_format=torch.channels_last)
        self.objective = self.make_objective()
        self.cached = bool(s.cache_views)
        source = everything if self.cached else targets
        self.images = Images(collection, [str(id_) for id_ in source.ids], self.preprocessing, 0 if self.cached else s.cache_gb)
        self.failures = self.images.failures
        if s.size_feature:
            self.sizes = image_sizes(collection, [str(id_) for id_ in targets.ids])
        nodes = torch.from_numpy(targets.nodes)
        kinds = names_in(s.outliers)
        self._size = suited_batch(s.batch_size, len(targets), where.size, LARGEST_OF_IMAGES)
        self.near_boundary = round(self._size * s.outlier_share / len(kinds)) if ADVERSARIAL in kinds else 0
        kinds = tuple(kind for kind in kinds if kind != ADVERSARIAL)
        self.outliers = outlier_source(
            self.images, source.nodes, kinds, s.outlier_images or None, share=s.outlier_share, seed=s.seed
        )
        if self.cached:
            self._batches = self._from_cache(collection, everything)
        else:
            self._batches = ImageBatches(self.images, nodes, PRESETS[s.augment], order=self.order, **self._drawing())
            if self.outliers is not None:
                flat = torch.full((len(self.outliers),), OUTLIER, dtype=torch.int64)
                drawing = self._drawing(outliers=True)
                self._outlier_batches: Batches = ImageBatches(self.outliers, flat, PRESETS[s.augment], **drawing)  # type: ignore[arg-type]
        self._ratio = DynamicVitLoss()
        self._held_images: Images | None = None
        self._held_kept: list[torch.Tensor] = []
        if held is not None:
            self._held_images = Images(collection, [str(id_) for id_ in held.ids], self.preprocessing, s.cache_gb / 2)
            self._held_sizes = image_sizes(collection, self._held_images.ids) if s.size_feature else None

    def _begin_with_head(self, head: nn.Module) -> None:
        """Weights of the head in the encoder's folder. Raises BiocosmosError where there is none, or one of another shape."""
        loaded = TrainedHead.load(self.settings.encoder)
        mine = [self.targets.taxonomy.path(int(node)) for node in self.targets.classes]
        theirs = [loaded.taxonomy.path(int(node)) for node in loaded.classes]
        same = (loaded.facts["head"], list(loaded.facts["channels"])) == (self.kind, self.channels)
        if not same or mine != theirs or loaded.model.head.state_dict().keys() != head.state_dict().keys():
            raise BiocosmosError(
                f"--with-head begins with the head in {self.settings.encoder}, a {loaded.facts['head']} head of "
                f"{len(theirs):,} classes: train one of the same kind, ranks and classes, or leave it out"
            )
        head.load_state_dict(loaded.model.head.state_dict())

    def _trunk(self) -> Trunk:
        """The backbone, with maps for the heads that branch off it; with cached stages, maps of what comes after them."""
        s = self.settings
        if s.head not in BRANCHES:
            return Trunk(self.towers, taps=1)
        trunk = Trunk(self.towers, taps=TAPS)
        if not s.cache_views:
            return trunk
        last = len(trunk.stages)
        for taps in ([trunk.stages.index(name) for name in trunk.tapped], [last - 2, last - 1]):
            trunk = Trunk(self.towers, taps=taps)
            try:
                trunk.frozen_prefix(s.freeze_stages)
                return trunk
            except BiocosmosError as error:
                problem = error
        raise problem

    def _drawing(self, *, outliers: bool = False) -> dict[str, Any]:
        s = self.settings
        size = self._size
        if outliers and self.outliers is not None:
            size = max(2, min(round(size * s.outlier_share), len(self.outliers) // self.where.size))
        return {
            "batch_size": size,
            "seed": derived_seed(s.seed, 1) if outliers else s.seed,
            "rank": self.where.rank,
            "size": self.where.size,
            "workers": s.workers,
        }

    def _from_cache(self, collection: Collection, everything: HeadTargets) -> Batches:
        """Batches of what the frozen stages gave, computed once for the whole part; trainings that leave some out share it."""
        s = self.settings
        self.front = self.net.split_after(s.freeze_stages)
        digest = weights_digest(plain_state(self.front))  # of these stages only: encoders trained from one another share them
        folder = Path(s.cache_folder) if s.cache_folder else collection.path / "work" / "stages"

        def cached(images: ImageSource) -> StageCache:
            return StageCache.open(
                folder,
                images=images,
                augment=PRESETS[s.augment],
                front=self.pixels_front(),
                views=s.cache_views,
                seed=s.seed,
                digest=digest,
                stages=s.freeze_stages,
                workers=s.workers,
                device=self.where.device,
            )

        rows = np.searchsorted(everything.ids.astype(str), self.targets.ids.astype(str))
        if self.outliers is not None:
            allowed = np.zeros(len(everything), np.bool_)
            allowed[rows] = self.targets.known
            kept = np.flatnonzero(self.outliers.made_of(allowed))
            flat = torch.full((len(kept),), OUTLIER, dtype=torch.int64)
            drawing = {key: value for key, value in self._drawing(outliers=True).items() if key != "workers"}
            self._outlier_batches = CacheBatches(cached(self.outliers), flat, rows=kept, **drawing)
        drawing = {key: value for key, value in self._drawing().items() if key != "workers"}
        return CacheBatches(cached(self.images), torch.from_numpy(self.targets.nodes), order=self.order, rows=rows, **drawing)

    def pixels_front(self) -> nn.Module:
        """Pixels 0..255 to activations of the frozen stages."""
        return _PixelsFront(self.net, self.front)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The criterion of a batch, with images at which the model hesitates, if they are asked for."""
        if self.near_boundary and not self.head_only:
            made, _ = near_boundary(batch.inputs, batch.targets, self._scores, torch.default_generator, self.near_boundary)
            flat = batch.targets.new_full((len(made),), OUTLIER)
            ids = [*batch.ids, *(f"near boundary {i}" for i in range(len(made)))]
            batch = Batch(torch.cat([batch.inputs, made.to(batch.inputs.dtype)]), torch.cat([batch.targets, flat]), ids)
        loss = super().loss(model, batch)
        learnt = drawn(self.model)  # of a reduction that learns how many tokens stay
        return loss + self._ratio(learnt.decisions, learnt.shares) if learnt.decisions else loss

    def _scores(self, images: torch.Tensor) -> torch.Tensor:
        """Class scores of pixels, all of them of the mean size."""
        extra = None
        if self.sizes is not None:
            extra = torch.from_numpy(self.sizes.mean(0, keepdims=True)).to(images.device).expand(len(images), -1)
        scores: torch.Tensor = self.net(images, extra).logits
        return scores

    def _epoch(self, epoch: int, start: int) -> Iterator[Batch]:
        batches = self._batches.epoch(epoch, start)
        if self.outliers is None:
            return batches
        return _with_outliers(batches, _endless(self._outlier_batches, epoch * self._batches.count + start))

    def _held_inputs(self, model: nn.Module) -> Iterator[tuple[torch.Tensor, torch.Tensor | None, bool]]:
        assert self._held_images is not None
        sizes = None if self._held_sizes is None else torch.from_numpy(self._held_sizes).to(self.where.device)
        if self.cached and self._held_kept:
            start = 0
            for kept in self._held_kept:
                yield kept.float(), None if sizes is None else sizes[start : start + len(kept)], True
                start += len(kept)
            return
        front = self.pixels_front().to(self.where.device).eval() if self.cached else None
        for rows, images, _ in self._held_images.blocks(BLOCK, self.settings.workers):
            extra = None if sizes is None else sizes[torch.from_numpy(rows)]
            if front is None:
                yield images, extra, False
                continue
            self._held_kept.append(front(images.to(self.where.device)).half())
            yield self._held_kept[-1].float(), extra, True

    def save(self, folder: Path, training: dict[str, Any]) -> None:
        """The backbone as an encoder, and the head beside it."""
        self.model.cpu()
        self._save_head(folder, save_trained(folder, self.towers, self.settings, training), training)


class _PixelsFront(nn.Module):
    def __init__(self, model: HeadModel, front: nn.Module) -> None:
        super().__init__()
        self.front = front
        self.register_buffer("scale", model.scale.clone())
        self.register_buffer("shift", model.shift.clone())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = images.float() * self.scale + self.shift  # type: ignore[operator]
        return self.front(x.contiguous(memory_format=torch.channels_last))  # type: ignore[no-any-return]


def _endless(batches: Batches, first: int) -> Iterator[Batch]:
    """Batches number ``first``, ``first`` + 1, ... of one epoch after another."""
    epoch, start = divmod(first, batches.count)
    while True:
        yield from batches.epoch(epoch, start)
        epoch, start = epoch + 1, 0


def _with_outliers(batches: Iterator[Batch], outliers: Iterator[Batch]) -> Iterator[Batch]:
    for batch, flat in zip(batches, outliers):
        yield Batch(torch.cat([batch.inputs, flat.inputs]), torch.cat([batch.targets, flat.targets]), [*batch.ids, *flat.ids])
