"""The losses over vectors of barcodes: two gloo processes give the gradients of one."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing

import warm
from biocosmos.nn.barcode.objectives import NeighbourDistillation, SupervisedContrastive

PROCESSES, BATCH = 2, 4


def gradient(model: torch.nn.Module, linear: torch.nn.Linear, part: slice) -> list[torch.Tensor]:
    """Of the weights of a linear map, by each of the two losses."""
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(PROCESSES * BATCH, 6, generator=generator)
    teacher = torch.randn(PROCESSES * BATCH, PROCESSES * BATCH, generator=generator)
    labels = torch.tensor([[0, 0], [1, 0], [0, 0], [2, 1], [1, 0], [2, 1], [0, -1], [-1, 1]])
    found = []
    for loss in (
        lambda z: SupervisedContrastive(0.2, (1.0, 0.5))(z, labels[part]),
        lambda z: NeighbourDistillation()(z, teacher @ teacher.T / 10),
    ):
        linear.zero_grad()
        loss(model(inputs[part])).backward()
        assert linear.weight.grad is not None
        found.append(linear.weight.grad.clone())
    return found


def made() -> torch.nn.Linear:
    torch.manual_seed(0)
    return torch.nn.Linear(6, 5)


def one_process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES)
    linear = made()
    model = torch.nn.parallel.DistributedDataParallel(linear)
    torch.save(gradient(model, linear, slice(rank * BATCH, (rank + 1) * BATCH)), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_give_the_gradients_of_one(tmp_path: Path) -> None:
    warm.spawn(one_process, (str(tmp_path),), nprocs=PROCESSES)
    linear = made()
    expected = gradient(linear, linear, slice(None))
    for rank in range(PROCESSES):
        for mine, wanted in zip(torch.load(tmp_path / f"{rank}.pt"), expected, strict=True):
            assert wanted.abs().max() > 1e-3
            torch.testing.assert_close(mine, wanted, atol=1e-6, rtol=1e-4)
