"""AdamW on the rows that took part: torch's own AdamW is the oracle."""

from __future__ import annotations

import copy

import pytest
import torch

from biocosmos.nn.centre_optimizer import CentreAdamW
from biocosmos.nn.partial_fc import PartialFC

SETTINGS = {"lr": 0.01, "weight_decay": 0.1, "betas": (0.8, 0.95)}


def sparse(rows: list[int], values: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    return torch.sparse_coo_tensor(torch.tensor([rows]), values, size, check_invariants=True)


def test_with_dense_gradients_and_a_schedule_it_is_torchs_adamw() -> None:
    torch.manual_seed(0)
    ours = torch.nn.Parameter(torch.randn(700, 512))  # several blocks
    theirs = torch.nn.Parameter(ours.detach().clone())
    optimizers = [CentreAdamW([ours], **SETTINGS), torch.optim.AdamW([theirs], **SETTINGS)]  # type: ignore[arg-type]
    schedules = [torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.05, total_steps=6) for o in optimizers]
    for _ in range(5):
        ours.grad = torch.randn_like(ours)
        theirs.grad = ours.grad.clone()
        for optimizer, schedule in zip(optimizers, schedules):
            optimizer.step()
            schedule.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_each_row_moves_as_if_alone_with_the_steps_it_took_part_in() -> None:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(6, 4, dtype=torch.float64))
    alone = [torch.nn.Parameter(row.clone()) for row in weight.detach()]
    each = [torch.optim.AdamW([row], **SETTINGS) for row in alone]  # type: ignore[arg-type]
    optimizer = CentreAdamW([weight], **SETTINGS)  # type: ignore[arg-type]
    for rows in ([0, 2], [2, 3, 5], [0, 5], [2]):
        values = torch.randn(len(rows), 4, dtype=torch.float64)
        weight.grad = sparse(rows, values, (6, 4))
        optimizer.step()
        for row, value in zip(rows, values):
            alone[row].grad = value.clone()
            each[row].step()
    torch.testing.assert_close(weight.detach(), torch.stack([row.detach() for row in alone]))


@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_two_half_batches_accumulate_to_the_sum_of_their_gradients(rate: float) -> None:
    loss = PartialFC(8, 30, sample_rate=rate).double()
    dense = torch.nn.Parameter(loss.weight.detach().clone())
    optimizer, total = CentreAdamW(loss.parameters(), **SETTINGS), torch.zeros_like(loss.weight)  # type: ignore[arg-type]
    used = set()
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        embeddings = torch.randn(5, 8, generator=generator, dtype=torch.float64)
        value = loss(embeddings, torch.randint(30, (5,), generator=generator)) / 2
        (gradient,) = torch.autograd.grad(value, loss.weight, retain_graph=True)
        total += gradient.to_dense()
        value.backward()
        used |= set(loss.sampled.tolist())  # type: ignore[union-attr]
    optimizer.step()
    dense.grad = total
    torch.optim.AdamW([dense], **SETTINGS).step()  # type: ignore[arg-type]
    rows = sorted(used)
    others = sorted(set(range(30)) - used)
    torch.testing.assert_close(loss.weight[rows], dense[rows])
    assert (loss.weight[others] == PartialFC(8, 30).weight[others]).all()  # not even decayed


def test_a_resumed_optimizer_goes_on_exactly() -> None:
    def steps(loss: PartialFC, optimizer: CentreAdamW, seeds: range) -> None:
        for seed in seeds:
            generator = torch.Generator().manual_seed(seed)
            optimizer.zero_grad()
            loss(torch.randn(5, 8, generator=generator), torch.randint(30, (5,), generator=generator)).backward()
            optimizer.step()

    unbroken = PartialFC(8, 30, sample_rate=0.4)
    optimizer = CentreAdamW(unbroken.parameters(), lr=0.1)
    steps(unbroken, optimizer, range(3))
    saved = copy.deepcopy((unbroken.state_dict(), optimizer.state_dict()))
    steps(unbroken, optimizer, range(3, 6))
    resumed = PartialFC(8, 30, sample_rate=0.4, seed=7)
    again = CentreAdamW(resumed.parameters(), lr=0.5)
    resumed.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    steps(resumed, again, range(3, 6))
    assert (resumed.weight == unbroken.weight).all()


def test_training_separates_the_classes_with_a_tenth_of_the_centres_sampled() -> None:
    torch.manual_seed(0)
    truth = torch.nn.functional.normalize(torch.randn(100, 16))
    labels = torch.arange(100).repeat(4)
    embeddings = truth[labels] + 0.05 * torch.randn(400, 16)
    loss = PartialFC(16, 100, sample_rate=0.1)
    optimizer = CentreAdamW(loss.parameters(), lr=0.05)
    for _ in range(15):
        for part in torch.randperm(400).split(8):
            optimizer.zero_grad()
            loss(embeddings[part], labels[part]).backward()
            optimizer.step()
    nearest = (embeddings @ torch.nn.functional.normalize(loss.weight.detach()).T).argmax(1)
    assert (nearest == labels).float().mean() > 0.95
