"""Margins: the printed formula, its gradients, what happens at the far side of the circle, and false negatives."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biocosmos.errors import BiocosmosError
from biocosmos.nn.margins import CombinedMargin


def cosines_and_columns(rows: int = 6, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    cosines = torch.rand(rows, classes, generator=generator, dtype=torch.float64) * 1.6 - 0.8
    return cosines, torch.randint(classes, (rows,), generator=generator)


@pytest.mark.parametrize(("m1", "m2", "m3"), [(1, 0.3, 0), (1, 0, 0.35), (1.2, 0.1, 0.1), (1, 0, 0)])
def test_the_own_class_gets_the_margin_and_the_others_do_not(m1: float, m2: float, m3: float) -> None:
    cosines, columns = cosines_and_columns()
    columns[2] = -1  # its class is held by another process
    logits = CombinedMargin(16.0, m1, m2, m3)(cosines, columns)
    for i, row in enumerate(cosines.tolist()):
        for j, cosine in enumerate(row):
            wanted = math.cos(m1 * math.acos(cosine) + m2) - m3 if j == columns[i] else cosine
            assert logits[i, j].item() == pytest.approx(16 * wanted, abs=1e-9)


@given(m1=st.sampled_from([1.0, 1.0, 1.3, 2.0]), m2=st.floats(0, 1.5), m3=st.floats(0, 0.5))
def test_a_better_fit_always_has_the_higher_logit_and_never_more_than_without_margin(m1: float, m2: float, m3: float) -> None:
    cosines = torch.linspace(1, -1, 400, dtype=torch.float64)
    logits = CombinedMargin(1.0, m1, m2, m3).positives(cosines)
    assert (logits.diff() <= 1e-9).all()
    assert (logits <= cosines + 1e-6).all()


def test_beyond_pi_the_unguarded_formula_would_reward_the_worst_fit() -> None:
    cosine = torch.tensor([math.cos(3.1)])
    assert math.cos(3.1 + 0.3) > cosine  # what published code returns
    assert CombinedMargin(1.0, m2=0.3).positives(cosine).item() == pytest.approx(cosine.item() - 0.3 * math.sin(0.3), abs=1e-6)


@pytest.mark.parametrize("margin", [(1, 0.3, 0), (1, 0, 0.35), (1.2, 0.1, 0.1)])
@pytest.mark.parametrize("filtering", [(0.0, "zero"), (0.3, "zero"), (0.3, "mask")])
def test_the_exact_gradient_is_that_of_the_formula(margin: tuple[float, float, float], filtering: tuple[float, str]) -> None:
    cosines, columns = cosines_and_columns()
    cosines[0, columns[0]] = -0.99  # the guarded part of the curve
    threshold, mode = filtering
    head = CombinedMargin(8.0, *margin, interclass_filter=threshold, filter_mode=mode)  # type: ignore[arg-type]
    loss = lambda c: torch.nn.functional.cross_entropy(head(c, columns), columns)  # noqa: E731
    assert torch.autograd.gradcheck(loss, cosines.requires_grad_())


def test_the_straight_through_gradient_is_scale_times_probability_minus_one() -> None:
    cosines, columns = cosines_and_columns()
    gradients = {}
    for kind in ("exact", "straight-through"):
        c = cosines.clone().requires_grad_()
        logits = CombinedMargin(32.0, gradient=kind)(c, columns)  # type: ignore[arg-type]
        torch.nn.functional.cross_entropy(logits, columns, reduction="sum").backward()
        gradients[kind] = c.grad
    own = torch.nn.functional.one_hot(columns, 5).bool()
    published = 32 * (logits.detach().softmax(1) - own.double())
    torch.testing.assert_close(gradients["straight-through"], published)
    theta = cosines[own].arccos()
    torch.testing.assert_close(gradients["exact"][own], published[own] * (theta + 0.3).sin() / theta.sin())  # type: ignore[index]
    torch.testing.assert_close(gradients["exact"][~own], published[~own])  # type: ignore[index]


def test_a_filtered_class_counts_as_a_right_angle_or_not_at_all() -> None:
    cosines, columns = torch.tensor([[0.9, 0.8, -0.5], [0.1, 0.3, 0.95]]), torch.tensor([0, 0])
    plain = CombinedMargin(10.0, m2=0.0)(cosines, columns)
    zero = CombinedMargin(10.0, m2=0.0, interclass_filter=0.5)(cosines, columns)
    mask = CombinedMargin(10.0, m2=0.0, interclass_filter=0.5, filter_mode="mask")(cosines, columns)
    assert (zero - plain).nonzero().tolist() == [[0, 1], [1, 2]]  # never the own class, however near
    assert zero[0, 1] == zero[1, 2] == 0
    assert mask[0, 1] == mask[1, 2] == -math.inf


def test_the_margin_holds_at_scale_one_and_the_edges_have_finite_gradients() -> None:
    cosines = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0000001, 0.0]], requires_grad=True)
    logits = CombinedMargin(1.0, m2=0.5)(cosines, torch.zeros(3, dtype=torch.int64))
    assert logits[0, 0].item() == pytest.approx(math.cos(0.5), abs=1e-3)
    logits.sum().backward()
    assert cosines.grad is not None and cosines.grad.isfinite().all()


def test_nan_is_passed_on() -> None:
    cosines = torch.tensor([[math.nan, 0.2], [0.1, math.nan]])
    logits = CombinedMargin(interclass_filter=0.5)(cosines, torch.tensor([0, 0]))
    assert logits.isnan().tolist() == [[True, False], [False, True]]


@pytest.mark.parametrize(
    "wrong",
    [{"scale": 0}, {"m1": 0.5}, {"m2": 4}, {"m3": -1}, {"interclass_filter": 1.5}, {"gradient": "x"}, {"filter_mode": "x"}],
)
def test_a_parameter_outside_its_range_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(BiocosmosError, match=next(iter(wrong))):
        CombinedMargin(**wrong)  # type: ignore[arg-type]
