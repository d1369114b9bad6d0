"""Criteria of heads: each loss against its formula written out specimen by specimen."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biocosmos.errors import BiocosmosError
from biocosmos.nn.criteria import HeadCriterion, stage_weights
from biocosmos.nn.heads import HEADS, HeadOutput
from biocosmos.nn.imbalance import IMBALANCE, Imbalance, adjusted, imbalance
from biocosmos.nn.tree import Tree
from head_trees import at_rank, classes_under, climb, flat_output, golden, odd, rank_output

TARGETS = [3, 4, 2, 6, 8, 9, 10, 3, 1, 5, 11, 0]
"""Of the odd tree: classes, the inner class 2, node 1 which is none, 5 and 11 without classes under them, one unknown."""
COUNTS = torch.tensor([4.0, 100, 3, 1, 50, 7, 20])


def class_scores(rows: int = len(TARGETS)) -> torch.Tensor:
    return torch.randn(rows, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def rank_scores(tree: Tree, rows: int = len(TARGETS)) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(2)
    return [torch.randn(rows, len(at), generator=g, dtype=torch.float64) for at in tree.nodes_at]


def log_p_at(tree: Tree, scores: torch.Tensor, node: int, target: int) -> float:
    """log of the summed softmax under a node; of the class itself where the node is the target and a class."""
    p = scores.softmax(0)
    own = tree.classes.tolist()
    under = [own.index(node)] if node == target and node in own else classes_under(tree, node)
    return float(p[under].sum().log())


def learnt(tree: Tree, target: int) -> int:
    """The node a target is learnt as: its nearest ancestor that holds a class."""
    return next((v for v in climb(tree, target) if classes_under(tree, v)), 0)


@pytest.mark.parametrize("kind", ["flat", "conditional"])
def test_the_deepest_known_node_is_learnt_and_unknown_specimens_are_passed_over(kind: str) -> None:
    tree, scores = odd(), class_scores()
    nodes = [learnt(tree, t) for t in TARGETS]
    assert nodes[-4:] == [1, 1, 0, 0]
    wanted = [-log_p_at(tree, scores[i], v, v) for i, v in enumerate(nodes) if v]
    loss = HeadCriterion(kind, tree)(flat_output(tree, scores), torch.tensor(TARGETS))
    assert loss.item() == pytest.approx(sum(wanted) / len(wanted))


def test_hierarchical_cross_entropy_discounts_fine_edges() -> None:
    tree, scores, alpha = odd(), class_scores(), 0.7
    wanted = []
    for i, node in enumerate(learnt(tree, t) for t in TARGETS):
        if not node:
            continue
        path = [0, *reversed(climb(tree, node))]
        edges = [log_p_at(tree, scores[i], v, -1) for v in path]
        edges.append(log_p_at(tree, scores[i], node, node))  # stopping at an inner class; 0 for others
        wanted.append(sum(math.exp(-alpha * d) * (above - below) for d, (above, below) in enumerate(pairwise(edges))))
    loss = HeadCriterion("flat", tree, hxe_alpha=alpha)(flat_output(tree, scores), torch.tensor(TARGETS))
    assert loss.item() == pytest.approx(sum(wanted) / len(wanted))
    plain = HeadCriterion("flat", tree)(flat_output(tree, scores), torch.tensor(TARGETS))
    tiny = HeadCriterion("flat", tree, hxe_alpha=1e-9)(flat_output(tree, scores), torch.tensor(TARGETS))
    assert tiny.item() == pytest.approx(plain.item())


@pytest.mark.parametrize("kind", ["marginalised", "multitask"])
def test_null_ranks_are_left_out_of_a_ranks_mean(kind: str) -> None:
    tree = odd()
    flat, raw = class_scores(), rank_scores(tree)
    weights, of_specimens = [1.0, 2.0, 5.0], torch.rand(len(TARGETS), dtype=torch.float64)
    wanted = 0.0
    for rank, weight in enumerate(weights):
        top, bottom = 0.0, 0.0
        for i, target in enumerate(TARGETS):
            node = at_rank(tree, learnt(tree, target), rank)
            if node < 0:
                continue
            log_softmax = raw[rank][i].log_softmax(0)
            own = float(log_softmax[tree.nodes_at[rank].tolist().index(node)])
            top -= float(of_specimens[i]) * (log_p_at(tree, flat[i], node, target) if kind == "marginalised" else own)
            bottom += float(of_specimens[i])
        wanted += weight / 8 * top / bottom
    output = flat_output(tree, flat) if kind == "marginalised" else rank_output(tree, raw)
    loss = HeadCriterion(kind, tree, rank_weights=weights)(output, torch.tensor(TARGETS), weights=of_specimens)
    assert loss.item() == pytest.approx(wanted)


def test_outliers_are_asked_for_a_flat_answer_in_a_mean_of_their_own() -> None:
    tree, scores = odd(), class_scores(5)
    targets = torch.tensor([3, -1, 10, -1, 0])
    known = HeadCriterion("flat", tree)(flat_output(tree, scores[[0, 2]]), targets[[0, 2]])
    flat = -scores[[1, 3]].log_softmax(1).mean()
    for weight in (0.5, 2.0, 0.0):
        loss = HeadCriterion("flat", tree, outlier_weight=weight)(flat_output(tree, scores), targets)
        assert loss.item() == pytest.approx((known + weight * flat).item())
    even = flat_output(tree, torch.zeros(1, 7))
    assert HeadCriterion("flat", tree)(even, torch.tensor([-1])).item() == pytest.approx(0.5 * math.log(7))


@pytest.mark.parametrize("kind", HEADS)
def test_a_batch_without_any_target_costs_nothing_and_breaks_nothing(kind: str) -> None:
    tree = odd()
    raw = [rank.requires_grad_() for rank in rank_scores(tree, 3)]
    output = rank_output(tree, raw)
    loss = HeadCriterion(kind, tree)(output, torch.zeros(3, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0
    assert all(rank.grad is None or bool((rank.grad == 0).all()) for rank in raw)


def test_mixed_images_are_judged_by_both_their_targets() -> None:
    tree, scores = odd(), class_scores(4)
    one, two = torch.tensor([3, 4, 8, 9]), torch.tensor([10, 9, 3, 8])
    criterion, output = HeadCriterion("flat", tree), flat_output(odd(), scores)
    wanted = 0.3 * criterion(output, one) + 0.7 * criterion(output, two)
    assert criterion.mixed(output, one, two, 0.3).item() == pytest.approx(wanted.item())
    assert criterion.mixed(output, one, two, torch.full((4,), 0.3)).item() == pytest.approx(wanted.item())
    shares = torch.tensor([1.0, 0.0, 1.0, 0.0])
    picked = torch.where(shares > 0, one, two)
    assert criterion.mixed(output, one, two, shares).item() == pytest.approx(criterion(output, picked).item())


def test_the_weights_of_bcnn_move_from_coarse_to_fine_as_published() -> None:
    published = {0: (0.98, 0.01, 0.01), 12: (0.98, 0.01, 0.01), 13: (0.1, 0.8, 0.1), 22: (0.1, 0.8, 0.1)}
    published |= {24: (0.1, 0.2, 0.7), 32: (0.1, 0.2, 0.7), 33: (0, 0, 1), 79: (0, 0, 1)}
    for epoch, weights in published.items():
        assert stage_weights(epoch / 80, 3) == pytest.approx(weights)
    assert stage_weights(1.0, 3, last=False) == pytest.approx((0.1, 0.2, 0.7))
    assert HeadCriterion("bcnn", golden()).weights(0.2) == pytest.approx([0.1, 0.8, 0.1])
    assert HeadCriterion("bcnn", golden(), schedule="kept").weights(0.9) == pytest.approx([0.1, 0.2, 0.7])
    assert HeadCriterion("multitask", golden()).weights(0.2) == pytest.approx([1 / 3] * 3)


@given(ranks=st.integers(1, 8), progress=st.floats(0, 1), last=st.booleans())
def test_at_any_number_of_ranks_the_weights_sum_to_one_and_end_at_the_finest(ranks: int, progress: float, last: bool) -> None:
    weights = stage_weights(progress, ranks, last=last)
    assert len(weights) == ranks and sum(weights) == pytest.approx(1) and min(weights) >= 0
    assert stage_weights(1.0, ranks) == [0.0] * (ranks - 1) + [1.0]
    assert max(stage_weights(0.0, ranks)) == stage_weights(0.0, ranks)[0]


def test_the_published_dependency_loss_counts_contradictions_and_has_no_gradient() -> None:
    tree = golden()
    best = [(0, 0, 0), (0, 2, 5), (0, 2, 0), (1, 2, 6)]  # right; 2 is not under 0; nor 2 under 0 nor 0 under 2; right
    raw = [torch.zeros(4, len(at), dtype=torch.float64) for at in tree.nodes_at]
    for i, picks in enumerate(best):
        for rank, pick in enumerate(picks):
            raw[rank][i, pick] = 3.0
    raw = [rank.requires_grad_() for rank in raw]
    targets = torch.tensor([6, 6, 6, 12])
    plain = HeadCriterion("multitask", tree)(rank_output(tree, raw), targets)
    both = HeadCriterion("multitask", tree, dependency=0.5, dependency_form="published")(rank_output(tree, raw), targets)
    assert both.item() == pytest.approx(0.5 * plain.item() + 0.5 * 3 * (math.e - 1) / 3)
    one, other = torch.autograd.grad(plain, raw), torch.autograd.grad(both, raw)
    for x, y in zip(one, other):
        torch.testing.assert_close(x * 0.5, y)


def test_the_smooth_dependency_loss_is_the_mass_on_children_of_wrong_parents() -> None:
    tree = odd()
    raw, targets = rank_scores(tree), torch.tensor(TARGETS)
    plain = HeadCriterion("multitask", tree)(rank_output(tree, raw), targets)
    both = HeadCriterion("multitask", tree, dependency=0.3)(rank_output(tree, raw), targets)
    wanted = 0.0
    for rank in (1, 2):
        found = []
        for i, target in enumerate(TARGETS):
            node = learnt(tree, target)
            if min(at_rank(tree, node, rank), at_rank(tree, node, rank - 1)) < 0:
                continue
            apart = 0.0
            for v, p in zip(tree.nodes_at[rank].tolist(), raw[rank][i].softmax(0).tolist()):
                parent = at_rank(tree, v, rank - 1)
                if parent >= 0 and parent != at_rank(tree, node, rank - 1):
                    apart += p
            found.append(math.exp(apart) - 1)
        wanted += sum(found) / len(found)
    assert both.item() == pytest.approx(0.7 * plain.item() + 0.3 * wanted / 3)


@pytest.mark.parametrize("remedy", IMBALANCE)
@pytest.mark.parametrize(
    ("kind", "more"), [("flat", {}), ("flat", {"hxe_alpha": 0.3}), ("marginalised", {}), ("multitask", {"dependency": 0.5})]
)
def test_gradients_are_those_of_the_loss(remedy: str, kind: str, more: dict[str, float]) -> None:
    if remedy == "focal" and "hxe_alpha" in more:
        pytest.skip("refused")
    tree, targets = odd(), torch.tensor([*TARGETS[:-1], -1])
    criterion = HeadCriterion(kind, tree, imbalance=imbalance(remedy, COUNTS, tree), smoothing=0.1, **more)  # type: ignore[arg-type]

    def loss(*scores: torch.Tensor) -> torch.Tensor:
        output: HeadOutput = rank_output(tree, list(scores)) if kind == "multitask" else flat_output(tree, scores[0])
        return criterion(output, targets, progress=0.9)  # type: ignore[no-any-return]

    scores = rank_scores(tree) if kind == "multitask" else [class_scores()]
    assert torch.autograd.gradcheck(loss, [x.requires_grad_() for x in scores], eps=1e-6, atol=1e-6)


def test_focal_loss_discounts_what_is_easy() -> None:
    tree, scores = odd(), class_scores(2)
    p = scores.softmax(1)[[0, 1], [1, 6]]
    loss = HeadCriterion("flat", tree, imbalance=imbalance("focal", COUNTS, tree))(
        flat_output(tree, scores), torch.tensor([3, 10])
    )
    assert loss.item() == pytest.approx((-((1 - p) ** 2) * p.log()).mean().item())


def test_class_balanced_weights_follow_the_effective_number_and_are_one_on_average() -> None:
    tree = odd()
    remedy = imbalance("class-balanced", COUNTS, tree, beta=0.99)
    assert isinstance(remedy, Imbalance)
    weights = remedy.weigh(torch.arange(7), None, 0.0)
    assert weights is not None
    raw = 0.01 / (1 - 0.99**COUNTS)
    torch.testing.assert_close(weights, raw / raw[1] * weights[1])
    assert (weights * COUNTS).sum() / COUNTS.sum() == pytest.approx(1)
    assert remedy.of(0).tolist() == [4 + 100 + 3 + 1, 50 + 7]  # nodes 1 and 7; class 10 has no rank 0
    assert remedy.of(1).tolist() == [4 + 100 + 3, 50]


def test_ldam_takes_margins_from_the_own_score_and_reweights_late() -> None:
    tree, scores = odd(), class_scores(2)
    targets = torch.tensor([6, 3])
    margins = 0.5 * (COUNTS / COUNTS.min()) ** -0.25
    shifted = scores.clone()
    shifted[0, 3] -= margins[3]
    shifted[1, 1] -= margins[1]
    losses = -shifted.log_softmax(1)[[0, 1], [3, 1]]
    criterion = HeadCriterion("flat", tree, imbalance=imbalance("ldam-drw", COUNTS, tree))
    output = flat_output(tree, scores)
    assert criterion(output, targets, progress=0.79).item() == pytest.approx(losses.mean().item(), rel=1e-6)
    weights = (1 - 0.9999) / (1 - 0.9999 ** COUNTS.double())
    weights = weights * COUNTS.sum() / (weights * COUNTS).sum()
    assert criterion(output, targets, progress=0.8).item() == pytest.approx((losses * weights[[3, 1]]).mean().item(), rel=1e-5)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_logit_adjustment_learns_scores_that_know_so_much_less_of_the_prior(tau: float) -> None:
    """Of specimens without any features, plain training learns the prior pi, with tau pi^(1 - tau): with 1, all alike."""
    tree = golden()
    counts = torch.tensor([64, 32, 16, 8, 4, 2, 1])
    targets = tree.classes.repeat_interleave(counts)
    prior = counts.double() / counts.sum()
    left = prior ** (1 - tau) / (prior ** (1 - tau)).sum()
    scores = torch.zeros(7, dtype=torch.float64, requires_grad=True)
    criterion = HeadCriterion("marginalised", tree, imbalance=imbalance("logit-adjusted", counts, tree, tau=tau))
    optimizer = torch.optim.LBFGS([scores], max_iter=200, line_search_fn="strong_wolfe")

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        loss: torch.Tensor = criterion(flat_output(tree, scores.expand(len(targets), -1)), targets)
        loss.backward()
        return loss

    optimizer.step(step)  # type: ignore[arg-type,no-untyped-call]
    torch.testing.assert_close(scores.detach().softmax(0), left, atol=1e-4, rtol=0)
    # and scores that were trained plainly, which know the prior whole, give it up afterwards
    torch.testing.assert_close(adjusted(prior.log()[None], counts, tau)[0].softmax(0), left, atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: HeadCriterion("resnet", golden()), "there is no head 'resnet'"),
        (lambda: HeadCriterion("flat", golden(), rank_weights=[1, 1, 1]), "take 'marginalised'"),
        (lambda: HeadCriterion("multitask", golden(), rank_weights=[1, 1]), "must be 3 numbers"),
        (lambda: HeadCriterion("multitask", golden(), rank_weights=[0, 0, 0]), "not all 0"),
        (lambda: HeadCriterion("flat", golden(), dependency=0.5), "cannot contradict itself"),
        (lambda: HeadCriterion("multitask", golden(), dependency=1.0), "below 1"),
        (lambda: HeadCriterion("multitask", golden(), hxe_alpha=0.5), "conditional and flat"),
        (
            lambda: HeadCriterion("flat", golden(), hxe_alpha=0.5, imbalance=imbalance("focal", torch.ones(7), golden())),
            "leave out hxe_alpha",
        ),
        (lambda: imbalance("smote", torch.ones(7), golden()), "no remedy for imbalance called 'smote'"),
        (lambda: imbalance("focal", torch.ones(3), golden()), "each of 7 classes"),
        (lambda: imbalance("class-balanced", torch.ones(7), golden(), beta=1.0), "beta = 1.0"),
    ],
)
def test_what_does_not_fit_together_is_said_in_one_line(make: object, says: str) -> None:
    with pytest.raises(BiocosmosError, match=re.escape(says)) as error:
        make()  # type: ignore[operator]
    assert "\n" not in str(error.value)
