"""What a training step is computed in: number type and memory layout, the fastest here by measurement, the same after a kill.

Depthwise networks lose by bfloat16 on a CPU and gain by maps with their channels last; transformers gain by bfloat16. What was
chosen stands in the run's folder from the start, so that a run that is resumed, on whatever machine, computes alike.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from biocosmos import machine
from biocosmos.facts import Number as NumberShape
from biocosmos.facts import read_facts
from biocosmos.tables import replacing

COMPUTING = "computing.json"
"""In the folder of a run."""
TIMED_IMAGES = 16
"""Images of the batch that each way is timed on."""
WORTH_TIMING = 2000
"""Images of a whole run from which on a few seconds of timing are worth it."""
BFLOAT16_KINDS = ("cpu", "cuda")
"""Devices whose autocast takes bfloat16; a way that a machine cannot go is no candidate anyway."""

Number = Literal["float32", "bfloat16"]
Layout = Literal["channels last", "contiguous"]
_SHAPE = {
    "precision": ("float32", "bfloat16"),
    "layout": ("channels last", "contiguous"),
    "source": str,
    "milliseconds": {str: NumberShape(0)},
}
"""Of :data:`COMPUTING`."""
NUMBERS: tuple[Number, ...] = ("float32", "bfloat16")
LAYOUTS: tuple[Layout, ...] = ("channels last", "contiguous")


@dataclass(frozen=True)
class Computing:
    """How steps are computed.

    precision: "float32" or "bfloat16" (autocast; weights and their updates stay float32); layout: of weights and maps.
    source: "given", "measured", "remembered", "told", or "default" where there are no images; milliseconds: per image, forward
    and backward, of each way that was timed.
    """

    precision: Number = "float32"
    layout: Layout = "contiguous"
    source: str = "default"
    milliseconds: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As it is recorded and told: "float32", "bfloat16-channels-last"."""
        return self.precision + ("-channels-last" if self.layout == "channels last" else "")

    @property
    def format(self) -> torch.memory_format:
        """The layout as torch names it."""
        return torch.channels_last if self.layout == "channels last" else torch.contiguous_format

    def laid_out(self, inputs: Any) -> Any:
        """Images (n, 3, size, size) in the layout, also among several inputs by name; anything else as it is."""
        if isinstance(inputs, Mapping):
            return {name: self.laid_out(each) for name, each in inputs.items()}
        return inputs.contiguous(memory_format=self.format) if are_images(inputs) else inputs

    def save(self, folder: Path) -> None:
        """Write it into the folder of a run."""
        with replacing(folder / COMPUTING) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> Computing | None:
        """What the run in this folder was begun with, or None."""
        path = folder / COMPUTING
        if not path.exists():
            return None
        remedy = "restore it, or begin anew with --overwrite"
        facts = read_facts(path, _SHAPE, what="how the run was begun", remedy=remedy)
        return Computing(**{name: facts[name] for name in (each.name for each in fields(Computing)) if name in facts})


def told_computing(precision: str) -> Computing:
    """As it was asked for, else float32: nothing is timed."""
    asked = machine.told("train.precision") or "auto" if precision == "auto" else precision
    number: Number = "bfloat16" if asked == "bfloat16" else "float32"
    return Computing(number, source="given" if precision != "auto" else "told" if asked != "auto" else "default")


def choose_computing(
    model: nn.Module,
    loss: Callable[[nn.Module], Any],
    inputs: torch.Tensor,
    precision: str,
    *,
    images: int,
) -> Computing:
    """The way to compute a step of ``model`` that is fastest on this machine.

    Args:
        model: as it will be trained; it stays as it is.
        loss: the loss of these inputs, given a model.
        inputs: some of a batch, on the model's device; a model that takes vectors computes in float32, which loses nothing
            there.
        precision: "auto", "float32" or "bfloat16".
        images: how many the whole run will go through; for fewer than :data:`WORTH_TIMING` nothing is timed.
    """
    asked = machine.told("train.precision") or "auto" if precision == "auto" else precision
    source = "given" if precision != "auto" else "told" if asked != "auto" else "default"
    number: Number = "bfloat16" if asked == "bfloat16" else "float32"
    pictures = are_images(inputs)
    if not pictures and not are_tokens(inputs):
        return Computing(number, source=source)
    called = call_of(loss) if images >= WORTH_TIMING else None
    if called is None:
        return Computing(number, "channels last" if pictures else "contiguous", source=source)
    call, inputs = called
    kind = inputs.device.type
    ways = [
        Computing(one, layout)
        for one in NUMBERS
        for layout in (LAYOUTS if pictures else LAYOUTS[1:])
        if asked in ("auto", one) and (one == "float32" or asked == one or kind in BFLOAT16_KINDS)
    ]
    calls = {way.name: _Timed(model, call, inputs, way) for way in ways}
    choice = machine.choose("train.way", calls, about=f"{_described(model)} {tuple(inputs.shape[1:])} on {kind}")
    way = next(way for way in ways if way.name == choice.answer)
    milliseconds = {name: round(seconds * 1000 / len(inputs), 2) for name, seconds in choice.seconds.items()}
    return Computing(way.precision, way.layout, source if source == "given" else choice.source, milliseconds)


class _Timed:
    """A call that goes forward and back one way, with a copy of the model that is made at the first call."""

    def __init__(
        self, model: nn.Module, call: Callable[[nn.Module, torch.Tensor], Any], inputs: torch.Tensor, way: Computing
    ) -> None:
        self._model, self._call, self._way = model, call, way
        self._inputs = way.laid_out(inputs)
        self._copy: nn.Module | None = None

    def __call__(self) -> None:
        if self._copy is None:
            self._copy = copy.deepcopy(self._model).train().to(memory_format=self._way.format)
        device = self._inputs.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self._way.precision == "bfloat16"):
            out = self._call(self._copy, self._inputs)
        total = sum((tensor.float().sum() for tensor in _tensors(out)), torch.zeros((), device=self._inputs.device))
        total.backward()  # type: ignore[no-untyped-call]
        self._copy.zero_grad()
        float(total.detach())  # a GPU answers when it is done


def _tensors(out: Any) -> list[torch.Tensor]:
    """The tensors with gradients in what a model gives, whatever holds them."""
    if isinstance(out, torch.Tensor):
        return [out] if out.requires_grad else []
    if isinstance(out, Mapping):
        return [tensor for value in out.values() for tensor in _tensors(value)]
    if isinstance(out, (list, tuple)):
        return [tensor for value in out for tensor in _tensors(value)]
    if is_dataclass(out):
        return [tensor for one in fields(out) for tensor in _tensors(getattr(out, one.name))]
    return []


def are_images(inputs: torch.Tensor) -> bool:
    """Whether these are (n, 3, height, width)."""
    return inputs.ndim == 4 and inputs.shape[1] == 3


def are_tokens(inputs: torch.Tensor) -> bool:
    """Whether these are (n, t) whole numbers, such as the tokens of barcodes, whose transformer gains by bfloat16 too."""
    return inputs.ndim == 2 and not inputs.is_floating_point()


def _described(model: nn.Module) -> str:
    """What speed depends on: the modules, the shapes of their weights, and which of them are trained."""
    total = hashlib.sha256()
    for name, module in model.named_modules():
        total.update(f"{name} {type(module).__name__}".encode())
    for weights in model.parameters():
        total.update(f"{tuple(weights.shape)} {weights.requires_grad}".encode())
    return f"{type(model).__name__} {sum(weights.numel() for weights in model.parameters())} weights {total.hexdigest()[:8]}"


class _Called(Exception):
    """Carries what a task's loss calls its model with."""


class Caught(nn.Module):
    """Stands in for a model: calling it ends in an exception that carries the arguments; see :func:`call_of`."""

    def forward(self, *arguments: Any, **options: Any) -> Any:
        """Never returns."""
        raise _Called(arguments, options)


def call_of(loss: Callable[[nn.Module], Any]) -> tuple[Callable[[nn.Module, torch.Tensor], Any], torch.Tensor] | None:
    """How a task calls its model: (call of (model, inputs), the inputs), or None if its loss does not begin with that.

    The loss is not computed, so that nothing of the task or its objective changes.
    """
    try:
        loss(Caught())
    except _Called as caught:
        arguments, options = caught.args
        if not arguments or not isinstance(arguments[0], torch.Tensor):
            return None

        def call(model: nn.Module, inputs: torch.Tensor) -> Any:
            return model(inputs, *arguments[1:], **options)

        return call, arguments[0]
    except Exception:  # the loss needs more of the model than to call it: it is not timed
        return None
    return None
