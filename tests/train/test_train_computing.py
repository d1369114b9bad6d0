"""What a training step is computed in: chosen by timing, the same after a kill, and told to the run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from biocosmos import machine
from biocosmos.train.loop import computing
from biocosmos.train.loop.computing import COMPUTING, Computing, choose_computing
from biocosmos.train.loop.loop import Batch, fit
from biocosmos.train.loop.processes import Processes
from biocosmos.train.loop.settings import LoopSettings

ALONE = Processes(0, 1, torch.device("cpu"))
IMAGES, SIDE = 32, 16


pytestmark = pytest.mark.usefixtures("nothing_remembered")


class Pictures:
    """A small network that tells bright pictures from dark ones."""

    name = "pictures"

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.objective = nn.Linear(8, 2)
        self.images = torch.rand(IMAGES, 3, SIDE, SIDE) + (torch.arange(IMAGES) % 2)[:, None, None, None]
        self.batches_per_epoch, self.batch_size = 4, 8
        self.seen: list[torch.dtype] = []

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        for number in range(start, 4):
            rows = torch.arange(8 * number, 8 * number + 8)
            yield Batch(self.images[rows], rows % 2, [str(row) for row in rows.tolist()])

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        out = model(batch.inputs)
        self.seen.append(out.dtype)
        return nn.functional.cross_entropy(self.objective(out).float(), batch.targets)

    def objective_optimizer(self, lr: float, weight_decay: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.objective.parameters(), lr=lr, weight_decay=weight_decay)

    def lr_factor(self, name: str) -> float:
        return 1.0

    def validate(self, model: nn.Module) -> dict[str, float]:
        return {}


def settings(**changes: object) -> LoopSettings:
    return LoopSettings(**{"epochs": 2, "batch_size": 8, "lr": 0.01, "device": "cpu", **changes})  # type: ignore[arg-type]


def takes(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    said = {name.replace("_", "-"): value for name, value in seconds.items()}
    monkeypatch.setattr(computing, "WORTH_TIMING", 1)
    monkeypatch.setattr(machine, "_timed", lambda candidates, *_: {name: said[name] for name in candidates if name in said})


BFLOAT16_WINS = {"float32_channels_last": 2.0, "float32": 3.0, "bfloat16_channels_last": 1.0, "bfloat16": 1.5}
FLOAT32_WINS = {"float32_channels_last": 1.0, "float32": 3.0, "bfloat16_channels_last": 2.0, "bfloat16": 1.5}


def test_the_fastest_way_is_taken_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    takes(monkeypatch, **BFLOAT16_WINS)
    task = Pictures()
    history = fit(task, settings(), tmp_path / "run", ALONE)
    assert set(task.seen) == {torch.bfloat16}
    told = history.computing
    assert (told["precision"], told["layout"], told["source"]) == ("bfloat16", "channels last", "measured")
    assert told["milliseconds"]["float32"] == 375.0
    assert all(weights.is_contiguous() and weights.dtype == torch.float32 for weights in task.model.parameters())


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_a_number_type_that_was_asked_for_is_used_whatever_is_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    takes(monkeypatch, **(BFLOAT16_WINS if asked == "float32" else FLOAT32_WINS))
    task = Pictures()
    assert fit(task, settings(precision=asked), tmp_path / "run", ALONE).computing["precision"] == asked
    assert set(task.seen) == {getattr(torch, asked)}


@pytest.mark.parametrize("ways", [BFLOAT16_WINS, FLOAT32_WINS], ids=["bfloat16", "float32"])
def test_a_stopped_run_goes_on_in_what_it_was_begun_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ways: dict[str, float]
) -> None:
    takes(monkeypatch, **ways)
    whole = Pictures()
    fit(whole, settings(), tmp_path / "whole", ALONE)
    stopped = Pictures()
    loss = stopped.loss

    def breaks(model: nn.Module, batch: Batch) -> torch.Tensor:
        if len(stopped.seen) == 5:
            raise KeyboardInterrupt
        return loss(model, batch)

    stopped.loss = breaks  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, settings(checkpoint_steps=1), tmp_path / "stopped", ALONE)
    machine.forget()
    machine.memory_file().unlink()
    takes(monkeypatch, **(FLOAT32_WINS if ways is BFLOAT16_WINS else BFLOAT16_WINS))
    again = Pictures()
    history = fit(again, settings(checkpoint_steps=1), tmp_path / "stopped", ALONE)
    assert history.resumed_at == 5 and history.computing == json.loads((tmp_path / "whole" / COMPUTING).read_text())
    for mine, theirs in zip(again.model.state_dict().values(), whole.model.state_dict().values()):
        assert torch.equal(mine, theirs)


def test_a_real_measurement_leaves_model_and_objective_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Pictures()
    before = {name: tensor.clone() for name, tensor in task.model.state_dict().items()}
    first = next(task.batches(0, 0))
    found = choose_computing(task.model, lambda model: task.loss(model, first), first.inputs, "auto", images=10_000)
    assert found.source == "measured" and found.milliseconds[found.name] > 0
    assert {"float32", "float32-channels-last"} <= set(found.milliseconds)
    assert all(torch.equal(tensor, before[name]) for name, tensor in task.model.state_dict().items())
    assert not task.seen and all(weights.grad is None for weights in task.model.parameters())
    few = choose_computing(task.model, lambda model: task.loss(model, first), first.inputs, "auto", images=100)
    assert few == Computing("float32", "channels last", source="default")


def test_vectors_are_learnt_from_in_float32() -> None:
    found = choose_computing(nn.Linear(3, 2), lambda model: model(torch.ones(4, 3)), torch.ones(4, 3), "auto", images=10_000)
    assert found == Computing()
