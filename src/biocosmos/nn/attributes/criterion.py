"""What attribute heads are trained to do: every known label of every task, the refined answer and the auxiliary one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from biocosmos.errors import BiocosmosError
from biocosmos.nn.attributes.class_costs import ClassWeights
from biocosmos.nn.attributes.tasks import AttributeOutput, TaskShape, checked_tasks
from biocosmos.nn.attributes.weighting import LEARNING_RATE, TEMPERATURE, TaskWeighting, Weighting
from biocosmos.nn.distributed import place, sum_over_processes
from biocosmos.nn.heads.output import full_precision

MAIN = 0.75
"""m, the published share of the refined answer."""


class TaskLoss(nn.Module):
    """The loss of one task over its known labels.

    Several true classes: binary cross entropy of every known label, a true one times ``positive``, each times ``every`` of its
    class. Else cross entropy of the true class times ``every``, divided by the sum of these; a specimen without a true class
    is not known.
    """

    every: Tensor
    positive: Tensor

    def __init__(self, task: TaskShape, weights: ClassWeights | None = None) -> None:
        super().__init__()
        self.several = task.several
        weights = weights or ClassWeights()
        self.register_buffer("every", _factors(weights.every, "every", task), persistent=False)
        self.register_buffer("positive", _factors(weights.positive, "positive", task), persistent=False)

    def forward(self, logits: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """logits: (b, C); values: (b, C), 1 true, 0 false, -1 not known.

        Returns the sum of the losses and what makes it a mean: the number of known labels, or the sum of their factors.
        """
        logits = full_precision(logits)
        if self.several:
            known = values >= 0
            true = (values == 1).to(logits)
            losses = nn.functional.binary_cross_entropy_with_logits(
                logits, true, weight=self.every * known, pos_weight=self.positive, reduction="sum"
            )
            return losses, known.sum().to(losses)
        is_true = values == 1
        own = is_true.int().argmax(1)
        factors = self.every[own] * is_true.any(1)
        losses = nn.functional.cross_entropy(logits, own, reduction="none")
        return (losses * factors).sum(), factors.sum()


class AttributeCriterion(nn.Module):
    """Loss = sum over tasks of w_t [m L_t(refined) + (1 - m) L_t(auxiliary)]; heads without auxiliary answers have m = 1.

    tasks: of the head. weighting, task_weights, temperature: see :class:`biocosmos.nn.attributes.weighting.TaskWeighting`; call
    :meth:`end_epoch` after every epoch and give :meth:`parameter_groups` to the optimizer. class_weights: one a task, None for
    none. m: 0 to 1.

    Raises BiocosmosError for what does not fit together.
    """

    def __init__(
        self,
        tasks: Sequence[TaskShape],
        *,
        weighting: Weighting = "equal",
        task_weights: Sequence[float] | None = None,
        temperature: float = TEMPERATURE,
        class_weights: Sequence[ClassWeights | None] | None = None,
        m: float = MAIN,
    ) -> None:
        super().__init__()
        self.tasks = checked_tasks(tasks)
        if class_weights is not None and len(class_weights) != len(tasks):
            raise BiocosmosError(f"class weights are given for {len(class_weights)} attributes, there are {len(tasks)}")
        if not 0 <= m <= 1:
            raise BiocosmosError(f"attribute criterion: m {m} must be from 0 to 1")
        self.m = float(m)
        self.losses = nn.ModuleList(
            TaskLoss(task, weights) for task, weights in zip(self.tasks, class_weights or [None] * len(tasks))
        )
        self.weighting = TaskWeighting(weighting, len(tasks), given=task_weights, temperature=temperature)

    def forward(self, output: AttributeOutput, targets: Sequence[Tensor]) -> Tensor:
        """output: of a head with the same tasks; targets: per task, (b, C_t), 1 true, 0 false, -1 not known. Returns a scalar."""
        refined, known = self.of_tasks(output.logits, targets)
        if self.training:
            self.weighting.remember(refined, known)
        losses = refined
        if output.auxiliary is not None:
            losses = self.m * refined + (1 - self.m) * self.of_tasks(output.auxiliary, targets)[0]
        loss: Tensor = self.weighting(losses)
        return loss

    def of_tasks(self, logits: Sequence[Tensor], targets: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """(T,) mean losses and (T,) sizes of what they are the means of.

        Of several processes the sizes are those of their common batch: the mean of their losses, and so the gradient that
        data-parallel training takes, is that of this batch, wherever labels are missing.
        """
        if not len(logits) == len(targets) == len(self.tasks):
            raise BiocosmosError(
                f"attribute criterion: {len(targets)} targets and {len(logits)} answers, but {len(self.tasks)} attributes"
            )
        found = [loss(scores, values) for loss, scores, values in zip(self.losses, logits, targets)]
        sizes = sum_over_processes(torch.stack([size for _, size in found])) / place()[1]
        return torch.stack([loss for loss, _ in found]) / torch.where(sizes > 0, sizes, 1.0), sizes

    def end_epoch(self) -> None:
        """Call after every epoch of training: dynamic weights look back at it."""
        self.weighting.end_epoch()

    def parameter_groups(self, learning_rate: float = LEARNING_RATE) -> list[dict[str, object]]:
        """What the criterion itself learns, for the optimizer; empty except with uncertainty weighting."""
        return self.weighting.parameter_groups(learning_rate)


def _factors(given: np.ndarray | None, name: str, task: TaskShape) -> Tensor:
    if given is None:
        return torch.ones(task.classes)
    if name == "positive" and not task.several:
        raise BiocosmosError(f"attribute '{task.name}' has one true class: weights of what is present are for several")
    if np.shape(given) != (task.classes,):
        raise BiocosmosError(f"attribute '{task.name}' has {task.classes} classes, but weights {np.shape(given)}")
    return torch.as_tensor(np.asarray(given)).float()
