"""The training of one space as a task of the one training loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from biocosmos.embed.reader import ahead
from biocosmos.encoders.modality import Modality
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.nn.modal_pairs import ModalPairs
from biocosmos.train.batches.drawing import SMALLEST, Drawing, Rows
from biocosmos.train.batches.drawn_task import DrawnTask
from biocosmos.train.contrastive.settings import SPECIMEN, ContrastiveSettings
from biocosmos.train.contrastive.space import ROWS, ModalTowers
from biocosmos.train.contrastive.specimens import ModalRows
from biocosmos.train.contrastive.towers.source import TowerSource
from biocosmos.train.contrastive.validation import TEXT, Watched
from biocosmos.train.loop.loop import Batch, derived_seed
from biocosmos.train.loop.processes import Processes

LARGEST_BATCH, FEWEST_STEPS = 1024, 8
"""Specimens of a step where nothing is asked for, and steps that an epoch then has at least."""
STAND_INS = 2
"""Inputs that a tower always gets, of any specimen: a process without a row of a modality takes part in the step all the same."""
BLOCK = 256
Array = npt.NDArray[Any]


class ModalTask(DrawnTask):
    """Towers and the loss between them. rows: what is learnt from and watched; sources: modality -> its tower."""

    def __init__(
        self,
        settings: ContrastiveSettings,
        where: Processes,
        rows: ModalRows,
        sources: Mapping[Modality, TowerSource],
        failures: Failures,
    ) -> None:
        s = self.settings = settings
        self.where, self.rows, self.sources, self.failures = where, rows, sources, failures
        for modality, source in sources.items():
            if not source.there[: rows.learnt].any():
                raise BiocosmosError(
                    f"{getattr(s, modality)} has nothing of the specimens of part '{s.split}' that are learnt from: embed anew "
                    f"('biocosmos embed {rows.collection.path} -e {getattr(s, modality)} --overwrite'), or {s.without(modality)}"
                )
        self.name = f"one space of {' and '.join(sources)}"
        self.model: nn.Module = self.joined({name: source.module for name, source in sources.items()})
        self._objective = nn.Identity()
        self._batches = self.drawn()
        self.watched = Watched(rows, {name: source.there for name, source in sources.items()}, s.seed)

    def joined(self, towers: Mapping[str, nn.Module]) -> ModalTowers:
        """The towers, and the loss between them."""
        s = self.settings
        pairs = ModalPairs(
            s.pairs,
            temperature=s.temperature,
            as_published=s.as_published,
            within=() if s.targets == SPECIMEN else [name for name in towers if name != TEXT],
            weight=s.within,
        )
        return ModalTowers(towers, pairs)

    def drawn(self) -> ModalBatches:
        """The batches that are learnt from."""
        return ModalBatches(self.rows, self.sources, self.settings, self.where)

    @property
    def space(self) -> ModalTowers:
        """The model, as what it is."""
        assert isinstance(self.model, ModalTowers)
        return self.model

    @property
    def objective(self) -> nn.Module:
        """Nothing: the loss is part of the model, so that its scale is one in all processes."""
        return self._objective

    def lr_factor(self, name: str) -> float:
        """What the tower of a weight says; the scale learns as what is new."""
        _, modality, own = (*name.split(".", 2), "", "")[:3]
        return self.sources[modality].lr_factor(own) if modality in self.sources else 1.0  # type: ignore[index]

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The loss between the modalities of a batch, over all processes."""
        return model(batch.inputs, batch.targets)  # type: ignore[no-any-return]

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Of :class:`Watched`."""
        if not self.watched:
            return {}
        assert isinstance(model, ModalTowers)
        return self.watched.figures({name: self.vectors(model, name, rows) for name, rows in self.watched.asked.items()})

    @torch.no_grad()
    def vectors(self, model: ModalTowers, modality: Modality, rows: Rows) -> npt.NDArray[np.float32]:
        """(m, width) float32 unit vectors of rows that have the modality, by the model as it is."""
        tower, parts = model.towers[modality], []
        for start in range(0, len(rows), BLOCK):
            inputs = self.sources[modality].inputs(rows[start : start + BLOCK], None)
            parts.append(nn.functional.normalize(tower(inputs.to(self.where.device)).float(), dim=1).cpu().numpy())
        return np.concatenate(parts) if parts else np.empty((0, self.settings.width), np.float32)


class ModalBatches:
    """Shuffled batches of the specimens that are learnt from; the same ones for the same seed, epoch and process."""

    def __init__(
        self, rows: ModalRows, sources: Mapping[Modality, TowerSource], settings: ContrastiveSettings, where: Processes
    ) -> None:
        self._rows, self._sources, self._seed, self._rank = rows, sources, settings.seed, where.rank
        self._workers = settings.workers
        suited = max(SMALLEST, min(LARGEST_BATCH, rows.learnt // (FEWEST_STEPS * where.size)))
        size = settings.batch_size or suited
        self._drawing = Drawing(rows.learnt, size, seed=settings.seed, rank=where.rank, size=where.size)
        self.batch_size, self.count = self._drawing.batch_size, self._drawing.count
        self._stand_ins = {name: np.flatnonzero(source.there[: rows.learnt])[:STAND_INS] for name, source in sources.items()}

    def epoch(self, epoch: int, start: int) -> Iterator[Batch]:
        """Batches ``start`` to ``count`` of an epoch."""
        order = self._drawing.order(epoch)

        def make(number: int) -> Batch:
            return self._batch(self._drawing.rows(order, number), epoch, number)

        yield from ahead(make, range(start, self.count), self._workers, each=1)

    def _batch(self, rows: Rows, epoch: int, number: int) -> Batch:
        inputs: dict[str, torch.Tensor] = {}
        for at, (name, source) in enumerate(self._sources.items()):
            places = np.flatnonzero(source.there[rows])
            chosen = rows[places]
            if len(chosen) < STAND_INS:
                chosen = np.concatenate([chosen, self._stand_ins[name]])
            generator = torch.Generator().manual_seed(derived_seed(self._seed, epoch, number, self._rank, 1 + at))
            inputs[name] = source.inputs(chosen, generator)
            inputs[name + ROWS] = torch.from_numpy(places)
        labels = torch.from_numpy(self._rows.labels[rows])
        return Batch(inputs, labels, [self._rows.ids[row] for row in rows])
