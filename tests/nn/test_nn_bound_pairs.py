"""The losses that bind to an anchor: the published values, plain loops, and two gloo processes against one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from modal_batches import DIM, Rows, Space, assert_two_processes_are_as_one, batches, clip, drawn, of, share

from biocosmos.errors import BiocosmosError
from biocosmos.nn.bound_pairs import NOBODY, WEIGHTS, BoundPairs

NAMES = ("image", "place", "satellite")
FORMS = {"place": "masked", "satellite": "several"}
LOGITS = [[5, 1, 4, 0.5, -1, 2], [0, 6, 2, 1, 1, -2], [3, 0, 4, 2, 0, 1]]
SPECIES = [7, 3, 7]
QUEUES = st.lists(st.sampled_from([0, 1, 2, NOBODY]), max_size=4)
"""Labels of negatives."""


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


@settings(max_examples=100, deadline=None)
@given(batches(NAMES, 8), QUEUES, st.booleans(), st.sampled_from(list(WEIGHTS)), st.sampled_from(list(WEIGHTS)))
def test_it_is_what_plain_loops_give(
    batch: tuple[Rows, list[int], int], whose: list[int], published: bool, place: str, satellite: str
) -> None:
    rows, labels, seed = batch
    whole, forms = drawn(NAMES, len(labels), seed), {"place": place, "satellite": satellite}
    more = torch.randn(len(whose), DIM, generator=torch.Generator().manual_seed(seed + 1))
    negatives = {"place": (more, torch.tensor(whose, dtype=torch.int64))} if whose else {}
    expected = by_loops(whole, rows, labels, forms, published, {"place": (more, whose)} if whose else {})
    loss = BoundPairs("image", forms, as_published=published)
    assert float(of(loss, whole, rows, labels, negatives).detach()) == pytest.approx(expected, rel=2e-4, abs=1e-4)


def test_clip_is_the_plain_form() -> None:
    whole, labels = drawn(NAMES, 6, 3), [0, 0, 1, 1, 2, 2]
    expected = clip(whole["image"], whole["place"], torch.arange(6))
    rows = {name: list(range(6)) for name in NAMES}
    assert torch.allclose(of(BoundPairs("image", {"place": "plain"}), whole, rows, labels, {}), expected, atol=1e-5)


def test_what_is_no_loss_is_refused() -> None:
    for forms in ({}, {"image": "plain"}, {"place": "other"}):
        with pytest.raises(BiocosmosError, match="bound to image by"):
            BoundPairs("image", forms)
    with pytest.raises(BiocosmosError, match="above 0, not 0"):
        BoundPairs("image", {"place": "plain"}, temperature=0)


WHOSE = [0, 1, NOBODY, 2]


class Bound(Space):
    """The place tower has negatives of the queue too."""

    def more(self, rank: int | None) -> Sequence[object]:
        more = torch.randn(len(WHOSE), DIM, generator=torch.Generator().manual_seed(1))
        queue = share(len(WHOSE), rank)
        return ({"place": (self.towers["place"](more[queue]), torch.tensor(WHOSE)[queue])},)


def bound() -> Bound:
    return Bound(NAMES, BoundPairs("image", FORMS))


def test_two_processes_give_the_loss_and_the_gradients_of_one(tmp_path: Path) -> None:
    assert_two_processes_are_as_one(bound, tmp_path)
