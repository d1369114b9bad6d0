"""The losses that bind to an anchor: the published values, plain loops, and two gloo processes against one."""

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
from biocosmos.nn.bound_pairs import NOBODY, WEIGHTS, BoundPairs

NAMES = ("image", "place", "satellite")
DIM, PROCESSES = 5, 2
FORMS = {"place": "masked", "satellite": "several"}
LOGITS = [[5, 1, 4, 0.5, -1, 2], [0, 6, 2, 1, 1, -2], [3, 0, 4, 2, 0, 1]]
SPECIES = [7, 3, 7]

Rows = dict[str, list[int]]


def with_logits(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Unit vectors of anchors and of others, and the scale, whose products are these logits: (3, c) -> (3, d), (c, d)."""
    scale = 60.0
    others = torch.zeros(logits.shape[1], 3 + logits.shape[1])
    others[:, :3] = logits.T / scale
    others[:, 3:] = torch.diag((1 - others[:, :3].square().sum(1)).sqrt())
    anchors = torch.zeros(3, others.shape[1])
    anchors[:, :3] = torch.eye(3)
    return anchors, others, scale


def test_the_published_values() -> None:
    """Of shared facts, made by the formulas of the published code: places with three more negatives, satellite images without."""
    logits = torch.tensor(LOGITS, dtype=torch.float32)
    anchors, others, scale = with_logits(logits)
    rows = dict.fromkeys(NAMES, torch.arange(3))
    vectors = {"image": anchors, "place": others[:3], "satellite": others[:3]}
    more = {"place": (others[3:], torch.full((3,), NOBODY))}
    place = BoundPairs("image", {"place": "masked"}, temperature=1 / scale, as_published=True)
    assert float(place(vectors, rows, torch.tensor(SPECIES), more).detach()) == pytest.approx(0.07027352, abs=2e-6)
    satellite = BoundPairs("image", {"satellite": "several"}, temperature=1 / scale, as_published=True)
    assert float(satellite(vectors, rows, torch.tensor(SPECIES)).detach()) == pytest.approx(1.1864863, abs=2e-6)


def by_loops(
    whole: dict[str, torch.Tensor],
    rows: Rows,
    labels: list[int],
    forms: dict[str, str],
    published: bool,
    negatives: dict[str, tuple[torch.Tensor, list[int]]],
) -> float:
    """The loss, written out: every row of every direction by itself."""
    total, scale = 0.0, 1 / 0.07
    unit = {name: torch.nn.functional.normalize(vectors, dim=1).double() for name, vectors in whole.items()}
    for name, form in forms.items():
        for a, b, weight in (("image", name, WEIGHTS[form][0]), (name, "image", WEIGHTS[form][1])):
            costs = []
            for i in rows[a]:
                alike = [j for j in rows[b] if labels[j] == labels[i]]
                positives = alike if form == "several" else [j for j in rows[b] if j == i]
                if not positives:
                    continue
                columns = [j for j in rows[b] if form != "masked" or j == i or j not in alike]
                powers = {j: math.exp(scale * float(unit[a][i] @ unit[b][j])) for j in columns}
                sum_ = sum(powers.values())
                if a == "image" and name in negatives:
                    drawn, whose = negatives[name]
                    for vector, label in zip(torch.nn.functional.normalize(drawn, dim=1).double(), whose):
                        if published or form != "masked" or label != labels[i]:
                            sum_ += math.exp(scale * float(unit[a][i] @ vector))
                logs = [math.log(powers[j] / sum_ + (1e-6 if published else 0)) for j in positives]
                costs.append(-sum(logs) / (1 if published else len(logs)))
            total += weight * (sum(costs) / len(costs) if costs else 0.0) / len(forms)
    return total


def drawn(n: int, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(n, DIM, generator=generator) * 3 for name in NAMES}


def of(
    loss: BoundPairs,
    whole: dict[str, torch.Tensor],
    rows: Rows,
    labels: list[int],
    negatives: dict[str, tuple[torch.Tensor, torch.Tensor]],
    part: slice = slice(None),
) -> torch.Tensor:
    numbers = range(len(labels))[part]
    here = {name: [i for i in rows[name] if i in numbers] for name in NAMES}
    vectors = {name: whole[name][torch.tensor(here[name], dtype=torch.int64)] for name in NAMES}
    places = {name: torch.tensor([numbers.index(i) for i in here[name]], dtype=torch.int64) for name in NAMES}
    return loss(vectors, places, torch.tensor(labels)[part], negatives)  # type: ignore[no-any-return]


@st.composite
def batches(draw: st.DrawFn) -> tuple[Rows, list[int], int, list[int]]:
    n = draw(st.integers(1, 8))
    labels = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    rows = {name: [i for i in range(n) if draw(st.booleans())] for name in NAMES}
    whose = draw(st.lists(st.sampled_from([0, 1, 2, NOBODY]), max_size=4))
    return rows, labels, draw(st.integers(0, 99)), whose


@settings(max_examples=100, deadline=None)
@given(batches(), st.booleans(), st.sampled_from(list(WEIGHTS)), st.sampled_from(list(WEIGHTS)))
def test_it_is_what_plain_loops_give(
    batch: tuple[Rows, list[int], int, list[int]], published: bool, place: str, satellite: str
) -> None:
    rows, labels, seed, whose = batch
    whole, forms = drawn(len(labels), seed), {"place": place, "satellite": satellite}
    more = torch.randn(len(whose), DIM, generator=torch.Generator().manual_seed(seed + 1))
    negatives = {"place": (more, torch.tensor(whose, dtype=torch.int64))} if whose else {}
    expected = by_loops(whole, rows, labels, forms, published, {"place": (more, whose)} if whose else {})
    loss = BoundPairs("image", forms, as_published=published)
    assert float(of(loss, whole, rows, labels, negatives).detach()) == pytest.approx(expected, rel=2e-4, abs=1e-4)


def test_clip_is_the_plain_form() -> None:
    whole, labels = drawn(6, 3), [0, 0, 1, 1, 2, 2]
    x, y = (torch.nn.functional.normalize(whole[name], dim=1) for name in ("image", "place"))
    logits, truth = x @ y.T / 0.07, torch.arange(6)
    clip = (torch.nn.functional.cross_entropy(logits, truth) + torch.nn.functional.cross_entropy(logits.T, truth)) / 2
    rows = {name: list(range(6)) for name in NAMES}
    assert torch.allclose(of(BoundPairs("image", {"place": "plain"}), whole, rows, labels, {}), clip, atol=1e-5)


def test_what_is_no_loss_is_refused() -> None:
    for forms in ({}, {"image": "plain"}, {"place": "other"}):
        with pytest.raises(BiocosmosError, match="bound to image by"):
            BoundPairs("image", forms)
    with pytest.raises(BiocosmosError, match="above 0, not 0"):
        BoundPairs("image", {"place": "plain"}, temperature=0)


# ---------------------------------------------------------------------- two processes

BATCHES: list[tuple[Rows, list[int]]] = [
    ({"image": [0, 1, 2, 3, 4, 5], "place": [0, 2, 3, 5], "satellite": [1, 2, 4]}, [0, 1, 2, 0, 1, 2]),
    ({"image": [0, 1], "place": [3, 4, 5], "satellite": [5]}, [0, 1, 2, 0, 1, 3]),  # one process has no image, the other no place
    ({"image": [0], "place": [4], "satellite": []}, [0, 1, 2, 3, 4, 5]),  # nothing is complete
]
WHOSE = [0, 1, NOBODY, 2]


class Bound(torch.nn.Module):
    """Towers and their loss, as a training has them; the place tower has negatives of the queue too."""

    def __init__(self) -> None:
        super().__init__()
        self.towers = torch.nn.ModuleDict({name: torch.nn.Linear(DIM, DIM) for name in NAMES})
        self.pairs = BoundPairs("image", FORMS)
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for weights in self.towers.parameters():
                weights.normal_(generator=generator)

    def forward(self, rows: Rows, labels: list[int], part: slice, whole: dict[str, torch.Tensor], queue: slice) -> torch.Tensor:
        more = torch.randn(len(WHOSE), DIM, generator=torch.Generator().manual_seed(1))[queue]
        negatives = {"place": (self.towers["place"](more), torch.tensor(WHOSE)[queue])}
        return of(self.pairs, {name: self.towers[name](whole[name]) for name in NAMES}, rows, labels, negatives, part)


def seen_by(model: torch.nn.Module, bound: Bound, part: slice, queue: slice) -> list[dict[str, Any]]:
    seen = []
    for number, (rows, labels) in enumerate(BATCHES):
        bound.zero_grad()
        loss = model(rows, labels, part, drawn(len(labels), number), queue)
        loss.backward()
        gradients = {name: weights.grad.clone() for name, weights in bound.named_parameters() if weights.grad is not None}
        seen.append({"loss": loss.detach(), "gradients": gradients})
    return seen


def one_process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES)
    bound = Bound()
    model = torch.nn.parallel.DistributedDataParallel(bound)
    torch.save(seen_by(model, bound, slice(rank * 3, rank * 3 + 3), slice(rank * 2, rank * 2 + 2)), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_give_the_loss_and_the_gradients_of_one(tmp_path: Path) -> None:
    warm.spawn(one_process, (str(tmp_path),), nprocs=PROCESSES)
    bound = Bound()
    expected = seen_by(bound, bound, slice(None), slice(None))
    for rank in range(PROCESSES):
        for mine, wanted in zip(torch.load(tmp_path / f"{rank}.pt"), expected, strict=True):
            assert torch.allclose(mine["loss"], wanted["loss"], atol=1e-5)
            assert set(mine["gradients"]) == set(wanted["gradients"])
            for name, gradient in wanted["gradients"].items():
                assert torch.allclose(mine["gradients"][name], gradient, atol=1e-5), name
