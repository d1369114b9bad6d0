"""A classifier of its own for every task: what a decoder across tasks is to beat, and its first step."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from biocosmos.errors import BiocosmosError
from biocosmos.nn.attributes.tasks import AttributeOutput, TaskShape, checked_tasks
from biocosmos.nn.heads.features import standardise

Pool = Literal["Avg", "Max"]
Features = Tensor | Sequence[Tensor]
"""(b, d) vectors or (b, d, h, w) maps of a backbone, or one such tensor a task."""


class PlainHeads(nn.Module):
    """Linear(d, C_t) for every task t, after an MLP of its own where ``hidden`` names widths (ReLU after each).

    standardised: vectors to mean 0 and variance 1 first, without weights (``nn.heads.features.standardise``), so that stored
    vectors of any scale are learnt from; False as published (a backbone that is trained along finds its scale).
    pool: of maps over their positions. Published as SimpleHead: Haurum et al. 2022, CT-GNN (arXiv:2111.07846).
    """

    def __init__(
        self,
        tasks: Sequence[TaskShape],
        width: int,
        *,
        hidden: Sequence[int] = (),
        pool: Pool = "Avg",
        standardised: bool = True,
    ) -> None:
        super().__init__()
        if width < 1 or any(size < 1 for size in hidden) or pool not in ("Avg", "Max"):
            raise BiocosmosError(
                f"attribute head: width {width} and hidden {list(hidden)} must be sizes, pool '{pool}' Avg or Max"
            )
        self.tasks = checked_tasks(tasks)
        self.pool: Pool = pool
        self.norm = standardise(width) if standardised else nn.Identity()
        self.hidden = nn.ModuleList(_layers([width, *hidden]) for _ in self.tasks)
        self.width = [width, *hidden][-1]
        self.classifiers = nn.ModuleList(nn.Linear(self.width, task.classes) for task in self.tasks)

    def of_tasks(self, features: Features) -> list[Tensor]:
        """What each task's classifier sees, (b, width) a task."""
        if isinstance(features, Tensor):
            shared = self.norm(self._pooled(features))
            return [layers(shared) for layers in self.hidden]
        if len(features) != len(self.tasks):
            raise BiocosmosError(f"attribute head: features of {len(features)} tasks are given, it has {len(self.tasks)}")
        return [layers(self.norm(self._pooled(own))) for layers, own in zip(self.hidden, features)]

    def forward(self, features: Features) -> AttributeOutput:
        """features: see :data:`Features`. Returns logits per task, (b, C_t)."""
        return AttributeOutput(self.classified(self.of_tasks(features)))

    def classified(self, seen: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Logits per task of what :meth:`of_tasks` gave."""
        return tuple(linear(x) for linear, x in zip(self.classifiers, seen))

    def _pooled(self, x: Tensor) -> Tensor:
        if x.ndim == 2:
            return x
        return x.mean((2, 3)) if self.pool == "Avg" else x.amax((2, 3))


def _layers(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers)


def parameters_of(module: nn.Module) -> int:
    """How many numbers a module learns."""
    return sum(torch.numel(weights) for weights in module.parameters() if weights.requires_grad)
