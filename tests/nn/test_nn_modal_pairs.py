"""The loss between modalities against plain loops, whatever lacks what, and two gloo processes against one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from modal_batches import Rows, Space, assert_two_processes_are_as_one, batches, clip, drawn, of

from biocosmos.errors import BiocosmosError
from biocosmos.nn.modal_pairs import ModalPairs

PAIRS = [("image", "dna"), ("image", "text"), ("dna", "text")]
NAMES = ("image", "dna", "text")


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


@settings(max_examples=150, deadline=None)
@given(batches(NAMES, 9), st.booleans(), st.sampled_from([PAIRS, PAIRS[:1], PAIRS[1:]]), st.sampled_from([0.0, 0.7]))
def test_it_is_what_plain_loops_give(
    batch: tuple[Rows, list[int], int], as_published: bool, pairs: list[tuple[str, str]], weight: float
) -> None:
    rows, labels, seed = batch
    whole = drawn(NAMES, len(labels), seed)
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    loss = ModalPairs(pairs, as_published=as_published, within=names, weight=weight)
    expected = by_loops(whole, rows, labels, 1 / 0.07, pairs, as_published, weight)
    assert float(of(loss, whole, rows, labels).detach()) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(batches(NAMES, 9))
def test_specimens_that_lack_a_modality_change_nothing_there(batch: tuple[Rows, list[int], int]) -> None:
    rows, labels, seed = batch
    whole = {name: vectors.requires_grad_() for name, vectors in drawn(NAMES, len(labels), seed).items()}
    of(ModalPairs(PAIRS, within=NAMES, weight=1.0), whole, rows, labels).backward()
    for name in NAMES:
        gradient = whole[name].grad
        assert gradient is not None and bool(torch.isfinite(gradient).all())
        assert not bool(gradient[[i for i in range(len(labels)) if i not in rows[name]]].any())


def test_clip_is_the_case_of_one_pair_and_labels_all_different() -> None:
    whole, labels = drawn(NAMES, 6, 3), list(range(6))
    expected = clip(whole["image"], whole["dna"], torch.arange(6))
    rows = dict.fromkeys(NAMES, labels)
    assert torch.allclose(of(ModalPairs(PAIRS[:1]), whole, rows, labels), expected, atol=1e-5)


def test_published_rows_count_every_positive() -> None:
    whole, labels = drawn(NAMES, 6, 4), [0, 0, 0, 1, 1, 2]
    alike = (torch.tensor(labels)[:, None] == torch.tensor(labels)).float()
    clibd = clip(whole["image"], whole["dna"], alike)
    rows = {name: list(range(6)) for name in NAMES}
    assert torch.allclose(of(ModalPairs(PAIRS[:1], as_published=True), whole, rows, labels), clibd, atol=1e-5)


def test_a_batch_without_a_complete_pair_is_zero_with_a_gradient_of_zero() -> None:
    whole = {name: vectors.requires_grad_() for name, vectors in drawn(NAMES, 4, 5).items()}
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
    of(loss, drawn(NAMES, 4, 6), rows, [0, 1, 2, 3]).backward()
    assert loss.log_scale.exp().item() == pytest.approx(100, rel=1e-5)
    assert loss.log_scale.grad is not None and float(loss.log_scale.grad) > 0


def test_pairs_that_are_none_are_refused() -> None:
    for pairs in ([], [("image", "image")], [("image", "dna"), ("dna", "image")]):
        with pytest.raises(BiocosmosError, match="pairs of two, each once"):
            ModalPairs(pairs)
    with pytest.raises(BiocosmosError, match="above 0, not 0"):
        ModalPairs(PAIRS, temperature=0)


def space() -> Space:
    return Space(NAMES, ModalPairs(PAIRS, within=("image", "dna"), weight=0.5))


def test_two_processes_give_the_loss_and_the_gradients_of_one(tmp_path: Path) -> None:
    assert_two_processes_are_as_one(space, tmp_path)
