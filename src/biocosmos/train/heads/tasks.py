"""The two ways to train a head over a taxonomy: with the backbone, on images, or alone, on stored vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.optim import Optimizer

from biocosmos.embed import embed
from biocosmos.encoders.feature_maps import Trunk
from biocosmos.encoders.input_size import at_size
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.registry import load_towers
from biocosmos.encoders.saving import save_encoder
from biocosmos.encoders.towers import Towers, plain_state, trainable, weights_digest
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.namers.head_model import HeadModel
from biocosmos.identify.namers.heads import save_head, torch_tree
from biocosmos.nn.criteria import HeadCriterion
from biocosmos.nn.heads import NEEDS_MAPS, HeadOutput, make_head
from biocosmos.nn.imbalance import imbalance
from biocosmos.settings import names_in
from biocosmos.specimens.collection import Collection
from biocosmos.train.batches.augment import PRESETS
from biocosmos.train.batches.image_sizes import image_sizes
from biocosmos.train.batches.images import ImageBatches, Images, Rows, VectorBatches, shuffled
from biocosmos.train.batches.mixing import cutmix, mixup
from biocosmos.train.batches.near_boundary import near_boundary
from biocosmos.train.batches.outlier_images import ImageSource, outlier_source
from biocosmos.train.batches.sampling import drawn
from biocosmos.train.batches.stage_cache import CacheBatches, StageCache
from biocosmos.train.heads.settings import HeadSettings
from biocosmos.train.heads.targets import OUTLIER, HeadTargets
from biocosmos.train.loop.freezing import freeze_stages
from biocosmos.train.loop.loop import Batch, derived_seed
from biocosmos.train.loop.processes import Processes

BLOCK = 64
BATCHES, SMALLEST = 40, 16
"""A training on stored vectors has at least so many batches an epoch, where they are not smaller than that: few large ones learn
little of a small collection."""
HELD = 5_000
"""Validation specimens that are looked at after each epoch, a seeded sample of larger parts."""
POST_HOC, ADVERSARIAL = "post-hoc", "adversarial"
TAPS = 3
"""Tensors a branch head takes from the backbone: two maps and the pooled features."""
_BRANCHES = frozenset(NEEDS_MAPS)
Array = npt.NDArray[Any]


class Batches(Protocol):
    """What the tasks draw batches from."""

    batch_size: int
    count: int

    def epoch(self, epoch: int, start: int) -> Iterator[Batch]:
        """Batches ``start`` to ``count`` of an epoch."""


class HeadTask:
    """What both ways to train share: the criterion, the mixing, the validation by rank."""

    model: nn.Module
    objective: HeadCriterion
    failures: Failures
    kind: str
    options: dict[str, Any]
    channels: list[int]
    preprocessing: Preprocessing
    taps: list[int]
    counts: list[int] | None
    _batches: Batches

    def __init__(self, settings: HeadSettings, where: Processes, targets: HeadTargets, held: HeadTargets | None) -> None:
        self.settings, self.where, self.targets, self.held = settings, where, targets, held
        self.name = f"a {settings.head} head on {settings.encoder}, {len(targets.classes):,} classes"
        self.progress = 0.0
        self.head_only = self.cached = False
        self.sizes: Array | None = None
        self._row = {str(id_): row for row, id_ in enumerate(targets.ids)}
        self.tree = torch_tree(targets.taxonomy, targets.classes)

    def make(self, channels: Sequence[int]) -> nn.Module:
        """The head, and what is needed to make it again."""
        s = self.settings
        self.kind, self.channels = s.head, list(channels)
        self.options = {"hidden": s.hidden, "dropout": s.dropout, "extra": 2 if s.size_feature else 0}
        return make_head(self.kind, self.tree, self.channels, **self.options)

    def make_objective(self) -> HeadCriterion:
        """The loss the settings describe."""
        s = self.settings
        weights = s.weights()
        if isinstance(weights, list) and len(weights) != self.tree.levels:
            raise BiocosmosError(
                f"--level-weights gives {len(weights)} numbers for {self.tree.levels} ranks "
                f"({', '.join(self.targets.taxonomy.ranks)})"
            )
        schedule = weights if isinstance(weights, str) else "kept" if s.head in _BRANCHES else None
        known = self.targets.nodes[self.targets.known]
        counts = torch.from_numpy(np.bincount(np.searchsorted(self.targets.classes, known), minlength=len(self.targets.classes)))
        self.counts = [int(count) for count in counts] if s.imbalance == POST_HOC else None
        return HeadCriterion(
            s.head,
            self.tree,
            level_weights=weights if isinstance(weights, list) else None,
            schedule=schedule,  # type: ignore[arg-type]
            dependency=s.dependency,
            hxe_alpha=s.hxe_alpha,
            imbalance=None if self.counts else imbalance(s.imbalance, counts, self.tree),
            smoothing=s.smoothing,
            outlier_weight=s.outlier_weight,
        )

    @property
    def net(self) -> HeadModel:
        """The model, as what it is."""
        assert isinstance(self.model, HeadModel)
        return self.model

    # ------------------------------------------------------------------ what the loop asks for

    @property
    def batches_per_epoch(self) -> int:
        """Batches of this process in an epoch."""
        return self._batches.count

    @property
    def batch_size(self) -> int:
        """Specimens of this process in a batch."""
        return self._batches.batch_size

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        """The batches of one epoch from number ``start`` on, outliers at their ends; how far training is goes by them."""
        s = self.settings
        self.head_only = epoch >= s.epochs - s.decouple
        for number, batch in enumerate(self._epoch(epoch, start), start):
            self.progress = (epoch + number / self._batches.count) / s.epochs
            yield batch

    def _epoch(self, epoch: int, start: int) -> Iterator[Batch]:
        return self._batches.epoch(epoch, start)

    def order(self, epoch: int) -> Rows:
        """Which training specimens an epoch sees, in which order."""
        s = self.settings
        q = 1.0 if epoch >= s.epochs - s.decouple else s.sampler
        if not q:
            return shuffled(len(self.targets), s.seed, epoch)
        return drawn(self.targets.nodes, q, s.seed, epoch)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The criterion of a batch, mixed if the settings say so."""
        s, inputs, targets = self.settings, batch.inputs, batch.targets
        extra = self.extra(batch.ids)
        mixing = s.mix != "none" and not self.head_only
        if mixing:
            mix = mixup if s.mix == "mixup" else cutmix
            weights = self._rarity(targets) if s.mix_partner == "balanced" else None
            inputs, other, share = mix(inputs, targets, s.mix_alpha, weights=weights)
        output = model(inputs, extra, activations=self.cached, head_only=self.head_only)
        if mixing:
            return self.objective.mixed(output, targets, other, share, progress=self.progress)
        return self.objective(output, targets, progress=self.progress)  # type: ignore[no-any-return]

    def _rarity(self, targets: torch.Tensor) -> torch.Tensor:
        """(n,) 1 / size of each target's class, 0 for outliers: what partners of a mixture are drawn by."""
        sizes = torch.from_numpy(np.bincount(np.maximum(self.targets.nodes, 0), minlength=len(self.targets.taxonomy)))
        return torch.where(targets.cpu() > 0, 1 / sizes[targets.cpu().clamp_min(0)].clamp_min(1), 0.0)

    def extra(self, ids: Sequence[str]) -> torch.Tensor | None:
        """(n, 2) logarithms of the images' sizes, where the head takes them; outliers have those of a random specimen."""
        if self.sizes is None:
            return None
        rows = [self._row.get(id_, hash_row(id_, len(self.sizes))) for id_ in ids]
        return torch.from_numpy(self.sizes[rows]).to(self.where.device)

    def objective_optimizer(self, lr: float, weight_decay: float) -> Optimizer | None:
        """The criterion has no weights."""
        return None

    def lr_factor(self, name: str) -> float:
        """How many times as fast as the backbone the weight ``name`` of the model learns."""
        return self.settings.head_lr_factor if name.startswith("head.") else 1.0

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Share of right answers of the validation part at each rank, finest first, among those known there."""
        if self.held is None:
            return {}
        found = np.concatenate([np.empty((0, len(self.targets.taxonomy.ranks)), np.int32), *self._answers(model)])
        true = self.targets.taxonomy.lineage(self.held.nodes.astype(np.int32))
        figures = {}
        for level in reversed(range(true.shape[1])):
            asked = true[:, level] >= 0
            if asked.any():
                right = found[asked, level] == true[asked, level]
                figures[f"accuracy of {self.targets.taxonomy.ranks[level]}"] = float(right.mean())
        return figures

    @torch.no_grad()
    def _answers(self, model: nn.Module) -> Iterator[Array]:
        """Blocks of (m, L) nodes on the path to the most probable class."""
        for inputs, extra, activations in self._held_inputs(model):
            output: HeadOutput = model(inputs.to(self.where.device), extra, activations=activations)
            best = self.tree.classes[output.logits.argmax(1).cpu()]
            yield self.tree.lineage[best].numpy().astype(np.int32)

    def _held_inputs(self, model: nn.Module) -> Iterator[tuple[torch.Tensor, torch.Tensor | None, bool]]:
        raise NotImplementedError

    def save(self, folder: Path, training: dict[str, Any]) -> None:
        """The trained head, and the encoder if it was trained too, as a folder."""
        raise NotImplementedError

    def _save_head(self, folder: Path, encoder: dict[str, Any], training: dict[str, Any]) -> None:
        save_head(
            folder,
            self.net,
            kind=self.kind,
            options=self.options,
            channels=self.channels,
            taps=self.taps,
            taxonomy=self.targets.taxonomy,
            classes=self.targets.classes,
            encoder=encoder,
            preprocessing=self.preprocessing,
            sizes=self.sizes is not None,
            counts=self.counts,
            training=training,
        )


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
    ) -> None:
        """everything: targets of the whole training part, as if nothing were left out: what a cache is made of."""
        super().__init__(settings, where, targets, held)
        s = settings
        if towers.architecture["kind"] == "none":
            raise BiocosmosError(f"'{s.encoder}' cannot be built again from a folder: train a head on its vectors (--freeze)")
        self.towers = towers if s.size is None else at_size(towers, s.size)
        self.preprocessing = self.towers.preprocessing
        trainable(self.towers)  # refuses what cannot be trained
        for weights in self.towers.whole.parameters():
            weights.requires_grad_(True)
        trunk = self._trunk()
        self.taps = [trunk.stages.index(name) for name in trunk.tapped]
        if s.freeze_stages:
            freeze_stages(self.towers.image, s.freeze_stages)
        head = self.make(trunk.channels)
        model = HeadModel(trunk, head, self.preprocessing, norms_still=s.batch_norm == "still")
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
        self.near_boundary = round(s.batch_size * s.outlier_share / len(kinds)) if ADVERSARIAL in kinds else 0
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
        self._held_images: Images | None = None
        self._held_kept: list[torch.Tensor] = []
        if held is not None:
            self._held_images = Images(collection, [str(id_) for id_ in held.ids], self.preprocessing, s.cache_gb / 2)
            self._held_sizes = image_sizes(collection, self._held_images.ids) if s.size_feature else None

    def _trunk(self) -> Trunk:
        """The backbone, with maps for the heads that branch off it; with cached stages, maps of what comes after them."""
        s = self.settings
        if s.head not in _BRANCHES:
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
        size = s.batch_size
        if outliers and self.outliers is not None:
            size = max(2, min(round(s.batch_size * s.outlier_share), len(self.outliers) // self.where.size))
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
        return super().loss(model, batch)

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
        digest = save_encoder(folder, self.towers, base=self.settings.encoder, training=training)
        encoder = {"name": self.settings.encoder, "digest": self.towers.started_from or self.towers.digest, "trained": digest}
        self._save_head(folder, encoder, training)


class _PixelsFront(nn.Module):
    def __init__(self, model: HeadModel, front: nn.Module) -> None:
        super().__init__()
        self.front = front
        self.register_buffer("scale", model.scale.clone())
        self.register_buffer("shift", model.shift.clone())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = images.float() * self.scale + self.shift  # type: ignore[operator]
        return self.front(x.contiguous(memory_format=torch.channels_last))  # type: ignore[no-any-return]


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
    ) -> None:
        """vectors: ids -> (those that have a vector (m,) bool, their vectors (m', d))."""
        if settings.head in _BRANCHES:
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
        super().__init__(settings, where, targets, held)
        s, self.taps = settings, []
        self.stored = collection.encoders[s.encoder]
        self.preprocessing = Preprocessing.from_dict(self.stored["preprocessing"])
        self.failures = Failures()
        if missing := int((~there).sum()):
            self.failures.add(f"{missing:,} training specimens have no vector of {s.encoder}", stage="train", severity="warning")
        self.model = HeadModel(None, self.make([x.shape[1]]))
        self.objective = self.make_objective()
        ids = [str(id_) for id_ in targets.ids]
        if s.size_feature:
            self.sizes = image_sizes(collection, ids)
            self._held_sizes = None if held is None else image_sizes(collection, [str(id_) for id_ in held.ids])
        self._batches = VectorBatches(
            ids,
            torch.from_numpy(x),
            torch.from_numpy(targets.nodes),
            batch_size=max(SMALLEST, min(s.batch_size, len(ids) // (BATCHES * where.size))),
            seed=s.seed,
            rank=where.rank,
            size=where.size,
            order=self.order,
        )

    def _held_inputs(self, model: nn.Module) -> Iterator[tuple[torch.Tensor, torch.Tensor | None, bool]]:
        for start in range(0, len(self._held_vectors), 1024):
            rows = slice(start, start + 1024)
            extra = torch.from_numpy(self._held_sizes[rows]) if self.sizes is not None and self._held_sizes is not None else None
            yield self._held_vectors[rows], extra, False

    def save(self, folder: Path, training: dict[str, Any]) -> None:
        """The head, and the name of the encoder whose vectors it takes."""
        self.model.cpu()
        digest = str(self.stored.get("digest"))
        self._save_head(folder, {"name": self.settings.encoder, "digest": digest, "trained": digest}, training)


def stored_vectors(collection: Collection, encoder: str, where: Processes) -> Callable[[Array], tuple[Array, Array]]:
    """A function from ids to (mask of those that have a vector, their unit vectors (m, d) float32); embeds what is not yet."""
    if where.first and encoder not in collection.encoders:
        load_towers(encoder)  # says at once what is wrong with the name
        embed(collection, encoder, device=str(where.device))
    where.barrier()
    column = collection.embedding_column(encoder)

    def look_up(ids: Array) -> tuple[Array, Array]:
        table = collection.take([str(id_) for id_ in ids], columns=["id", column])
        there = ~np.asarray(table[column].is_null())
        dim = int(collection.encoders[encoder]["dim"])
        kept = table[column].combine_chunks().drop_null()
        return there, np.array(
            kept.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim), np.float32
        )  # a copy: arrow's cannot be written

    return look_up


def _kept(targets: HeadTargets, rows: Array) -> HeadTargets:
    return HeadTargets(targets.ids[rows], targets.nodes[rows], targets.taxonomy, targets.classes, targets.facts)


def hash_row(id_: str, count: int) -> int:
    """A row for an id that is none of the training specimens', the same one in every process."""
    return sum(id_.encode()) % count


def _endless(batches: Batches, first: int) -> Iterator[Batch]:
    """Batches number ``first``, ``first`` + 1, ... of one epoch after another."""
    epoch, start = divmod(first, batches.count)
    while True:
        yield from batches.epoch(epoch, start)
        epoch, start = epoch + 1, 0


def _with_outliers(batches: Iterator[Batch], outliers: Iterator[Batch]) -> Iterator[Batch]:
    for batch, flat in zip(batches, outliers):
        yield Batch(torch.cat([batch.inputs, flat.inputs]), torch.cat([batch.targets, flat.targets]), [*batch.ids, *flat.ids])
