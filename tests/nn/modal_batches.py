"""What the losses between modalities are tested with: batches in which anything may lack, and two gloo processes against one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from hypothesis import strategies as st

import warm

DIM, PROCESSES = 5, 2
Rows = dict[str, list[int]]


def drawn(names: Sequence[str], n: int, seed: int) -> dict[str, torch.Tensor]:
    """A vector of every specimen in every modality, of any length."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(n, DIM, generator=generator) * 3 for name in names}


def of(
    loss: torch.nn.Module,
    whole: dict[str, torch.Tensor],
    rows: Rows,
    labels: list[int],
    *more: object,
    part: slice = slice(None),
) -> torch.Tensor:
    """The loss of some specimens; rows are numbers in all of them."""
    numbers = range(len(labels))[part]
    here = {name: [i for i in rows[name] if i in numbers] for name in whole}
    vectors = {name: whole[name][torch.tensor(here[name], dtype=torch.int64)] for name in whole}
    places = {name: torch.tensor([numbers.index(i) for i in here[name]], dtype=torch.int64) for name in whole}
    return loss(vectors, places, torch.tensor(labels)[part], *more)  # type: ignore[no-any-return]


@st.composite
def batches(draw: st.DrawFn, names: Sequence[str], most: int) -> tuple[Rows, list[int], int]:
    """(rows of each modality, labels, a seed) of 1 to ``most`` specimens."""
    n = draw(st.integers(1, most))
    labels = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    rows = {name: [i for i in range(n) if draw(st.booleans())] for name in names}
    return rows, labels, draw(st.integers(0, 99))


def clip(x: torch.Tensor, y: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """CLIP's loss of two modalities, whose vectors may have any length, at a temperature of 0.07."""
    logits = torch.nn.functional.normalize(x, dim=1) @ torch.nn.functional.normalize(y, dim=1).T / 0.07
    return (torch.nn.functional.cross_entropy(logits, truth) + torch.nn.functional.cross_entropy(logits.T, truth)) / 2


# ---------------------------------------------------------------------- two processes

BATCHES: list[tuple[Sequence[list[int]], list[int]]] = [
    (([0, 1, 2, 3, 4, 5], [0, 2, 3, 5], [1, 2, 4]), [0, 1, 2, 0, 1, 2]),
    (([0, 1], [3, 4, 5], [5]), [0, 1, 2, 0, 1, 3]),  # one process has none of the first modality, the other none of the second
    (([0], [4], []), [0, 1, 2, 3, 4, 5]),  # nothing is complete
]
"""Rows of three modalities, and labels."""


class Space(torch.nn.Module):
    """Towers of three modalities and their loss, as a training has them."""

    def __init__(self, names: Sequence[str], pairs: torch.nn.Module) -> None:
        super().__init__()
        self.towers, self.pairs = torch.nn.ModuleDict({name: torch.nn.Linear(DIM, DIM) for name in names}), pairs
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for weights in self.towers.parameters():
                weights.normal_(generator=generator)

    def more(self, rank: int | None) -> Sequence[object]:
        """What else the loss takes; rank: of the process whose part it is, None for all."""
        return ()

    def forward(self, rows: Rows, labels: list[int], whole: dict[str, torch.Tensor], rank: int | None) -> torch.Tensor:
        vectors = {name: tower(whole[name]) for name, tower in self.towers.items()}
        return of(self.pairs, vectors, rows, labels, *self.more(rank), part=share(len(labels), rank))


def share(n: int, rank: int | None) -> slice:
    """Which of n one process has, None for all."""
    return slice(None) if rank is None else slice(rank * n // PROCESSES, (rank + 1) * n // PROCESSES)


def assert_two_processes_are_as_one(make: Callable[[], Space], folder: Path) -> None:
    """The loss and all gradients; make: a function of a module, by which each process has its space."""
    warm.spawn(_one_process, (make, str(folder)), nprocs=PROCESSES)
    space = make()
    expected = _seen_by(space, space, None)
    for rank in range(PROCESSES):
        for mine, wanted in zip(torch.load(folder / f"{rank}.pt"), expected, strict=True):
            assert torch.allclose(mine["loss"], wanted["loss"], atol=1e-5)
            assert set(mine["gradients"]) == set(wanted["gradients"])
            for name, gradient in wanted["gradients"].items():
                assert torch.allclose(mine["gradients"][name], gradient, atol=1e-5), name


def _seen_by(model: torch.nn.Module, space: Space, rank: int | None) -> list[dict[str, Any]]:
    seen, names = [], list(space.towers)
    for number, (rows, labels) in enumerate(BATCHES):
        space.zero_grad()
        loss = model(dict(zip(names, rows, strict=True)), labels, drawn(names, len(labels), number), rank)
        loss.backward()
        gradients = {name: weights.grad.clone() for name, weights in space.named_parameters() if weights.grad is not None}
        seen.append({"loss": loss.detach(), "gradients": gradients})
    return seen


def _one_process(rank: int, make: Callable[[], Space], folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES)
    space = make()
    torch.save(_seen_by(torch.nn.parallel.DistributedDataParallel(space), space, rank), f"{folder}/{rank}.pt")
    dist.destroy_process_group()
