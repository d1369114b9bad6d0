"""The attributes of a training: their heads, their loss, and their figures on the validation part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.attributes.importance import read_importance
from biocosmos.evaluate.attributes.multi_label import Rules, average_precision
from biocosmos.evaluate.attributes.thresholds import tuned
from biocosmos.identify.attribute_columns import AskedTask
from biocosmos.identify.namers.attribute_heads import save_attributes
from biocosmos.identify.namers.attribute_model import AttributesOnTaps, HeadsModel
from biocosmos.identify.namers.head_model import HeadModel
from biocosmos.nn.attributes import AttributeCriterion, AttributeOutput, ClassWeights, adjacency, class_weights
from biocosmos.nn.attributes.tasks import parts_of
from biocosmos.nn.distributed import sum_over_processes
from biocosmos.specimens.attributes import UNKNOWN, Attribute
from biocosmos.train.heads.attribute_settings import CTGNN, OF_ATTRIBUTES
from biocosmos.train.heads.attribute_targets import AttributeTargets
from biocosmos.train.heads.settings import HeadSettings
from biocosmos.train.loop.processes import Processes

NORMALISED = {"none": "", "symmetric": "Sym", "in": "In"}
Float32 = npt.NDArray[np.float32]


class AttributePart:
    """What a task of training has to do for attributes; one beside a head over the ranks, or alone.

    targets: of the training specimens in their order; held: of the validation specimens, with the same tasks, or None.
    """

    def __init__(
        self, settings: HeadSettings, targets: AttributeTargets, held: AttributeTargets | None, where: Processes
    ) -> None:
        self.settings, self.targets, self.held, self.where = settings, targets, held, where
        self.values = torch.from_numpy(targets.values)
        self.sizes = [len(task.classes) for task in targets.tasks]
        self.kind = settings.head if settings.head in OF_ATTRIBUTES else "plain"

    def of(self, ids: npt.NDArray[np.object_], held: npt.NDArray[np.object_] | None) -> AttributePart:
        """The same attributes of these training and validation specimens, in their order."""
        watched = None if self.held is None or held is None else self.held.of(held)
        return AttributePart(self.settings, self.targets.of(ids), watched, self.where)

    # ------------------------------------------------------------------ what is trained

    @property
    def options(self) -> dict[str, Any]:
        """Of the heads, as :func:`biocosmos.nn.attributes.make_attribute_head` takes them and a folder keeps them."""
        s = self.settings
        plain = {"hidden": [*s.task_hidden], "standardised": False}
        if self.kind != CTGNN:
            return plain
        return plain | {
            "graph": s.graph.upper(),
            "layers": s.graph_layers,
            "channels": s.node_width,
            "attention_heads": s.graph_heads,
            "bottleneck": s.bottleneck_width,
            "shared_bottleneck": s.bottleneck == "shared",
            "shared_output": s.shared_scores,
            "residual": s.residual.capitalize(),
            "skip": s.graph_skip,
            "dropout": s.graph_dropout,
        }

    def module(self, channels: Sequence[int]) -> AttributesOnTaps:
        """The heads the settings describe, on a backbone with these channels."""
        s, shapes, graph = self.settings, self.targets.shapes, None
        if self.kind == CTGNN:
            how: dict[str, Any] = {"kind": s.adjacency, "tau": s.adjacency_tau, "p": s.adjacency_share}
            graph = adjacency(self.targets.values, shapes, normalise=NORMALISED[s.normalise], **how)  # type: ignore[arg-type]
        return AttributesOnTaps(self.kind, shapes, channels, dropout=s.dropout, adjacency=graph, options=self.options)

    def criterion(self) -> AttributeCriterion:
        """The loss the settings describe."""
        s = self.settings
        numbers = s.numbers_of_tasks()
        if s.task_weighting == "fixed" and (numbers is None or len(numbers) != len(self.sizes)):
            names = ", ".join(task.name for task in self.targets.tasks)
            raise BiocosmosError(
                f"--task-weighting fixed needs {len(self.sizes)} numbers with --task-weights, one for each of {names}"
            )
        self._refuse_importance()
        found = AttributeCriterion(
            self.targets.shapes,
            weighting=s.task_weighting,  # type: ignore[arg-type]
            task_weights=numbers if s.task_weighting == "fixed" else None,
            class_weights=[self._class_weights(task) for task in self.targets.tasks],
            m=s.refined_share if self.kind == CTGNN else 1.0,
        )
        if s.task_weighting == "uncertainty" and self.where.size > 1:
            found.weighting.log_variances.register_hook(self._over_processes)  # type: ignore[no-untyped-call]
        return found

    def _refuse_importance(self) -> None:
        if self.settings.set_weights.endswith("importance") and not any(task.several for task in self.targets.tasks):
            raise BiocosmosError(
                f"--set-weights {self.settings.set_weights} does nothing here: of each attribute exactly one class is true; "
                "--class-weights weighs these"
            )

    def _class_weights(self, task: Attribute) -> ClassWeights:
        s = self.settings
        kind = s.set_weights if task.several else s.class_weights
        importance = None
        if task.several and kind.endswith("importance"):
            if not s.importance:
                raise BiocosmosError(
                    "--set-weights importance takes its weights from a table: name it with --importance weights.csv"
                )
            importance = read_importance(s.importance).of(task.name, task.classes)
            if importance is None:
                raise BiocosmosError(f"{s.importance} says nothing of the attribute '{task.name}': add rows of class,weight")
        return class_weights(task.values, kind, several=task.several, importance=importance)  # type: ignore[arg-type]

    def _over_processes(self, gradient: Tensor) -> Tensor:
        """What the loss itself learns is not replicated with the model: its gradient is averaged here."""
        return sum_over_processes(gradient.clone()) / self.where.size

    def optimizer(self, objective: AttributeCriterion, lr: float) -> Optimizer | None:
        """Of what the loss itself learns, at the rate it was published with; lr: what the loop multiplies by."""
        groups: list[dict[str, Any]] = [
            {**group, "factor": float(group["lr"]) / lr}  # type: ignore[arg-type]
            for group in objective.parameter_groups()
        ]
        return SGD(groups) if groups else None

    def begin_epoch(self, objective: AttributeCriterion, epoch: int, start: int) -> None:
        """Dynamic weights look back at the epoch before; called in every process, before the first batch of an epoch."""
        if start == 0 and epoch > 0:
            objective.end_epoch()

    def loss(self, objective: AttributeCriterion, output: AttributeOutput, values: Tensor) -> Tensor:
        """values: (b, C) of all tasks side by side."""
        loss: Tensor = objective(output, torch.split(values, self.sizes, 1))
        return loss

    def values_of(self, rows: npt.NDArray[np.int64]) -> Tensor:
        """(b, C) of training specimens by their row, nothing known of row -1."""
        there = torch.from_numpy(rows >= 0)[:, None]
        found = self.values[torch.from_numpy(np.maximum(rows, 0))]
        return torch.where(there, found, found.new_full((), UNKNOWN))

    # ------------------------------------------------------------------ what it came to

    def figures(self, probabilities: Float32) -> dict[str, float]:
        """Figures of the validation part, the mean over the tasks first: accuracy of a task with one true class, among the
        specimens for which it is known; mean average precision, over the classes with a specimen, where several may be true."""
        assert self.held is not None
        found: dict[str, float] = {}
        for task, part in zip(self.held.tasks, parts_of(self.targets.shapes)):
            p = probabilities[:, part]
            if task.several:
                each = [average_precision(p[:, i], task.values[:, i], Rules()) for i in range(len(task.classes))]
                if not np.isnan(each).all():
                    found[f"mean AP of {task.name}"] = float(np.nanmean(each))
            elif (judged := task.targets >= 0).any():
                found[f"accuracy of {task.name}"] = float((p.argmax(1) == task.targets)[judged].mean())
        return found if len(found) < 2 else {"mean of attributes": float(np.mean(list(found.values()))), **found}

    def asked(self, probabilities: Float32 | None) -> tuple[AskedTask, ...]:
        """The tasks as the folder keeps them. probabilities: of the validation part, on which thresholds are fixed."""
        s = self.settings
        tune = s.thresholds == "tuned" and probabilities is not None and self.held is not None
        asked = []
        for i, (task, part) in enumerate(zip(self.targets.tasks, parts_of(self.targets.shapes))):
            cuts: tuple[float, ...] | None = None
            if task.several and tune:
                assert probabilities is not None and self.held is not None
                p, true = probabilities[:, part].astype(np.float64), self.held.tasks[i].values
                cuts = tuple(tuned(p, true, s.threshold_beta)[0].tolist())
            asked.append(
                AskedTask(task.name, task.classes, task.several, cuts, task.name in self.targets.ranks, self.targets.asked[i])
            )
        return tuple(asked)

    def save(
        self,
        folder: Path,
        model: HeadModel,
        probabilities: Float32 | None,
        *,
        channels: Sequence[int],
        encoder: dict[str, Any],
        preprocessing: Preprocessing,
        training: dict[str, Any],
    ) -> None:
        """The attribute heads of a trained model, which has them alone or beside a head over the ranks.

        probabilities: see :meth:`asked`; the rest: :func:`biocosmos.identify.namers.attribute_heads.save_attributes`.
        """
        beside = isinstance(model, HeadsModel)
        save_attributes(
            folder,
            model.attributes if beside else model.head,  # type: ignore[arg-type]
            kind=self.kind,
            options=self.options,
            channels=channels,
            tasks=self.asked(probabilities),
            beside=beside,
            frozen=model.trunk is None,
            encoder=encoder,
            preprocessing=preprocessing,
            training=training,
        )

    @property
    def fixes_thresholds(self) -> bool:
        """Whether validation specimens set something that is kept."""
        return self.held is not None and self.settings.thresholds == "tuned" and any(task.several for task in self.targets.tasks)
