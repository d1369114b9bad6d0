"""The loss between modalities against plain loops, whatever lacks what, and two gloo processes against one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from hypothesis import given, settings
from hypothesis import strategies as st

import warm
from biocosmos.errors import BiocosmosError
from biocosmos.nn.modal_pairs import ModalPairs

PAIRS = [("image", "dna"), ("image", "text"), ("dna", "text")]
NAMES = ("image", "dna", "text")
DIM, PROCESSES = 5, 2

Rows = dict[str, list[int]]


def drawn(n: int, seed: int) -> dict[str, torch.Tensor]:
    """A vector of every specimen in every modality, of any length."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(n, DIM, generator=generator) * 3 for name in NAMES}


def by_loops(
    whole: dict[str, torch.Tensor],
    rows: Rows,
    labels: list[int],
    scale: float,
    pairs: list[tuple[str, str]],
    as_published: bool = False,
    weight: float = 0.0,
) -> float:
    """The loss, written out: every row of every ordered pair by itself."""
    between: list[float] = []
    within: list[float] = []
    itself = [(name, name) for name in dict.fromkeys(name for pair in pairs for name in pair)]
    for a, b in [*(direction for pair in pairs for direction in (pair, pair[::-1])), *itself]:
        of_rows = []
        for i in rows[a]:
            columns = [j for j in rows[b] if a != b or j != i]
            positives = [j for j in columns if labels[j] == labels[i]]
            if not positives:
                continue
            x = whole[a][i] / whole[a][i].norm()
            exponentials = {j: math.exp(scale * float(x @ whole[b][j] / whole[b][j].norm())) for j in columns}
            logs = [math.log(exponentials[j] / sum(exponentials.values())) for j in positives]
            of_rows.append(-sum(logs) / (1 if as_published and a != b else len(positives)))
        if of_rows:
            (within if a == b else between).append(sum(of_rows) / len(of_rows))
    means = [sum(each) / len(each) if each else 0.0 for each in (between, within)]
    return means[0] + weight * means[1]


def of(
    loss: ModalPairs, whole: dict[str, torch.Tensor], rows: Rows, labels: list[int], part: slice = slice(None)
) -> torch.Tensor:
    """The loss of some specimens; rows are numbers in all of them."""
    numbers = range(len(labels))[part]
    here = {name: [i for i in rows[name] if i in numbers] for name in NAMES}
    vectors = {name: whole[name][torch.tensor(here[name], dtype=torch.int64)] for name in NAMES}
    places = {name: torch.tensor([numbers.index(i) for i in here[name]], dtype=torch.int64) for name in NAMES}
    return loss(vectors, places, torch.tensor(labels)[part])  # type: ignore[no-any-return]


@st.composite
def batches(draw: st.DrawFn) -> tuple[Rows, list[int], int]:
    n = draw(st.integers(1, 9))
    labels = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    rows = {name: [i for i in range(n) if draw(st.booleans())] for name in NAMES}
    return rows, labels, draw(st.integers(0, 99))


@settings(max_examples=150, deadline=None)
@given(batches(), st.booleans(), st.sampled_from([PAIRS, PAIRS[:1], PAIRS[1:]]), st.sampled_from([0.0, 0.7]))
def test_it_is_what_plain_loops_give(
    batch: tuple[Rows, list[int], int], as_published: bool, pairs: list[tuple[str, str]], weight: float
) -> None:
    rows, labels, seed = batch
    whole = drawn(len(labels), seed)
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    loss = ModalPairs(pairs, as_published=as_published, within=names, weight=weight)
    expected = by_loops(whole, rows, labels, 1 / 0.07, pairs, as_published, weight)
    assert float(of(loss, whole, rows, labels).detach()) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(batches())
def test_specimens_that_lack_a_modality_change_nothing_there(batch: tuple[Rows, list[int], int]) -> None:
    rows, labels, seed = batch
    whole = {name: vectors.requires_grad_() for name, vectors in drawn(len(labels), seed).items()}
    of(ModalPairs(PAIRS, within=NAMES, weight=1.0), whole, rows, labels).backward()
    for name in NAMES:
        gradient = whole[name].grad
        assert gradient is not None and bool(torch.isfinite(gradient).all())
        assert not bool(gradient[[i for i in range(len(labels)) if i not in rows[name]]].any())


def test_clip_is_the_case_of_one_pair_and_labels_all_different() -> None:
    whole, labels = drawn(6, 3), list(range(6))
    x, y = (torch.nn.functional.normalize(whole[name], dim=1) for name in ("image", "dna"))
    logits, truth = x @ y.T / 0.07, torch.arange(6)
    clip = (torch.nn.functional.cross_entropy(logits, truth) + torch.nn.functional.cross_entropy(logits.T, truth)) / 2
    rows = dict.fromkeys(NAMES, labels)
    assert torch.allclose(of(ModalPairs(PAIRS[:1]), whole, rows, labels), clip, atol=1e-5)


def test_published_rows_count_every_positive() -> None:
    whole, labels = drawn(6, 4), [0, 0, 0, 1, 1, 2]
    x, y = (torch.nn.functional.normalize(whole[name], dim=1) for name in ("image", "dna"))
    alike = (torch.tensor(labels)[:, None] == torch.tensor(labels)).float()
    logits = x @ y.T / 0.07
    clibd = (torch.nn.functional.cross_entropy(logits, alike) + torch.nn.functional.cross_entropy(logits.T, alike)) / 2
    rows = {name: list(range(6)) for name in NAMES}
    assert torch.allclose(of(ModalPairs(PAIRS[:1], as_published=True), whole, rows, labels), clibd, atol=1e-5)


def test_a_batch_without_a_complete_pair_is_zero_with_a_gradient_of_zero() -> None:
    whole = {name: vectors.requires_grad_() for name, vectors in drawn(4, 5).items()}
    loss = ModalPairs(PAIRS, within=NAMES, weight=1.0)
    value = of(loss, whole, {"image": [0, 1], "dna": [2], "text": []}, [0, 1, 2, 3])
    value.backward()
    assert float(value.detach()) == 0
    assert all(vectors.grad is not None and not bool(vectors.grad.any()) for vectors in whole.values())
    assert loss.log_scale.grad is not None and float(loss.log_scale.grad) == 0


def test_the_scale_stays_below_100_and_may_come_back() -> None:
    loss = ModalPairs(PAIRS)
    assert loss.log_scale.item() == pytest.approx(math.log(1 / 0.07))
    with torch.no_grad():
        loss.log_scale.fill_(9.0)
    rows = {name: list(range(4)) for name in NAMES}
    of(loss, drawn(4, 6), rows, [0, 1, 2, 3]).backward()
    assert loss.log_scale.exp().item() == pytest.approx(100, rel=1e-5)
    assert loss.log_scale.grad is not None and float(loss.log_scale.grad) > 0


def test_pairs_that_are_none_are_refused() -> None:
    for pairs in ([], [("image", "image")], [("image", "dna"), ("dna", "image")]):
        with pytest.raises(BiocosmosError, match="pairs of two, each once"):
            ModalPairs(pairs)
    with pytest.raises(BiocosmosError, match="above 0, not 0"):
        ModalPairs(PAIRS, temperature=0)


# ---------------------------------------------------------------------- two processes

BATCHES: list[tuple[Rows, list[int]]] = [
    ({"image": [0, 1, 2, 3, 4, 5], "dna": [0, 2, 3, 5], "text": [1, 2, 4]}, [0, 1, 2, 0, 1, 2]),
    ({"image": [0, 1], "dna": [3, 4, 5], "text": [5]}, [0, 1, 2, 0, 1, 3]),  # one process has no picture, the other no barcode
    ({"image": [0], "dna": [4], "text": []}, [0, 1, 2, 3, 4, 5]),  # nothing is complete
]


def towers() -> torch.nn.ModuleDict:
    made = torch.nn.ModuleDict({name: torch.nn.Linear(DIM, DIM) for name in NAMES})
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weights in made.parameters():
            weights.normal_(generator=generator)
    return made


class Space(torch.nn.Module):
    """Towers and their loss, as a training has them."""

    def __init__(self) -> None:
        super().__init__()
        self.towers, self.pairs = towers(), ModalPairs(PAIRS, within=("image", "dna"), weight=0.5)

    def forward(self, rows: Rows, labels: list[int], part: slice, whole: dict[str, torch.Tensor]) -> torch.Tensor:
        return of(self.pairs, {name: self.towers[name](whole[name]) for name in NAMES}, rows, labels, part)


def seen_by(model: torch.nn.Module, space: Space, part: slice) -> list[dict[str, Any]]:
    seen = []
    for number, (rows, labels) in enumerate(BATCHES):
        space.zero_grad()
        loss = model(rows, labels, part, drawn(len(labels), number))
        loss.backward()
        gradients = {name: weights.grad.clone() for name, weights in space.named_parameters() if weights.grad is not None}
        seen.append({"loss": loss.detach(), "gradients": gradients})
    return seen


def one_process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES)
    space = Space()
    model = torch.nn.parallel.DistributedDataParallel(space)
    torch.save(seen_by(model, space, slice(rank * 3, rank * 3 + 3)), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_give_the_loss_and_the_gradients_of_one(tmp_path: Path) -> None:
    warm.spawn(one_process, (str(tmp_path),), nprocs=PROCESSES)
    space = Space()
    expected = seen_by(space, space, slice(None))
    for rank in range(PROCESSES):
        for mine, wanted in zip(torch.load(tmp_path / f"{rank}.pt"), expected, strict=True):
            assert torch.allclose(mine["loss"], wanted["loss"], atol=1e-5)
            assert set(mine["gradients"]) == set(wanted["gradients"])
            for name, gradient in wanted["gradients"].items():
                assert torch.allclose(mine["gradients"][name], gradient, atol=1e-5), name
