"""What the two ways to train a head over a taxonomy share: the criterion, the mixing, the validation by rank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.optim import Optimizer

from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.namers.attribute_heads import mean_probabilities
from biocosmos.identify.namers.attribute_model import OutputWithAttributes
from biocosmos.identify.namers.head_model import HeadModel
from biocosmos.identify.namers.heads import save_head, torch_tree
from biocosmos.nn.attributes import AttributeCriterion
from biocosmos.nn.criteria import HeadCriterion
from biocosmos.nn.heads import NEEDS_MAPS, HeadOutput, make_head
from biocosmos.nn.imbalance import imbalance
from biocosmos.train.batches.drawing import Rows, shuffled
from biocosmos.train.batches.drawn_task import DrawnTask
from biocosmos.train.batches.mixing import cutmix, mixup
from biocosmos.train.batches.sampling import drawn
from biocosmos.train.heads.attribute_part import AttributePart
from biocosmos.train.heads.settings import HeadSettings
from biocosmos.train.heads.targets import HeadTargets
from biocosmos.train.heads.teaching import Teaching
from biocosmos.train.loop.loop import Batch
from biocosmos.train.loop.processes import Processes

POST_HOC = "post-hoc"
STEPS = "trunk.image.steps."
"""Weights of a reduction of tokens, which begin at random as the head does."""
CPU = torch.device("cpu")
BESIDE = "attributes"
"""Of the loss: the part of the attributes."""
BRANCHES = frozenset(NEEDS_MAPS)
"""Heads whose ranks leave the backbone at several depths."""
Array = npt.NDArray[Any]


class HeadTask(DrawnTask):
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

    def __init__(
        self,
        settings: HeadSettings,
        where: Processes,
        targets: HeadTargets,
        held: HeadTargets | None,
        attributes: AttributePart | None = None,
    ) -> None:
        """attributes: what is learnt beside the ranks, of the same specimens in the same order."""
        self.settings, self.where, self.targets, self.held = settings, where, targets, held
        self.attributes = attributes
        self.name = f"a {settings.head} head on {settings.encoder}, {len(targets.classes):,} classes"
        self.progress = 0.0
        self.head_only = self.cached = False
        self.sizes: Array | None = None
        self.teaching: Teaching | None = None
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
        if isinstance(weights, list) and len(weights) != self.tree.ranks:
            raise BiocosmosError(
                f"--rank-weights gives {len(weights)} numbers for {self.tree.ranks} ranks "
                f"({', '.join(self.targets.taxonomy.ranks)})"
            )
        schedule = weights if isinstance(weights, str) else "kept" if s.head in BRANCHES else None
        known = self.targets.nodes[self.targets.known]
        counts = torch.from_numpy(np.bincount(np.searchsorted(self.targets.classes, known), minlength=len(self.targets.classes)))
        self.counts = [int(count) for count in counts] if s.imbalance == POST_HOC else None
        found = HeadCriterion(
            s.head,
            self.tree,
            rank_weights=weights if isinstance(weights, list) else None,
            schedule=schedule,  # type: ignore[arg-type]
            dependency=s.dependency,
            hxe_alpha=s.hxe_alpha,
            imbalance=None if self.counts else imbalance(s.imbalance, counts, self.tree, tau=s.tau),
            smoothing=s.smoothing,
            outlier_weight=s.outlier_weight,
        )
        if self.attributes is not None:
            found.add_module(BESIDE, self.attributes.criterion())
        return found

    @property
    def net(self) -> HeadModel:
        """The model, as what it is."""
        assert isinstance(self.model, HeadModel)
        return self.model

    # ------------------------------------------------------------------ what the loop asks for

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        """The batches of one epoch from number ``start`` on, outliers at their ends; how far training is goes by them."""
        s = self.settings
        self.head_only = epoch >= s.epochs - s.decouple
        if self.attributes is not None:
            self.attributes.begin_epoch(self._of_attributes, epoch, start)
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
        loss: torch.Tensor = self.objective(output, targets, progress=self.progress)
        if self.attributes is not None:
            values = self.attributes.values_of(self._rows(batch)).to(self.where.device)
            beside = self.attributes.loss(self._of_attributes, output.attributes, values)
            return (1 - s.attribute_weight) * loss + s.attribute_weight * beside
        if self.teaching is None or self.head_only:
            return loss
        return self.teaching.loss(loss, output, self._rows(batch))

    def _rows(self, batch: Batch) -> npt.NDArray[np.int64]:
        """(n,) which training specimens a batch is of, -1 for outliers."""
        return np.array([self._row.get(id_, -1) for id_ in batch.ids], np.int64)

    @property
    def _of_attributes(self) -> AttributeCriterion:
        """The loss of the attributes, which is kept with that of the ranks."""
        found = self.objective.get_submodule(BESIDE)
        assert isinstance(found, AttributeCriterion)
        return found

    def objective_optimizer(self, lr: float, weight_decay: float) -> Optimizer | None:
        """Of what the loss of the attributes learns; that of the ranks learns nothing."""
        return None if self.attributes is None else self.attributes.optimizer(self._of_attributes, lr)

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

    def lr_factor(self, name: str) -> float:
        """How many times as fast as the backbone the weight ``name`` of the model learns."""
        return self.settings.head_lr_factor if name.startswith(("head.", "attributes.", STEPS)) else 1.0

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Share of right answers of the validation part at each rank, finest first, among those known there."""
        if self.held is None:
            return {}
        blocks = list(self._answers(model))
        if not blocks:
            return {}
        found, beside = (np.concatenate(parts) for parts in zip(*blocks))
        true = self.targets.taxonomy.lineage(self.held.nodes.astype(np.int32))
        figures = {}
        for rank in reversed(range(true.shape[1])):
            asked = true[:, rank] >= 0
            if asked.any():
                right = found[asked, rank] == true[asked, rank]
                figures[f"accuracy of {self.targets.taxonomy.ranks[rank]}"] = float(right.mean())
        return figures if self.attributes is None else figures | self.attributes.figures(beside)

    @torch.no_grad()
    def _answers(self, model: nn.Module, device: torch.device | None = None) -> Iterator[tuple[Array, Array]]:
        """Blocks of (m, L) nodes on the path to the most probable class, and (m, A) probabilities of attributes."""
        device = device or self.where.device
        for inputs, extra, activations in self._held_inputs(model):
            extra = None if extra is None else extra.to(device)
            output: HeadOutput = model(inputs.to(device), extra, activations=activations)
            best = self.tree.classes[output.logits.argmax(1).cpu()]
            beside = np.empty((len(best), 0), np.float32)
            if self.attributes is not None:
                assert isinstance(output, OutputWithAttributes)
                beside = mean_probabilities([output.attributes], self.attributes.targets.shapes)
            yield self.tree.lineage[best].numpy().astype(np.int32), beside

    def _held_inputs(self, model: nn.Module) -> Iterator[tuple[torch.Tensor, torch.Tensor | None, bool]]:
        raise NotImplementedError

    def save(self, folder: Path, training: dict[str, Any]) -> None:
        """The trained head, and the encoder if it was trained too, as a folder."""
        raise NotImplementedError

    def _save_head(self, folder: Path, encoder: dict[str, Any], training: dict[str, Any]) -> None:
        if self.attributes is not None:
            held = None
            if self.held is not None:
                nothing = np.empty((0, sum(self.attributes.sizes)), np.float32)
                held = np.concatenate([nothing, *(beside for _, beside in self._answers(self.net.eval(), CPU))])
            self.attributes.save(
                folder,
                self.net,
                held,
                channels=self.channels,
                encoder=encoder,
                preprocessing=self.preprocessing,
                training=training,
            )
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
            tau=self.settings.tau,
            training=training,
        )


def hash_row(id_: str, count: int) -> int:
    """A row for an id that is none of the training specimens', the same one in every process."""
    return sum(id_.encode()) % count
