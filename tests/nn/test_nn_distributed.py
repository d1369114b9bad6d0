"""Two gloo processes against one: the loss, the gradients of encoder and centres, and how both stop at bad input."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing

import warm
from biocosmos.errors import BiocosmosError
from biocosmos.nn.centre_optimizer import CentreAdamW
from biocosmos.nn.distributed import class_shard
from biocosmos.nn.mlcd import MultiLabelPartialFC
from biocosmos.nn.partial_fc import PartialFC
from dense_softmax import dense_cosines, dense_margin_softmax, dense_mlcd

PROCESSES, BATCH, INPUT, DIM = 2, 4, 6, 10


@dataclass(frozen=True)
class Case:
    classes: int
    rate: float
    positives: int = 0  # 0: Partial FC
    features: int | None = None
    sub_centres: int = 1

    def loss(self) -> PartialFC:
        settings: dict[str, Any] = {"sample_rate": self.rate, "features": self.features, "sub_centres": self.sub_centres}
        if self.positives:
            return MultiLabelPartialFC(DIM, self.classes, positives=self.positives, **settings)
        return PartialFC(DIM, self.classes, **settings)

    def centres(self) -> torch.Tensor:
        return torch.randn(self.classes * self.sub_centres, DIM, generator=seeded(1), dtype=torch.float64)

    def global_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        shape = (PROCESSES * BATCH, self.positives) if self.positives else (PROCESSES * BATCH,)
        images = torch.randn(PROCESSES * BATCH, INPUT, generator=seeded(2), dtype=torch.float64)
        return images, torch.randint(self.classes, shape, generator=seeded(3))


CASES = [
    Case(7, 1.0),
    Case(7, 0.3),
    Case(41, 0.3),
    Case(7, 1.0, positives=3),
    Case(41, 0.3, positives=3),
    Case(41, 0.3, features=4, sub_centres=3),
    Case(9, 1.0, features=4, positives=2),
]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def encoder() -> torch.nn.Linear:
    made = torch.nn.Linear(INPUT, DIM, dtype=torch.float64)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(generator=seeded(4))
    return made


def one_process(rank: int, folder: str) -> None:
    """What a training script does in each process; leaves what it saw in a file."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES)
    here = slice(rank * BATCH, (rank + 1) * BATCH)
    seen: list[dict[str, Any]] = []
    for case in CASES:
        loss = case.loss().double()
        start, count = class_shard(case.classes, rank, PROCESSES)
        with torch.no_grad():
            loss.weight.copy_(case.centres()[start * case.sub_centres : (start + count) * case.sub_centres])
        network = torch.nn.parallel.DistributedDataParallel(encoder())
        images, labels = case.global_batch()
        value = loss(network(images[here]), labels[here])
        value.backward()
        gradient = loss.weight.grad.to_dense()  # type: ignore[union-attr]
        CentreAdamW([loss.weight], lr=0.1).step()
        seen.append(
            {
                "loss": value.detach(),
                "sampled": loss.sampled,
                "encoder": [p.grad for p in network.parameters()],
                "centres": gradient,
                "stepped": loss.weight.detach(),
            }
        )
    refusals = []
    loss = PartialFC(DIM, 7)
    wrong = torch.tensor([0, 1, 2, 7 if rank else 3])  # only the second process holds the bad label
    for size, labels in [(BATCH, wrong), (BATCH - rank, torch.zeros(BATCH - rank, dtype=torch.int64))]:
        try:
            loss(torch.ones(size, DIM), labels)
        except BiocosmosError as error:
            refusals.append(str(error))
    nan = torch.full((BATCH, DIM), torch.nan if rank else 1.0)  # in one process only
    nan_loss = loss(nan, wrong.clamp(max=6)).detach()
    torch.save({"seen": seen, "refusals": refusals, "nan": nan_loss}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("gloo")
    warm.spawn(one_process, args=(str(folder),), nprocs=PROCESSES)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(PROCESSES)]


@pytest.mark.parametrize("number", range(len(CASES)), ids=[str(case) for case in CASES])
def test_two_processes_equal_a_dense_softmax_of_the_global_batch(both: list[dict[str, Any]], number: int) -> None:
    case, (a, b) = CASES[number], [process["seen"][number] for process in both]
    sampled = torch.cat([a["sampled"], b["sampled"]])
    centre_gradient = torch.cat([a["centres"], b["centres"]])
    features = centre_gradient.abs().sum(0).nonzero().squeeze(1) if case.features else None
    if case.rate < 1:
        for rank, process in enumerate((a, b)):
            assert len(process["sampled"]) >= int(case.rate * class_shard(case.classes, rank, PROCESSES)[1])
        assert len(sampled) < case.classes
    assert features is None or len(features) == case.features  # both processes chose the same

    network, centres, (images, labels) = encoder(), case.centres().requires_grad_(), case.global_batch()
    dense = dense_mlcd if case.positives else dense_margin_softmax
    wanted = dense(dense_cosines(network(images), centres, features, case.sub_centres), labels, sampled)
    wanted.backward()
    assert a["loss"] == b["loss"]
    torch.testing.assert_close(a["loss"], wanted.detach())
    for process in (a, b):
        torch.testing.assert_close(process["encoder"], [p.grad for p in network.parameters()])
    torch.testing.assert_close(centre_gradient, centres.grad)


@pytest.mark.parametrize("number", [i for i, case in enumerate(CASES) if case.rate == 1 and not case.features])
def test_with_every_class_two_processes_and_one_are_the_same_training_step(both: list[dict[str, Any]], number: int) -> None:
    case = CASES[number]
    loss, network, (images, labels) = case.loss().double(), encoder(), case.global_batch()
    with torch.no_grad():
        loss.weight.copy_(case.centres())
    value = loss(network(images), labels)
    value.backward()
    CentreAdamW([loss.weight], lr=0.1).step()
    torch.testing.assert_close(both[0]["seen"][number]["loss"], value.detach())
    torch.testing.assert_close(torch.cat([process["seen"][number]["stepped"] for process in both]), loss.weight.detach())
    torch.testing.assert_close(both[1]["seen"][number]["encoder"], [p.grad for p in network.parameters()])


def test_bad_input_in_one_process_stops_both_with_the_same_line(both: list[dict[str, Any]]) -> None:
    assert both[0]["refusals"] == both[1]["refusals"]
    label, lengths = both[0]["refusals"]
    assert label.startswith("label 7 is outside 0..6")
    assert "[4, 3]" in lengths


def test_nan_in_one_process_is_seen_in_both(both: list[dict[str, Any]]) -> None:
    assert all(process["nan"].isnan() for process in both)
