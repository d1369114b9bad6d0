"""The training loop: it resumes exactly, accumulates correctly, stops where it should, and says what to do when it cannot."""

from __future__ import annotations

import csv
import os
import signal
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import warm
from biocosmos.errors import BiocosmosError
from biocosmos.train.batches.drawing import Drawing, suited_batch
from biocosmos.train.batches.images import VectorBatches
from biocosmos.train.loop.loop import Batch, History, fit
from biocosmos.train.loop.processes import Processes
from biocosmos.train.loop.run_folder import begin_folder
from biocosmos.train.loop.schedule import one_cycle
from biocosmos.train.loop.settings import LoopSettings, from_toml, write_toml

ALONE = Processes(0, 1, torch.device("cpu"))
ROWS, DIM, CLASSES = 48, 6, 3


class Toy:
    """Softmax over three classes of random vectors, with dropout so that randomness in the model matters."""

    name = "toy"

    def __init__(self, batch_size: int = 8, dropout: float = 0.3, scores: list[float] | None = None) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = nn.Sequential(nn.Linear(DIM, 5), nn.BatchNorm1d(5), nn.Dropout(dropout), nn.Linear(5, 4))
        self.objective = nn.Linear(4, CLASSES, bias=False)
        vectors = torch.randn(ROWS, DIM)
        self.batches_ = VectorBatches(
            [f"s{i}" for i in range(ROWS)], vectors, vectors[:, :CLASSES].argmax(1), batch_size=batch_size, seed=3, noise=0.1
        )
        self.batches_per_epoch, self.batch_size = self.batches_.count, self.batches_.batch_size
        self.scores = scores
        self.validated = 0

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        return self.batches_.epoch(epoch, start)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        return nn.functional.cross_entropy(self.objective(model(batch.inputs)), batch.targets)

    def objective_optimizer(self, lr: float, weight_decay: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.objective.parameters(), lr=lr, weight_decay=weight_decay)

    def lr_factor(self, name: str) -> float:
        return 1.0

    def validate(self, model: nn.Module) -> dict[str, float]:
        self.validated += 1
        return {} if self.scores is None else {"score": self.scores[self.validated - 1]}


def weights(toy: Toy) -> torch.Tensor:
    return torch.cat([*(w.detach().flatten() for w in toy.model.parameters()), toy.objective.weight.detach().flatten()])


def settings(**changes: object) -> LoopSettings:
    plain = {"epochs": 3, "batch_size": 8, "lr": 0.01, "keep": "last", "device": "cpu", "precision": "float32"}
    return LoopSettings(**{**plain, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("stop_at", [2, 6, 9])
def test_a_stopped_run_ends_with_the_weights_of_one_that_was_not(tmp_path: Path, stop_at: int) -> None:
    whole = Toy()
    fit(whole, settings(ema=0.9), tmp_path / "whole", ALONE)

    stopped = Toy()
    loss, calls = stopped.loss, 0

    def signalled(model: nn.Module, batch: Batch) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss(model, batch)

    stopped.loss = signalled  # type: ignore[method-assign]
    with pytest.raises(BiocosmosError, match="run the same command to go on"):
        fit(stopped, settings(ema=0.9), tmp_path / "stopped", ALONE)
    again = Toy()
    history = fit(again, settings(ema=0.9), tmp_path / "stopped", ALONE)
    assert history.resumed_at == stop_at
    assert torch.equal(weights(again), weights(whole))


PROGRAM = """
    import sys, time
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    import test_train_loop as t

    t.torch.set_num_threads({threads})  # the order of a sum, and so its last bits, depends on them
    toy = t.Toy()
    loss = toy.loss
    def slow(model, batch):
        time.sleep(0.1)
        return loss(model, batch)
    toy.loss = slow
    t.fit(toy, t.settings(checkpoint_steps=1, epochs=4), Path({folder!r}), t.ALONE)
"""


def test_kill_9_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    whole = Toy()
    fit(whole, settings(checkpoint_steps=1, epochs=4), tmp_path / "whole", ALONE)
    program = textwrap.dedent(PROGRAM).format(
        tests=str(Path(__file__).parent), folder=str(tmp_path / "killed"), threads=torch.get_num_threads()
    )
    running = warm.Popen([sys.executable, "-c", program])
    while len(list((tmp_path / "killed" / "checkpoints").glob("step-0000000[4-9]"))) == 0:
        assert running.poll() is None
        time.sleep(0.02)
    running.kill()
    running.wait()
    again = Toy()
    history = fit(again, settings(checkpoint_steps=1, epochs=4), tmp_path / "killed", ALONE)
    assert history.resumed_at >= 4
    assert torch.equal(weights(again), weights(whole))
    with (tmp_path / "killed" / "epochs.csv").open() as lines:
        assert [int(row["epoch"]) for row in csv.DictReader(lines)] == [1, 2, 3, 4]


def test_accumulating_is_the_step_of_the_larger_batch(tmp_path: Path) -> None:
    def run(batch: int, accumulate: int) -> torch.Tensor:
        toy = Toy(batch, dropout=0.0)
        torch.manual_seed(1)
        toy.model = nn.Linear(DIM, 4)  # no batch norm, which sees its own batch only
        toy.batches_._noise = 0.0
        fit(toy, settings(batch_size=batch, accumulate=accumulate, clip=0.0, precision="float32"), tmp_path / f"{batch}", ALONE)
        return weights(toy)

    torch.testing.assert_close(run(4, 4), run(16, 1), rtol=1e-4, atol=1e-5)


def test_the_last_window_of_an_epoch_is_averaged_over_what_is_in_it(tmp_path: Path) -> None:
    seen: list[float] = []
    toy = Toy(batch_size=8, dropout=0.0)  # six batches an epoch, in windows of four and two
    step = torch.optim.AdamW.step

    def watched(self: torch.optim.AdamW, closure: None = None) -> None:
        if any(p is toy.objective.weight for group in self.param_groups for p in group["params"]):
            seen.append(float(toy.objective.weight.grad.norm()))  # type: ignore[union-attr]
        step(self, closure)

    def constant(model: nn.Module, batch: Batch) -> torch.Tensor:
        return toy.objective.weight.sum() + 0 * model(batch.inputs).sum()

    toy.loss = constant  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", watched)
        history = fit(toy, settings(epochs=1, accumulate=4), tmp_path, ALONE)
    assert history.steps == 2
    assert seen == pytest.approx([np.sqrt(4 * CLASSES)] * 2)  # the gradient of a sum is one everywhere


def test_training_stops_when_validation_no_longer_improves_and_keeps_the_best(tmp_path: Path) -> None:
    toy = Toy(scores=[0.1, 0.5, 0.4, 0.3, 0.9])
    history = fit(toy, settings(epochs=5, patience=2, keep="best"), tmp_path, ALONE)
    assert history.stopped_early and len(history.epochs) == 4
    assert history.best is not None and history.best["epoch"] == 2
    kept = torch.load(tmp_path / "checkpoints" / "best.pt", weights_only=True)
    assert all(torch.equal(kept[name], tensor) for name, tensor in toy.model.state_dict().items())


def test_a_loss_that_is_not_finite_names_the_batch_and_the_last_good_checkpoint(tmp_path: Path) -> None:
    toy = Toy()
    loss, calls = toy.loss, 0

    def broken(model: nn.Module, batch: Batch) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return loss(model, batch) * (torch.nan if calls == 8 else 1)

    toy.loss = broken  # type: ignore[method-assign]
    with pytest.raises(BiocosmosError, match=r"loss is nan in epoch 2, batch 2 \(specimens s\d+.*step-00000006.*--lr"):
        fit(toy, settings(), tmp_path, ALONE)
    assert [path.name for path in (tmp_path / "checkpoints").glob("step-*")] == ["step-00000006"]


def test_running_out_of_memory_says_which_setting_to_lower(tmp_path: Path) -> None:
    toy = Toy()

    def hungry(model: nn.Module, batch: Batch) -> torch.Tensor:
        return torch.empty(1 << 60)

    toy.loss = hungry  # type: ignore[method-assign]
    with pytest.raises(BiocosmosError, match="out of memory with --batch-size 8: halve it and double --accumulate"):
        fit(toy, settings(), tmp_path, ALONE)


@pytest.mark.parametrize(("steps", "warmup"), [(50, 0.1), (200, 0.3), (37, 0.2)])
def test_the_rate_is_that_of_torchs_one_cycle(steps: int, warmup: float) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    oracle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=steps, pct_start=warmup, cycle_momentum=False)
    for step in range(steps):
        assert one_cycle(step, steps, warmup) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9, abs=1e-12)
        optimizer.step()
        if step + 1 < steps:
            oracle.step()


def test_settings_survive_their_file_and_flags_win(tmp_path: Path) -> None:
    write_toml(settings(patience=3), tmp_path / "s.toml")
    assert from_toml(LoopSettings, tmp_path / "s.toml", {"epochs": 9, "lr": None}) == settings(patience=3, epochs=9)
    (tmp_path / "bad.toml").write_text("epoch = 3\n")
    with pytest.raises(BiocosmosError, match="unknown setting 'epoch'"):
        from_toml(LoopSettings, tmp_path / "bad.toml", {})
    (tmp_path / "bad.toml").write_text('epochs = "three"\n')
    with pytest.raises(BiocosmosError, match="epochs = 'three' must be a whole number"):
        from_toml(LoopSettings, tmp_path / "bad.toml", {})


def test_every_specimen_is_drawn_once_an_epoch_by_one_process_or_two() -> None:
    vectors = torch.arange(20.0)[:, None]

    def drawn(rank: int, size: int, epoch: int) -> list[str]:
        batches = VectorBatches([str(i) for i in range(20)], vectors, torch.zeros(20), batch_size=5, seed=1, rank=rank, size=size)
        return [id_ for batch in batches.epoch(epoch, 0) for id_ in batch.ids]

    assert sorted(map(int, drawn(0, 1, 0))) == list(range(20))
    assert sorted(map(int, drawn(0, 2, 0) + drawn(1, 2, 0))) == list(range(20))
    assert drawn(0, 1, 0) != drawn(0, 1, 1) and drawn(0, 1, 0) == drawn(0, 1, 0)


@given(count=st.integers(4, 600), batch=st.integers(2, 64), processes=st.integers(1, 3), epoch=st.integers(0, 3))
def test_no_specimen_is_left_out_of_an_epoch_and_processes_have_alike_batches(
    count: int, batch: int, processes: int, epoch: int
) -> None:
    if count < 2 * processes:
        return
    each = [Drawing(count, batch, seed=1, rank=rank, size=processes) for rank in range(processes)]
    rows = [[one.rows(one.order(epoch), number) for number in range(one.count)] for one in each]
    assert {len(batch) for batches in rows for batch in batches} == {min(batch, count // processes)}
    together = np.concatenate([np.concatenate(batches) for batches in rows])
    assert set(together.tolist()) == set(range(count)) and len(together) - count < processes * min(batch, count // processes)
    for number in range(each[0].count):  # and never twice in one step
        step = np.concatenate([batches[number] for batches in rows])
        assert len(set(step.tolist())) == len(step)


def test_a_small_collection_has_many_steps_an_epoch_unless_a_batch_size_is_told() -> None:
    assert [suited_batch(None, count, 1, 512) for count in (100, 952, 21_278)] == [16, 23, 512]
    assert suited_batch(None, 952, 2, 512) == 16 and suited_batch(None, 10_000, 1, 64) == 64
    assert suited_batch(512, 952, 1, 512) == 512 and Drawing(952, 512, seed=0).count == 2


def test_a_training_that_betters_nothing_ends_with_the_weights_it_began_with(tmp_path: Path) -> None:
    """Also when it was stopped in between: what it began with is on the disk."""
    begun = weights(Toy())[:-12]  # those of the model; the objective goes on
    for folder in ("whole", "stopped"):
        toy = Toy(scores=[0.5, 0.6, 0.4])
        if folder == "stopped":
            first = Toy(scores=[0.5, 0.6, 0.4])
            loss = first.loss

            def stopping(model: nn.Module, batch: Batch) -> torch.Tensor:
                if first.validated == 2:  # noqa: B023
                    os.kill(os.getpid(), signal.SIGUSR1)
                return loss(model, batch)  # noqa: B023

            first.loss = stopping  # type: ignore[method-assign]
            with pytest.raises(BiocosmosError, match="stopped by a signal"):
                fit(first, settings(keep="best"), tmp_path / folder, ALONE, start={"score": 0.7})
            toy.validated = 2
        history = fit(toy, settings(keep="best"), tmp_path / folder, ALONE, start={"score": 0.7})
        assert history.best == {"epoch": 0, "score": 0.7} and len(history.epochs) == 3
        assert torch.equal(weights(toy)[:-12], begun)
    toy = Toy(scores=[0.5, 0.8, 0.4])
    history = fit(toy, settings(keep="best"), tmp_path / "better", ALONE, start={"score": 0.7})
    assert history.best is not None and history.best["epoch"] == 2 and not torch.equal(weights(toy)[:-12], begun)
    history = fit(Toy(scores=[0.5, 0.6, 0.4]), settings(keep="last"), tmp_path / "last", ALONE, start={"score": 0.7})
    assert history.best is not None and history.best["epoch"] == 3


def test_history_of_no_validation_keeps_the_end(tmp_path: Path) -> None:
    history = fit(Toy(), settings(keep="best"), tmp_path, ALONE)
    assert isinstance(history, History) and history.best == {"epoch": 3}


def test_an_output_that_is_a_file_is_told_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "barcodes.fasta"
    file.write_text(">a\nACGT\n")
    for output in (file, file / "run"):
        with pytest.raises(BiocosmosError, match=r"barcodes\.fasta is a file, .*choose another --output"):
            begin_folder(output, LoopSettings(), ALONE)
