"""A network over places and taxa as a task of the one training loop: presences, random places, and the published losses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from biocosmos.encoders.places.encoder import PLACE
from biocosmos.encoders.places.taxa import AT_ONCE, TaxonModel, log_chances, parts_of
from biocosmos.nn.place import losses
from biocosmos.nn.place.inputs import random_places
from biocosmos.places import YEAR, Places
from biocosmos.train.batches.drawing import Drawing
from biocosmos.train.batches.drawn_task import DrawnTask
from biocosmos.train.loop.loop import Batch, derived_seed
from biocosmos.train.loop.processes import Processes
from biocosmos.train.place.settings import SLDS, SOFTMAX, SSDL, NetworkSettings

_ANYWHERE, _HIDDEN = 0, 1
"""Numbers in the seeds of a batch."""


@dataclass(frozen=True, eq=False)
class Presences:
    """n specimens: where and when, and (n,) int64 of which taxon; ids: theirs."""

    places: Places
    taxa: npt.NDArray[np.int64]
    ids: npt.NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.taxa)

    def take(self, rows: npt.NDArray[np.int64]) -> Presences:
        """These rows."""
        return Presences(self.places.take(rows), self.taxa[rows], self.ids[rows])


class TaxonTask(DrawnTask):
    """Learns ``model`` on ``learnt``; held: specimens of other cells, whose mean log share is watched, None without."""

    def __init__(
        self, settings: NetworkSettings, where: Processes, model: TaxonModel, learnt: Presences, held: Presences | None
    ) -> None:
        self.name, self.objective = f"{settings.method} on places", nn.Module()
        self.model: nn.Module = model.whole
        self._settings, self._where, self._taxa = settings, where, model
        self._batches = PresenceBatches(settings, where, model, learnt)
        self._held = None if held is None or not len(held) else (model.inputs(held.places), torch.from_numpy(held.taxa))
        self._base = torch.from_numpy(model.counts / model.counts.sum()).float()

    def lr_factor(self, name: str) -> float:
        """See the loop: all weights learn alike."""
        return 1.0

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The mean loss of the presences, and of as many random places behind them."""
        logits, n = model(batch.inputs), len(batch.targets)
        here, elsewhere, taxa, how = logits[:n], logits[n:], batch.targets, self._taxa.loss
        if how == SOFTMAX:
            return nn.functional.cross_entropy(here, taxa)
        if how == SSDL:
            return losses.an_ssdl(here, elsewhere, taxa)
        if how == SLDS:
            return losses.an_slds(here, taxa, losses.random_others(taxa, logits.shape[1]))
        return losses.an_full(here, elsewhere, taxa, self._taxa.weight)

    @torch.no_grad()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """The mean log share of the held-out specimens' own taxa, in nats, and how often theirs is the largest."""
        if self._held is None:
            return {}
        inputs, taxa = self._held
        device, own = self._where.device, self._taxa
        parts = [inputs[at : at + AT_ONCE] for at in range(0, len(inputs), AT_ONCE)]
        logits = torch.cat([model(part.to(device)).float().cpu() for part in parts])
        said = log_chances(logits, own.loss, own.weight, self._base)
        right = said.argmax(1) == taxa
        return {"log_share": float(said.gather(1, taxa[:, None]).mean()), "top_1": float(right.float().mean())}


class PresenceBatches:
    """Batches of specimens, each with as many random places behind them where the loss asks for such."""

    def __init__(self, settings: NetworkSettings, where: Processes, model: TaxonModel, learnt: Presences) -> None:
        self._settings, self._model, self._learnt, self._rank = settings, model, learnt, where.rank
        size = settings.batch_size or len(learnt)
        self._drawing = Drawing(len(learnt), size, seed=settings.seed, rank=where.rank, size=where.size)
        self.batch_size, self.count = self._drawing.batch_size, self._drawing.count
        self._inputs, self._taxa = model.inputs(learnt.places), torch.from_numpy(learnt.taxa)
        bands = 0 if model.environment is None else len(model.environment.rasters.bands)
        self._parts = parts_of(model.seen, bands)
        self._depths = learnt.places.depth[np.isfinite(learnt.places.depth)]
        self._random = settings.loss not in (SOFTMAX, SLDS)

    def epoch(self, epoch: int, start: int) -> Iterator[Batch]:
        """Batches ``start`` to ``count`` of an epoch."""
        order = self._drawing.order(epoch)
        for number in range(start, self.count):
            rows = self._drawing.rows(order, number)
            rng = np.random.default_rng([derived_seed(self._settings.seed, epoch, number, self._rank), _HIDDEN])
            inputs = self._partly(self._inputs[torch.from_numpy(rows)], rng)
            if self._random:
                inputs = torch.cat([inputs, self._anywhere(len(rows), epoch, number)])
            yield Batch(inputs, self._taxa[torch.from_numpy(rows)], self._learnt.ids[rows].tolist())

    def _partly(self, inputs: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """The inputs with places, days and depths hidden here and there, where anything else is seen then."""
        if not self._settings.hide:
            return inputs
        inputs = inputs.clone()
        for what, columns in self._parts.items():
            hidden = torch.from_numpy(rng.random(len(inputs)) < self._settings.hide)
            if what == PLACE and not (self._parts["day"] or self._parts["depth"]):
                continue
            for each in columns:
                inputs[:, each] = inputs[:, each].masked_fill(hidden[:, None], 0.0)
        return inputs

    def _anywhere(self, n: int, epoch: int, number: int) -> torch.Tensor:
        """Inputs of n places anywhere on earth, at any time of the year, at depths of the specimens."""
        rng = np.random.default_rng([derived_seed(self._settings.seed, epoch, number, self._rank), _ANYWHERE])
        latitude, longitude = random_places(n, rng)
        depth = rng.choice(self._depths, n) if len(self._depths) else np.full(n, np.nan)
        return self._model.inputs(Places.of_numbers(np.stack([latitude, longitude, rng.uniform(0, YEAR, n), depth], 1)))


__all__ = ["Presences", "TaxonTask"]
