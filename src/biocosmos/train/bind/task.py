"""Binding to an anchor as a task of the one training loop: the published losses, and the queue of past places."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import torch
from torch import nn

from biocosmos.encoders.modality import Modality
from biocosmos.nn import bound_pairs
from biocosmos.nn.bound_pairs import NOBODY, BoundPairs
from biocosmos.train.batches.drawing import Rows
from biocosmos.train.bind.settings import CLIP, ENVIRONMENT, GEOCLIP_LOSS, PLACE, SEVERAL, BindSettings
from biocosmos.train.bind.space import NEGATIVES, WHOSE, BoundTowers
from biocosmos.train.bind.towers.placed import Placed
from biocosmos.train.contrastive.space import ModalTowers
from biocosmos.train.contrastive.specimens import ModalRows
from biocosmos.train.contrastive.task import ModalBatches, ModalTask
from biocosmos.train.contrastive.towers.source import TowerSource
from biocosmos.train.loop.loop import Batch, derived_seed
from biocosmos.train.loop.processes import Processes

_DRAWN = 100
"""Before the number of a tower, in the seed of its negatives."""


def forms(settings: BindSettings) -> dict[str, str]:
    """modality -> form of its loss, of :mod:`biocosmos.nn.bound_pairs`."""
    published = {PLACE: bound_pairs.MASKED, ENVIRONMENT: bound_pairs.MASKED, "audio": bound_pairs.PLAIN}
    placed = (PLACE, ENVIRONMENT)

    def form(modality: str) -> str:
        if settings.loss == CLIP:
            return bound_pairs.PLAIN
        if settings.loss == GEOCLIP_LOSS and modality in placed:
            return bound_pairs.ONE_WAY
        return bound_pairs.SEVERAL if settings.loss == SEVERAL else published.get(modality, bound_pairs.SEVERAL)

    return {modality: form(modality) for modality in settings.kinds if modality != settings.anchor}


class BoundTask(ModalTask):
    """See :class:`biocosmos.train.contrastive.task.ModalTask`."""

    settings: BindSettings

    def joined(self, towers: Mapping[str, nn.Module]) -> ModalTowers:
        """The towers, and the loss between them and the anchor."""
        s = self.settings
        pairs = BoundPairs(s.anchor, forms(s), temperature=s.temperature, as_published=s.as_published)
        return BoundTowers(towers, pairs)

    def drawn(self) -> BoundBatches:
        """The batches that are learnt from, with their negatives."""
        return BoundBatches(self.rows, self.sources, self.settings, self.where)


class BoundBatches(ModalBatches):
    """Batches with negatives: the places that were learnt from just before, whatever epoch that was in, and until there are so
    many, points anywhere on earth. They are known from the order of the epochs, so that a run that goes on has the same ones."""

    def __init__(
        self, rows: ModalRows, sources: Mapping[Modality, TowerSource], settings: BindSettings, where: Processes
    ) -> None:
        super().__init__(rows, sources, settings, where)
        self._settings = settings
        self._order = lru_cache(maxsize=2)(self._drawing.order)  # every batch looks back over this epoch, and the one before
        self._each = settings.queue // self._drawing.size
        asked = [name for name, form in forms(settings).items() if form in (bound_pairs.MASKED, bound_pairs.ONE_WAY)]
        self._placed = {name: source for name, source in sources.items() if name in asked and isinstance(source, Placed)}

    def _batch(self, rows: Rows, epoch: int, number: int) -> Batch:
        batch = super()._batch(rows, epoch, number)
        for at, (name, source) in enumerate(self._placed.items() if self._each else ()):
            past = np.empty(0, np.int64) if self._settings.anywhere else self._past(source.there, epoch, number)
            past = past[self._drawing.rank :: self._drawing.size][: self._each]
            generator = torch.Generator().manual_seed(derived_seed(self._seed, epoch, number, self._rank, _DRAWN + at))
            lacking = self._each - len(past)
            inputs = [source.inputs(past, None)] if len(past) else []
            if lacking:
                flat = self._settings.anywhere and self._settings.as_published
                inputs.append(source.anywhere(lacking, generator, flat=flat))
            whose = np.concatenate([self._rows.labels[past], np.full(lacking, NOBODY)])
            batch.inputs[name + NEGATIVES] = torch.cat(inputs)
            batch.inputs[name + WHOSE] = torch.from_numpy(whose)
        return batch

    def _past(self, there: np.ndarray, epoch: int, number: int) -> Rows:
        """Rows with a place that all processes learnt from before this batch, the latest first; a multiple of the processes."""
        wanted, found = self._each * self._drawing.size, []
        end: int | None = number * self._drawing.size * self.batch_size
        while epoch >= 0 and wanted > 0:
            order = self._order(epoch)[:end][::-1]
            order = order[there[order]][:wanted]
            found.append(order)
            wanted, epoch, end = wanted - len(order), epoch - 1, None
        rows = np.concatenate(found) if found else np.empty(0, np.int64)
        return rows[: len(rows) - len(rows) % self._drawing.size]


__all__ = ["BoundTask", "forms"]
