"""The one training loop of the package. A recipe says what a batch, a loss and a validation are; the loop does the rest.

    order of batches (seed, epoch) -> forward and loss -> mean gradient of `accumulate` batches -> AdamW, one-cycle rate
        -> EMA -> log -> checkpoint; after each epoch: validate, keep the best, stop early

All randomness of a step is drawn from (seed, epoch, batch, rank) or from a generator that is in the checkpoint, so that a
killed run that is started again ends with the same weights.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from biocosmos.errors import BiocosmosError
from biocosmos.nn.depthwise import use_fast_depthwise
from biocosmos.progress import Progress, progress
from biocosmos.train.loop.checkpoint import Checkpoints
from biocosmos.train.loop.computing import TIMED_IMAGES, Computing, choose_computing, told_computing
from biocosmos.train.loop.logs import EPOCHS, STEPS, Logs
from biocosmos.train.loop.processes import Processes
from biocosmos.train.loop.settings import LoopSettings
from biocosmos.train.loop.stopping import enough_memory, stop_signals

LOG_STEPS = 10
"""Steps between rows of steps.csv."""


@dataclass(frozen=True)
class Batch:
    """inputs: what the model takes, (n, ...), or several by name, of which each may have rows of its own; targets: what the loss
    compares it with, (n, ...); ids: of the n specimens."""

    inputs: Any
    targets: torch.Tensor
    ids: Sequence[str]

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        inputs = (
            {name: each.to(device, non_blocking=True) for name, each in self.inputs.items()}
            if isinstance(self.inputs, Mapping)
            else self.inputs.to(device, non_blocking=True)
        )
        return Batch(inputs, self.targets.to(device, non_blocking=True), self.ids)


class Task(Protocol):
    """What a recipe gives the loop.

    name: for the progress bar; model: trained, and replicated over the processes; objective: the loss with its own weights
    (class centres), one part of them in each process; batches_per_epoch: of each process.
    """

    name: str
    model: nn.Module

    @property
    def objective(self) -> nn.Module:
        """The loss, with its weights."""

    @property
    def batches_per_epoch(self) -> int:
        """Batches of this process in an epoch."""

    @property
    def batch_size(self) -> int:
        """Specimens of this process in a batch."""

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        """The batches of one epoch from number ``start`` on: the same ones whenever they are asked for."""

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The mean loss of a batch, over all processes."""

    def objective_optimizer(self, lr: float, weight_decay: float) -> Optimizer | None:
        """The optimizer of the objective's weights; None if it has none."""

    def lr_factor(self, name: str) -> float:
        """How many times the learning rate of the run the weight ``name`` of the model learns with."""

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Figures on the validation part, the first of which is to become large; none without such a part."""


@dataclass
class History:
    """What a training did.

    epochs: a row of figures for each epoch; best: the row whose weights were kept, epoch 0 for those it began with; steps: of the
    optimizer; stopped_early; resumed_at: the step an interrupted run went on from, 0 for a new one; seconds, images_per_second:
    of this process's part; computing: number type and layout of the steps, and how they were chosen.
    """

    epochs: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None
    steps: int = 0
    stopped_early: bool = False
    resumed_at: int = 0
    seconds: float = 0.0
    images_per_second: float = 0.0
    computing: dict[str, Any] = field(default_factory=dict)


def fit(
    task: Task, settings: LoopSettings, folder: Path, where: Processes, *, start: Mapping[str, float] | None = None
) -> History:
    """Train ``task.model`` in place and leave it with the weights that ``settings.keep`` names.

    start: figures of the model as it is, as ``task.validate`` gives them, in the first process; with "best" a training that never
    betters them ends with the weights it began with.

    Checkpoints and logs go to ``folder``; if a run was interrupted there, it goes on. Raises BiocosmosError when the loss
    is not finite (naming the batch), memory runs out (naming the settings to lower), or a signal stops it.
    """
    return _Loop(task, settings, folder, where).run(start or {})


class _Loop:
    def __init__(self, task: Task, settings: LoopSettings, folder: Path, where: Processes) -> None:
        self.task, self.settings, self.where, self.folder = task, settings, where, folder
        task.model.to(where.device)
        task.objective.to(where.device)
        if where.device.type == "cpu":
            use_fast_depthwise(task.model)
        self.images_per_step = settings.accumulate * task.batch_size * where.size
        self.steps_per_epoch = -(-task.batches_per_epoch // settings.accumulate)
        self.steps = self.steps_per_epoch * settings.epochs
        self.computing = self._computing()
        task.model.to(memory_format=self.computing.format)
        if where.size > 1 and where.device.type == "cuda":
            task.model = with_common_norms(task.model)
        self.model: nn.Module = task.model
        trained = any(weights.requires_grad for weights in task.model.parameters())
        if where.size > 1 and trained:
            ids = [where.device.index] if where.device.type == "cuda" else None
            self.model = DistributedDataParallel(task.model, device_ids=ids)
        self.optimizers: list[Optimizer] = [AdamW(_groups(task, settings))] if trained else []
        centre_lr = settings.lr * settings.centre_lr_factor
        self.own = task.objective_optimizer(centre_lr, settings.weight_decay)
        self.rates = [
            *((optimizer, settings.lr) for optimizer in self.optimizers),
            *([(self.own, centre_lr)] if self.own else []),
        ]
        self.ema: AveragedModel | None = None
        if settings.ema:
            average = get_ema_multi_avg_fn(settings.ema)  # type: ignore[no-untyped-call]
            self.ema = AveragedModel(task.model, multi_avg_fn=average, use_buffers=True)
        self.checkpoints = Checkpoints(folder, where)
        self.history = History(computing=asdict(self.computing))
        self.epoch = self.step = 0
        self.signal: int | None = None

    def _computing(self) -> Computing:
        """What the run was begun with; for a new one what is fastest here, as the first process finds it."""
        found: Computing | None = None
        if self.where.first:
            found = Computing.load(self.folder)
            if found is None:
                found = self._fastest()
                found.save(self.folder)
        chosen: Computing = self.where.from_first(found)
        return chosen

    def _fastest(self) -> Computing:
        first = next(self.task.batches(0, 0), None)
        if first is None:
            return Computing()
        if isinstance(first.inputs, Mapping):  # several models, whose ways differ: nothing is timed
            return told_computing(self.settings.precision)
        some = Batch(first.inputs[:TIMED_IMAGES], first.targets[:TIMED_IMAGES], first.ids[:TIMED_IMAGES]).to(self.where.device)
        torch.manual_seed(self.settings.seed)
        return choose_computing(
            self.task.model,
            lambda model: self.task.loss(model, some),
            some.inputs,
            self.settings.precision,
            images=self.steps * self.images_per_step,
        )

    # ------------------------------------------------------------------ the whole run

    def run(self, start: Mapping[str, float]) -> History:
        if not self._resume():
            self._begin(self.where.from_first(dict(start)))
        logs = Logs(self.folder, self.step) if self.where.first else None
        images = self.steps * self.images_per_step
        began, first = time.monotonic(), self.step
        try:
            with (
                stop_signals(self._stop),
                enough_memory(self.task.batch_size),
                progress(f"train {self.task.name}", images, "specimens") as bar,
            ):
                bar.advance(self.step * self.images_per_step)
                while self.epoch < self.settings.epochs and not self.history.stopped_early:
                    self._train_epoch(logs, bar)
                    self._finish_epoch(logs)
        finally:
            if logs:
                logs.close()
        self.history.steps = self.step
        self.history.seconds = time.monotonic() - began
        self.history.images_per_second = (self.step - first) * self.images_per_step / max(self.history.seconds, 1e-9)
        self._leave_kept_weights()
        return self.history

    def _stop(self, number: int) -> None:
        self.signal = number

    def _begin(self, figures: dict[str, float]) -> None:
        """The weights a training begins with are the best so far, if they were looked at."""
        if figures and self.settings.keep == "best":
            self.history.best = {"epoch": 0, **figures}
            if self.where.first:
                self.checkpoints.save_best(self._averaged.state_dict())

    def _train_epoch(self, logs: Logs | None, bar: Progress) -> None:
        accumulate, in_epoch = self.settings.accumulate, self.step - self.epoch * self.steps_per_epoch
        batches = self.task.batches(self.epoch, in_epoch * accumulate)
        self.model.train()
        total = torch.zeros((), device=self.where.device)
        counted, began = 0, time.monotonic()
        for number in range(in_epoch, self.steps_per_epoch):
            window = min(accumulate, self.task.batches_per_epoch - number * accumulate)
            loss = self._step(batches, window, number * accumulate)
            total += loss
            counted += 1
            self.step += 1
            images = window * self.task.batch_size * self.where.size
            bar.advance(images)
            if logs and (self.step % LOG_STEPS == 0 or number + 1 == self.steps_per_epoch):
                rate = counted * images / max(time.monotonic() - began, 1e-9)
                row = {
                    "epoch": self.epoch,
                    "loss": float(total) / counted,
                    "lr": self.rates[0][0].param_groups[0]["lr"],
                    "images_per_second": rate,
                }
                logs.write(STEPS, self.step, row)
                bar.describe(f"train {self.task.name}, epoch {self.epoch + 1} of {self.settings.epochs}, loss {row['loss']:.3f}")
                total.zero_()
                counted, began = 0, time.monotonic()
            stopped = self.where.any(self.signal is not None)
            if stopped or (self.step % self.settings.checkpoint_steps == 0 and number + 1 < self.steps_per_epoch):
                place = self._checkpoint()
                if stopped:
                    raise BiocosmosError(
                        f"stopped by a signal at step {self.step}, which is kept in {place}: run the same command to go on"
                    )

    def _step(self, batches: Iterator[Batch], window: int, first: int) -> torch.Tensor:
        """One optimizer step over ``window`` batches; returns their mean loss."""
        share = self.settings.rate(self.step, self.steps_per_epoch, self.steps)
        for optimizer, highest in self.rates:
            for group in optimizer.param_groups:
                group["lr"] = highest * share * group.get("factor", 1.0)
        total = torch.zeros((), device=self.where.device)
        for i in range(window):
            batch = next(batches).to(self.where.device)
            batch = replace(batch, inputs=self.computing.laid_out(batch.inputs))
            torch.manual_seed(derived_seed(self.settings.seed, self.epoch, first + i, self.where.rank))
            with self._alone(last=i + 1 == window):
                with torch.autocast(self.where.device.type, torch.bfloat16, enabled=self.computing.precision == "bfloat16"):
                    loss = self.task.loss(self.model, batch)
                self._check(loss, first + i, batch, "loss")
                (loss / window).backward()  # type: ignore[no-untyped-call]
            total += loss.detach() / window
        if self.optimizers:
            limit = self.settings.clip or math.inf
            norm = nn.utils.clip_grad_norm_(self.task.model.parameters(), limit)
            self._check(norm, first, batch, "gradient")
        for optimizer, _ in self.rates:
            optimizer.step()
            optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update_parameters(self.task.model)
        return total

    def _alone(self, *, last: bool) -> AbstractContextManager[Any]:
        """Gradients go round the processes with the last batch of a step only."""
        return nullcontext() if last or not isinstance(self.model, DistributedDataParallel) else self.model.no_sync()

    def _check(self, value: torch.Tensor, number: int, batch: Batch, what: str) -> None:
        if not bool(torch.isfinite(value)):  # the same in every process
            kept = self.checkpoints.latest
            where = f"batch {number + 1}" if what == "loss" else f"step {self.step + 1}"
            shown = ", ".join(batch.ids[:3])
            raise BiocosmosError(
                f"the {what} is {float(value.detach()):g} in epoch {self.epoch + 1}, {where} (specimens {shown} ...): "
                + (f"the last good checkpoint is {kept}; " if kept else "no checkpoint was written yet; ")
                + "begin anew (--overwrite) with a lower --lr or with --precision float32"
            )

    # ------------------------------------------------------------------ after each epoch

    def _finish_epoch(self, logs: Logs | None) -> None:
        figures: dict[str, float] = {}
        if self.where.first:
            figures = self.task.validate(self._averaged.eval())
        figures = self.where.from_first(figures)
        row: dict[str, Any] = {"epoch": self.epoch + 1, **figures}
        metric = next(iter(figures), None)
        best = self.history.best
        better = metric is not None and (best is None or row[metric] > best[metric])
        self.history.epochs.append(row)
        if better or metric is None:
            self.history.best = row
            if self.where.first:
                self.checkpoints.save_best(self._averaged.state_dict())
        if logs:
            logs.write(EPOCHS, self.step, row)
        patience = self.settings.patience
        if patience is not None and self.history.best is not None:
            self.history.stopped_early = (
                self.epoch + 1 - self.history.best["epoch"] >= patience and self.epoch + 1 < self.settings.epochs
            )
        self.epoch += 1
        self._checkpoint()

    @property
    def _averaged(self) -> nn.Module:
        """The model that is validated and kept: the moving average if there is one."""
        return self.task.model if self.ema is None else self.ema.module

    def _leave_kept_weights(self) -> None:
        if self.where.first:
            weights = self.checkpoints.best() if self.settings.keep == "best" else None
            self.task.model.load_state_dict(self._averaged.state_dict() if weights is None else weights)
        if self.settings.keep == "last":
            self.history.best = self.history.epochs[-1] if self.history.epochs else None
        self.task.model.to(memory_format=torch.contiguous_format).eval()

    # ------------------------------------------------------------------ checkpoints

    def _checkpoint(self) -> Path:
        shared = {
            "step": self.step,
            "epoch": self.epoch,
            "model": self.task.model.state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "epochs": self.history.epochs,
            "best": self.history.best,
            "stopped_early": self.history.stopped_early,
        }
        own = {"objective": self.task.objective.state_dict(), "optimizer": self.own.state_dict() if self.own else None}
        return self.checkpoints.save(self.step, shared, own)

    def _resume(self) -> bool:
        """Go on from the last checkpoint; whether there was one."""
        found = self.checkpoints.load()
        if found is None:
            return False
        shared, own = found
        self.step = self.history.resumed_at = shared["step"]
        self.epoch, self.history.epochs, self.history.best = shared["epoch"], shared["epochs"], shared["best"]
        self.history.stopped_early = shared["stopped_early"]
        self.task.model.load_state_dict(shared["model"])
        self.task.objective.load_state_dict(own["objective"])
        if self.ema is not None:
            self.ema.load_state_dict(shared["ema"])
        for optimizer, state in zip(self.optimizers, shared["optimizers"]):
            optimizer.load_state_dict(state)
        if self.own is not None:
            self.own.load_state_dict(own["optimizer"])
        return True


def derived_seed(*numbers: int) -> int:
    """A seed of its own for every combination of numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def _groups(task: Task, settings: LoopSettings) -> list[dict[str, Any]]:
    """Weights of two and more dimensions decay; biases and the scales of norms do not. Each has the rate its task gives it."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, weights in task.model.named_parameters():
        if weights.requires_grad:
            decay = settings.weight_decay if weights.ndim > 1 else 0.0
            groups.setdefault((task.lr_factor(name), decay), []).append(weights)
    return [
        {"params": params, "lr": settings.lr * factor, "factor": factor, "weight_decay": decay}
        for (factor, decay), params in groups.items()
    ]


def with_common_norms(model: nn.Module) -> nn.Module:
    """The model with batch norms that all processes share. torch's own conversion loses the activation inside timm's norms."""
    from timm.layers import convert_sync_batchnorm

    shared: nn.Module = convert_sync_batchnorm(model)
    return shared
