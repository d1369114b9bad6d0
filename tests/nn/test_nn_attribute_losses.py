"""What attribute heads learn from: known labels only, weighed as published, over one process or two."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st

from biocosmos.errors import BiocosmosError
from biocosmos.nn.attributes import AttributeCriterion, AttributeOutput, ClassWeights, TaskShape, class_weights
from biocosmos.nn.attributes.weighting import TaskWeighting

TASKS = [TaskShape("traits", 3, several=True), TaskShape("sex", 2), TaskShape("stage", 4)]


def drawn(seed: int, rows: int = 6, missing: float = 0.4) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
    """Refined and auxiliary logits, and targets with missing labels."""
    g = torch.Generator().manual_seed(seed)
    logits = [[torch.randn(rows, task.classes, generator=g) for task in TASKS] for _ in range(2)]
    targets = []
    for task in TASKS:
        if task.several:
            values = torch.randint(0, 2, (rows, task.classes), generator=g)
            values[torch.rand(rows, task.classes, generator=g) < missing] = -1
        else:
            values = torch.nn.functional.one_hot(torch.randint(task.classes, (rows,), generator=g), task.classes)
            values[torch.rand(rows, generator=g) < missing] = -1
        targets.append(values.to(torch.int8))
    return logits[0], logits[1], targets


def written_out(logits: torch.Tensor, values: torch.Tensor, task: TaskShape, weights: ClassWeights) -> float:
    """The mean loss of a task over its known labels, label by label."""
    every = [1.0] * task.classes if weights.every is None else weights.every
    positive = [1.0] * task.classes if weights.positive is None else weights.positive
    total, size = 0.0, 0.0
    for scores, row in zip(logits.tolist(), values.tolist()):
        if task.several:
            for c, (score, value) in enumerate(zip(scores, row)):
                if value >= 0:
                    p = 1 / (1 + math.exp(-score))
                    total -= every[c] * (positive[c] * math.log(p) if value else math.log(1 - p))
                    size += 1
        elif 1 in row:
            c = row.index(1)
            total -= every[c] * (scores[c] - math.log(sum(math.exp(score) for score in scores)))
            size += every[c]
    return total / size if size else 0.0


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**16), m=st.sampled_from([0.0, 0.75, 1.0]), missing=st.sampled_from([0.0, 0.4, 1.0]))
def test_the_loss_is_of_known_labels_refined_and_auxiliary(seed: int, m: float, missing: float) -> None:
    refined, auxiliary, targets = drawn(seed, missing=missing)
    weights = [
        ClassWeights(np.array([0.5, 1, 2.0]), np.array([3, 1, 0.2])),
        ClassWeights(),
        ClassWeights(np.array([1, 2, 0.5, 0.1])),
    ]
    criterion = AttributeCriterion(TASKS, class_weights=weights, m=m)
    found = criterion(AttributeOutput(tuple(refined), tuple(auxiliary)), targets)
    wanted = sum(
        m * written_out(one, values, task, own) + (1 - m) * written_out(other, values, task, own)
        for one, other, values, task, own in zip(refined, auxiliary, targets, TASKS, weights)
    )
    assert found.item() == pytest.approx(wanted, abs=1e-5)
    plain = criterion(AttributeOutput(tuple(refined)), targets)
    assert plain.item() == pytest.approx(
        sum(written_out(one, values, task, own) for one, values, task, own in zip(refined, targets, TASKS, weights)), abs=1e-5
    )


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**16))
def test_a_label_that_is_not_known_teaches_nothing(seed: int) -> None:
    refined, auxiliary, targets = drawn(seed)
    scores = [x.requires_grad_() for x in (*refined, *auxiliary)]
    AttributeCriterion(TASKS)(AttributeOutput(tuple(refined), tuple(auxiliary)), targets).backward()
    for x, values in zip(scores, targets * 2):
        assert x.grad is not None and (x.grad[values < 0] == 0).all()
        several = values.shape[1] == TASKS[0].classes
        assert (x.grad[values >= 0] != 0).all() or not several


def test_losses_are_torchs_own_where_all_is_known() -> None:
    refined, _, targets = drawn(3, missing=0.0)
    criterion = AttributeCriterion(TASKS, class_weights=[class_weights(x.numpy(), "inverse", several=False) for x in targets])
    losses, _ = criterion.of_tasks(refined, targets)
    every = [torch.tensor(class_weights(x.numpy(), "inverse", several=False).every).float() for x in targets]
    wanted = [torch.nn.functional.binary_cross_entropy_with_logits(refined[0], targets[0].float(), weight=every[0])]
    wanted += [
        torch.nn.functional.cross_entropy(x, values.argmax(1), weight=weight)
        for x, values, weight in zip(refined[1:], targets[1:], every[1:])
    ]
    torch.testing.assert_close(losses, torch.stack(wanted))


@settings(deadline=None, max_examples=20)
@given(losses=st.lists(st.tuples(*[st.floats(0.01, 9)] * 3), min_size=1, max_size=5), given_weights=st.booleans())
def test_dynamic_weights_look_back_at_two_epochs(losses: list[tuple[float, ...]], given_weights: bool) -> None:
    first = [1.0, 2.0, 3.0] if given_weights else None
    weighting = TaskWeighting("dwa", 3, given=first)
    for epoch in range(len(losses) + 1):
        if epoch < 2:
            wanted = [weight / 2 for weight in first] if first else [1.0] * 3
        else:
            falls = [math.exp(losses[epoch - 1][t] / losses[epoch - 2][t] / 2) for t in range(3)]
            wanted = [3 * fall / sum(falls) for fall in falls]
        assert weighting.weights().tolist() == pytest.approx(wanted, rel=1e-5)
        if epoch < len(losses):
            # two batches, of 1 and 3 labels, whose mean over labels is the epoch's loss
            weighting.remember(torch.tensor(losses[epoch], dtype=torch.float64) * 4 - 3, torch.ones(3))
            weighting.remember(torch.ones(3, dtype=torch.float64), torch.full((3,), 3.0))
            resumed = TaskWeighting("dwa", 3, given=first)
            resumed.load_state_dict(weighting.state_dict())
            weighting = resumed
            weighting.end_epoch()


def test_a_task_without_a_label_for_an_epoch_keeps_dynamic_weights_finite() -> None:
    criterion = AttributeCriterion(TASKS, weighting="dwa")
    for seed in range(4):
        refined, _, targets = drawn(seed)
        if seed == 1:
            targets[2][:] = -1
        loss = criterion(AttributeOutput(tuple(refined)), targets)
        assert loss.isfinite()
        criterion.end_epoch()
        assert criterion.weighting.weights().sum().item() == pytest.approx(3)
    history = criterion.weighting.history.clone()
    criterion.eval()(AttributeOutput(tuple(refined)), targets)  # validation is not remembered
    assert not criterion.weighting.running.any() and torch.equal(history, criterion.weighting.history)


def test_uncertainties_are_learnt_with_their_own_learning_rate() -> None:
    criterion = AttributeCriterion(TASKS, weighting="uncertainty")
    [group] = criterion.parameter_groups()
    assert group["lr"] == 0.025
    [s] = group["params"]  # type: ignore[misc]
    with torch.no_grad():
        s.copy_(torch.tensor([0.3, -1.0, 2.0]))
    refined, auxiliary, targets = drawn(5)
    loss = criterion(AttributeOutput(tuple(refined), tuple(auxiliary)), targets)
    each = [
        0.75 * written_out(one, values, task, ClassWeights()) + 0.25 * written_out(other, values, task, ClassWeights())
        for one, other, values, task in zip(refined, auxiliary, targets, TASKS)
    ]
    wanted = sum(x * math.exp(-v) + v / 2 for x, v in zip(each, [0.3, -1.0, 2.0]))
    assert loss.item() == pytest.approx(wanted, abs=1e-5)
    loss.backward()
    assert s.grad.tolist() == pytest.approx([0.5 - x * math.exp(-v) for x, v in zip(each, [0.3, -1.0, 2.0])], abs=1e-5)
    assert AttributeCriterion(TASKS).parameter_groups() == [] and not list(AttributeCriterion(TASKS).parameters())


def test_a_batch_of_nothing_has_no_loss() -> None:
    refined, _, targets = ([x[:0] for x in some] for some in drawn(0))
    assert AttributeCriterion(TASKS)(AttributeOutput(tuple(refined)), targets).item() == 0


def test_fixed_weights_are_divided_by_their_mean() -> None:
    assert TaskWeighting("fixed", 2, given=[27, 1]).weights().tolist() == pytest.approx([54 / 28, 2 / 28])
    assert TaskWeighting("equal", 2)(torch.tensor([1.0, 2.0])).item() == 3


def test_class_weights_are_those_of_the_papers() -> None:
    values = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 0], [0, 0, -1]], np.int8)
    importance = np.array([1.0, 0.5, 0.5])

    def of(kind: Any, several: bool = True) -> ClassWeights:
        return class_weights(values, kind, several=several, importance=importance)

    positive = np.array([1 / 3, 0, 2]) * 3 / (7 / 3)
    np.testing.assert_allclose(of("positive").positive, positive)
    np.testing.assert_allclose(of("positive", several=False).every, positive)
    np.testing.assert_allclose(of("inverse").every, [0.75, 0, 2.25])
    numbers = np.array([0.0001 / (1 - 0.9999**3), 0, 1.0])
    np.testing.assert_allclose(of("effective").every, numbers * 3 / numbers.sum())
    np.testing.assert_allclose(of("importance").every, [1.5, 0.75, 0.75])
    np.testing.assert_allclose(of("positive-importance").positive, [1.5, 0.75, 0.75])
    assert of("positive-importance").every is None and of("none") == ClassWeights()
    assert class_weights(values * 0, "inverse", several=True).every.tolist() == [1, 1, 1]  # nothing to count: all alike


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: AttributeCriterion(TASKS, weighting="fair"), "no task weighting 'fair'"),  # type: ignore[arg-type]
        (lambda: AttributeCriterion(TASKS, weighting="fixed"), "fixed, which needs them"),
        (lambda: AttributeCriterion(TASKS, task_weights=[1, 1, 1]), "'equal': weights are for fixed"),
        (lambda: AttributeCriterion(TASKS, weighting="fixed", task_weights=[1, 1]), "3 numbers of 0 or more"),
        (lambda: AttributeCriterion(TASKS, weighting="dwa", temperature=0), "temperature 0 above 0"),
        (lambda: AttributeCriterion(TASKS, m=1.5), "m 1.5 must be from 0 to 1"),
        (lambda: AttributeCriterion(TASKS, class_weights=[None]), "for 1 attributes, there are 3"),
        (lambda: AttributeCriterion(TASKS, class_weights=[None, ClassWeights(np.ones(3)), None]), "'sex' has 2 classes"),
        (lambda: AttributeCriterion(TASKS, class_weights=[None, ClassWeights(None, np.ones(2)), None]), "one true class"),
        (lambda: AttributeCriterion(TASKS)(AttributeOutput(()), ()), "0 targets"),
        (lambda: class_weights(np.ones((2, 2), np.int8), "rare", several=True), "no class weights 'rare'"),  # type: ignore[arg-type]
        (lambda: class_weights(np.ones((2, 2), np.int8), "importance", several=True), "need an importance"),
        (lambda: class_weights(np.ones((2, 2), np.int8), "importance", several=True, importance=np.array([1, -1])), "2 numbers"),
        (lambda: class_weights(np.ones((2, 2), np.int8), "effective", several=True, beta=1.0), "beta 1.0"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(made: Any, said: str) -> None:
    with pytest.raises(BiocosmosError, match=said) as caught:
        made()
    assert "\n" not in str(caught.value)


def one_process(rank: int, folder: str) -> None:
    """A part of the batch in each process, with missing labels of its own."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    refined, auxiliary, targets = drawn(7)
    here = slice(0, 2) if rank == 0 else slice(2, 6)
    scores = [x[here].clone().requires_grad_() for x in (*refined, *auxiliary)]
    criterion = AttributeCriterion(TASKS, weighting="dwa")
    criterion(AttributeOutput(tuple(scores[:3]), tuple(scores[3:])), [values[here] for values in targets]).backward()
    criterion.end_epoch()
    torch.save(([x.grad for x in scores], criterion.weighting.history), Path(folder, f"{rank}.pt"))
    dist.destroy_process_group()


def test_two_processes_learn_as_one_from_their_common_batch(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(one_process, (str(tmp_path),), nprocs=2)
    refined, auxiliary, targets = drawn(7)
    scores = [x.requires_grad_() for x in (*refined, *auxiliary)]
    criterion = AttributeCriterion(TASKS, weighting="dwa")
    criterion(AttributeOutput(tuple(refined), tuple(auxiliary)), targets).backward()
    criterion.end_epoch()
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for i, x in enumerate(scores):
        # data-parallel training takes the mean over processes
        torch.testing.assert_close(torch.cat([grads[i] for grads, _ in parts]) / 2, x.grad)
    for _, history in parts:
        torch.testing.assert_close(history, criterion.weighting.history, equal_nan=True)
