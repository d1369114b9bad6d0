"""Cached gradients: those of the whole batch, with dropout, without rows, and in two processes."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import warm
from biocosmos.nn.chunked import Chunked
from biocosmos.nn.distributed import gather_embeddings

BATCH, WIDTH, CHUNK, PROCESSES = 20, 12, 6, 2


class Counted(nn.Module):
    """A small tower with a batch norm and dropout that says how many rows it saw at once."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Linear(WIDTH, 16), nn.BatchNorm1d(16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, WIDTH)
        ).double()
        self.seen: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(x))
        return self.layers(x)  # type: ignore[no-any-return]


def batch(rows: int = BATCH) -> torch.Tensor:
    return torch.randn(rows, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def loss_of(vectors: torch.Tensor) -> torch.Tensor:
    """All rows against all: what cannot be summed over chunks."""
    unit = nn.functional.normalize(vectors, dim=1)
    return (unit @ unit.T / 0.1).logsumexp(1).mean()


def gradients(model: nn.Module) -> list[torch.Tensor]:
    return [weights.grad.clone() for weights in model.parameters() if weights.grad is not None]


@pytest.mark.parametrize("rows", [BATCH, 2 * CHUNK, CHUNK - 1])
def test_the_gradients_are_those_of_the_whole_batch(rows: int) -> None:
    whole, chunked = Chunked(Counted(), None).train(), Chunked(Counted(), CHUNK).train()
    for model in (whole, chunked):
        loss_of(model(batch(rows))).backward()
    assert max(chunked.module.seen) <= CHUNK  # type: ignore[type-var, arg-type]
    for a, b in zip(gradients(whole), gradients(chunked), strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-9)


def test_dropout_draws_the_same_in_the_second_pass() -> None:
    plain, chunked = Counted(0.5), Chunked(Counted(0.5), CHUNK).train()
    plain.train()
    plain.layers[1].eval()
    torch.manual_seed(5)
    loss_of(torch.cat([plain(part) for part in batch().split(CHUNK)])).backward()
    torch.manual_seed(5)
    loss_of(chunked(batch())).backward()
    for a, b in zip(gradients(plain), gradients(chunked), strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-9)
    torch.manual_seed(6)
    chunked.zero_grad()
    loss_of(chunked(batch())).backward()
    assert any(float((a - b).abs().max()) > 1e-3 for a, b in zip(gradients(plain), gradients(chunked)))


def test_batch_norms_keep_their_statistics_in_training() -> None:
    model = Chunked(Counted(), CHUNK).train()
    before = copy.deepcopy(model.module.layers[1].state_dict())  # type: ignore[index, union-attr]
    loss_of(model(batch())).backward()
    norm = model.module.layers[1]  # type: ignore[index]
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())
    assert norm.weight.grad is not None  # its weights learn


def test_a_batch_without_rows_gives_every_weight_a_gradient_of_zero() -> None:
    model = Chunked(Counted(), CHUNK).train()
    vectors = model(batch()[:0])
    assert vectors.shape == (0, WIDTH)
    (vectors.sum() * 1.0).backward()
    assert len(gradients(model)) == len(list(model.parameters()))
    assert all(float(each.abs().max()) == 0 for each in gradients(model))


def test_without_gradients_the_vectors_are_the_same_in_chunks() -> None:
    model = Chunked(Counted(), CHUNK).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(batch()), model.module(batch()))


def one_process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES)
    chunked = Chunked(Counted(), CHUNK)
    model = DistributedDataParallel(chunked).train()
    share = BATCH // PROCESSES
    vectors = model(batch()[rank * share : (rank + 1) * share])
    (loss_of(gather_embeddings(vectors)) / PROCESSES).backward()  # both compute all of it
    uneven = model(batch()[: share * rank])  # the first process has nothing this time
    first = gradients(chunked)
    chunked.zero_grad()
    uneven.square().sum().backward()
    torch.save((first, gradients(chunked)), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_have_the_gradients_of_one(tmp_path: Path) -> None:
    warm.spawn(one_process, args=(str(tmp_path),), nprocs=PROCESSES)
    whole = Chunked(Counted(), None).train()
    loss_of(whole(batch())).backward()
    wanted = gradients(whole)
    whole.zero_grad()
    (whole(batch()[: BATCH // PROCESSES]).square().sum() / PROCESSES).backward()
    for rank in range(PROCESSES):
        found, uneven = torch.load(tmp_path / f"{rank}.pt")
        for a, b in zip([*wanted, *gradients(whole)], [*found, *uneven], strict=True):
            torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-6)
