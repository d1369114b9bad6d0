"""Heads: log p of every node, whichever head says it, and what makes each kind what it is."""

from __future__ import annotations

import copy
import math
import pickle
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.nn.criteria import HeadCriterion
from biocosmos.nn.heads import HEADS, NEEDS_MAPS, HeadOutput, make_head
from biocosmos.nn.heads.features import spread
from biocosmos.nn.heads.multitask import agree
from biocosmos.nn.tree import OnTree, Tree
from biocosmos.taxonomy import Taxonomy
from head_trees import at_rank, classes_under, climb, flat_output, golden, odd, trees

CHANNELS = [6, 8, 10, 12]
ROWS = 9


def taps(rows: int = ROWS) -> list[torch.Tensor]:
    """Three feature maps and the pooled vector, as of a small backbone."""
    g = torch.Generator().manual_seed(3)
    sides = [12, 6, 3]
    maps = [torch.randn(rows, c, side, side, generator=g) for c, side in zip(CHANNELS, sides)]
    return [*maps, torch.randn(rows, CHANNELS[-1], generator=g)]


def head_and_input(kind: str, tree: Tree, **options: float) -> tuple[OnTree, list[torch.Tensor]]:
    torch.manual_seed(0)
    given = taps() if kind in NEEDS_MAPS else taps()[-1:]
    head = make_head(kind, tree, [tap.shape[1] for tap in given], hidden=16, **options)  # type: ignore[arg-type]
    for name, weights in head.named_parameters():  # scores that differ
        if "scores" in name or "gate" in name:
            torch.nn.init.normal_(weights)
    return head, given


def test_the_golden_tree_sums_up_as_written_in_the_facts() -> None:
    log_p = flat_output(golden(), torch.tensor([[1, 0.5, -0.5, 0.2, 0, 2, -1]])).log_p[0]
    wanted = [0, -0.731459, -0.656249, -1.23076, -1.66529, -0.656249, -1.704837]
    assert log_p[:7].tolist() == pytest.approx(wanted, abs=1e-5)


def test_a_tree_with_null_ranks_and_inner_classes_is_read_as_it_is() -> None:
    tree = odd()
    assert [at.tolist() for at in tree.nodes_at] == [[1, 7], [2, 8], [3, 4, 6, 9, 10]]
    for node in range(len(tree)):
        assert tree.lineage[node].tolist() == [at_rank(tree, node, rank) for rank in range(3)]
        assert tree.depth[node] == len(climb(tree, node))
        assert tree.under[:, node].nonzero().squeeze(1).tolist() == classes_under(tree, node)
        held = [v for v in climb(tree, node) if classes_under(tree, v)]
        assert tree.nearest[node] == (held[0] if held else 0)
    assert tree.inner.nonzero().squeeze(1).tolist() == [2]
    assert copy.deepcopy(tree).paths.equal(pickle.loads(pickle.dumps(tree)).paths)


@given(tree=trees(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_every_node_is_the_sum_of_the_classes_under_it(tree: Tree, data: st.DataObject) -> None:
    scores = data.draw(st.lists(st.floats(-300, 300), min_size=len(tree.classes), max_size=len(tree.classes)))
    log_p = flat_output(tree, torch.tensor([scores], dtype=torch.float64)).log_p[0].tolist()
    whole = np.logaddexp.reduce(scores)
    for node in range(len(tree)):
        under = [scores[i] for i in classes_under(tree, node)]
        wanted = np.logaddexp.reduce(under) - whole if under else -math.inf
        assert log_p[node] == pytest.approx(wanted, abs=1e-9)


def test_probabilities_too_small_for_a_float_keep_their_logarithm_and_their_gradient() -> None:
    tree = golden()
    logits = torch.tensor([[0.0, 0, 400, 0, 0, -400, -401]], requires_grad=True)
    log_p = flat_output(tree, logits).log_p
    assert log_p[0, 2].item() == pytest.approx(-800 + math.log1p(math.exp(-1)), abs=1e-3)
    log_p[0, 2].backward()
    assert logits.grad is not None
    assert logits.grad[0].tolist() == pytest.approx([0, 0, -1, 0, 0, 1 / (1 + math.exp(-1)), 1 / (1 + math.e)], abs=1e-5)


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("tree", [golden(), odd()], ids=["golden", "odd"])
def test_every_head_says_log_p_of_every_node_consistently(kind: str, tree: Tree) -> None:
    head, given = head_and_input(kind, tree)
    output: HeadOutput = head.eval()(given)
    p = output.logits.double().softmax(1)
    for node in range(len(tree)):
        torch.testing.assert_close(
            output.log_p[:, node].double().exp(), p[:, classes_under(tree, node)].sum(1), atol=1e-5, rtol=1e-4
        )
    assert (output.log_p[:, 0] == 0).all()
    assert output.features.shape[0] == ROWS and output.features.isfinite().all()
    if output.rank_scores is not None:
        assert [rank.shape[1] for rank in output.rank_scores] == [len(at) for at in tree.nodes_at]
        for rank in output.rank_scores:
            mass = rank.exp().sum(1)
            assert (mass <= 1 + 1e-5).all()
            if kind != "sbacnn":
                torch.testing.assert_close(mass, torch.ones(ROWS))


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_takes_any_scale_of_features_further_numbers_and_half_precision(kind: str) -> None:
    tree = odd()
    head, given = head_and_input(kind, tree, extra=2, dropout=0.5)
    size = torch.randn(ROWS, 2) * 0.3 + 4
    head.train()(given, size)  # running averages
    head.eval()
    output: HeadOutput = head(given, size)
    longer: HeadOutput = head([tap * 1000 for tap in given], size)
    torch.testing.assert_close(output.logits, longer.logits, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(output.logits, head(given, size + 3).logits, atol=1e-3)
    with torch.autocast("cpu", torch.bfloat16):
        half: HeadOutput = head(given, size)
    assert half.logits.dtype == half.log_p.dtype == torch.float32
    again = make_head(kind, odd(), head_channels(given), hidden=16, extra=2)
    again.load_state_dict(head.state_dict())  # the tree is no part of the state
    torch.testing.assert_close(again.eval()(given, size).log_p, output.log_p)


def head_channels(given: list[torch.Tensor]) -> list[int]:
    return [tap.shape[1] for tap in given]


def test_the_conditional_head_multiplies_softmaxes_among_siblings() -> None:
    tree = odd()
    head, given = head_and_input("conditional", tree)
    scores: dict[int | str, torch.Tensor] = {}
    with torch.no_grad():
        output: HeadOutput = head.eval()(given)
        raw = head.scores(head.features(given, None))  # type: ignore[operator]
    nodes = [v for v in range(1, len(tree)) if classes_under(tree, v)]
    for i, name in enumerate([*nodes, "stop at 2"]):
        scores[name] = raw[:, i].exp()
    siblings: dict[int, list[int | str]] = {
        parent: [v for v in nodes if tree.parent[v] == parent] for parent in {int(tree.parent[v]) for v in nodes}
    }
    siblings[2].append("stop at 2")
    for node in nodes:
        wanted = torch.ones(ROWS)
        for v in climb(tree, node):
            wanted = wanted * scores[v] / sum(scores[s] for s in siblings[int(tree.parent[v])])
        torch.testing.assert_close(output.log_p[:, node].exp(), wanted)
    wanted = output.log_p[:, 2].exp() * scores["stop at 2"] / sum(scores[s] for s in siblings[2])
    torch.testing.assert_close(output.logits.softmax(1)[:, 0], wanted)


def test_classes_with_null_ranks_compete_by_the_mean_over_the_ranks_they_have() -> None:
    tree = odd()
    ranks = [torch.randn(ROWS, len(at)).log_softmax(1) for at in tree.nodes_at]
    scores = agree(ranks, tree.paths, tree.known)
    for i, c in enumerate(tree.classes.tolist()):
        own = [at_rank(tree, c, rank) for rank in range(3)]
        parts = [ranks[l][:, tree.nodes_at[l].tolist().index(v)] for l, v in enumerate(own) if v >= 0]  # noqa: E741
        torch.testing.assert_close(scores[:, i], 3 * sum(parts) / len(parts))  # type: ignore[arg-type]


def test_ranks_leave_the_backbone_from_shallow_to_deep() -> None:
    assert [spread(4, 3), spread(3, 3), spread(3, 2), spread(2, 3), spread(5, 1)] == [
        [0, 2, 3],
        [0, 1, 2],
        [0, 2],
        [0, 1, 1],
        [4],
    ]


@pytest.mark.parametrize(
    ("kind", "coarse_sees", "fine_sees"),
    [("bcnn", [0], [3]), ("hbcnn", [0], [0, 2, 3]), ("bacnn", [0, 2, 3], [0, 2, 3])],
)
def test_what_each_branch_head_lets_a_rank_see(kind: str, coarse_sees: list[int], fine_sees: list[int]) -> None:
    head, given = head_and_input(kind, golden())
    head.eval()
    for rank, wanted in ((0, coarse_sees), (2, fine_sees)):
        given = [tap.detach().requires_grad_() for tap in given]
        output: HeadOutput = head(given)
        assert output.rank_scores is not None
        output.rank_scores[rank][:, 0].sum().backward()
        seen = [i for i, tap in enumerate(given) if tap.grad is not None and bool(tap.grad.abs().sum() > 0)]
        assert seen == wanted


def test_bilinear_features_are_rooted_products_of_neighbouring_ranks() -> None:
    head, given = head_and_input("hbcnn", golden())
    features = head.features
    assert isinstance(features, torch.nn.Module)
    captured: list[torch.Tensor] = []
    features.bodies[1].register_forward_hook(lambda _m, inputs, _o: captured.append(inputs[0]))  # type: ignore[index,union-attr]
    head.eval()(given)

    def normal(x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean()) / x.std(unbiased=False)

    row, products = 4, torch.zeros(16)
    coarse, fine = given[0][row], given[2][row]  # 12 x 12 and 3 x 3 positions; the first is averaged down to 4 x 4, then 3 x 3
    coarse = torch.nn.functional.adaptive_avg_pool2d(torch.nn.functional.adaptive_avg_pool2d(coarse, 4), 3)
    for y in range(3):
        for x in range(3):
            products += features.own[1](normal(fine[:, y, x])) * features.other[1](normal(coarse[:, y, x]))  # type: ignore[index,operator]
    z = (products / 9).sign() * (products / 9).abs().sqrt()
    torch.testing.assert_close(captured[0][row, 16:], 4 * z / z.norm(), atol=0.02, rtol=0.01)


def test_segregated_branches_share_a_specimen_by_the_gate_and_learn_only_their_own() -> None:
    tree = odd()  # branches: 1, 7, and the rest (class 10, without a rank 0)
    head, given = head_and_input("sbacnn", tree)
    output: HeadOutput = head.eval()(given)
    gate = head.gate(head.gate_features(given, None)[0]).softmax(1)  # type: ignore[operator]
    torch.testing.assert_close(output.log_p[:, [1, 7, 10]].exp(), gate)
    loss = HeadCriterion("sbacnn", tree)(output, torch.tensor([3] * ROWS))
    loss.backward()
    moved = [any(w.grad is not None and bool(w.grad.abs().sum() > 0) for w in branch.parameters()) for branch in head.branches]  # type: ignore[union-attr]
    assert moved == [True, False, False]
    assert head.gate.weight.grad.abs().sum() > 0  # type: ignore[union-attr]


def test_segregated_branches_work_on_maps_at_another_split() -> None:
    head = make_head("sbacnn", odd(), CHANNELS, hidden=16, split_rank=1)
    output: HeadOutput = head.eval()(taps())
    p = output.logits.softmax(1)
    torch.testing.assert_close(p @ odd().under, output.log_p.exp())
    assert output.rank_scores is not None and [rank.shape[1] for rank in output.rank_scores] == [2, 2, 5]


def test_a_head_learns_the_shipped_sample_from_stored_vectors(embedded: bc.Collection) -> None:
    ranks = ("status", "group", "label")
    gallery = embedded.gallery("efficientnet-lite0")
    table = embedded.table(["id", *ranks])
    taxonomy = Taxonomy.from_table(table, ranks)
    node = dict(zip(table["id"].to_pylist(), taxonomy.index(table).tolist()))
    targets = torch.tensor([node[str(id_)] for id_ in gallery.ids])
    known = targets > 0
    vectors, targets = torch.from_numpy(gallery.vectors)[known], targets[known]
    tree = Tree(torch.tensor(taxonomy.parent), torch.tensor(taxonomy.rank), len(ranks), targets.unique())
    for kind in ("flat", "multitask", "conditional"):
        torch.manual_seed(0)
        head, criterion = make_head(kind, tree, [vectors.shape[1]]), HeadCriterion(kind, tree)
        optimizer = torch.optim.AdamW(head.parameters(), 1e-3)
        for _ in range(40):
            optimizer.zero_grad()
            criterion(head([vectors]), targets).backward()
            optimizer.step()
        right = tree.classes[head.eval()([vectors]).logits.argmax(1)] == targets
        assert right.float().mean() > 0.9, kind


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: make_head("bcnn", golden(), [8]), "needs its feature maps"),
        (lambda: make_head("hbcnn", golden(), [8, 8])([torch.zeros(2, 8), torch.zeros(2, 8)]), "vectors only"),
        (lambda: make_head("bacnn", golden(), [8, 9])([torch.zeros(2, 8, 2, 2)]), "not [8]"),
        (lambda: make_head("resnet", golden(), [8]), "there is no head 'resnet'"),
        (lambda: make_head("flat", golden(), [8], dropout=1.0), "dropout 1.0"),
        (lambda: make_head("flat", golden(), [8], extra=2)([torch.zeros(2, 8)]), "takes 2 further features"),
        (lambda: make_head("sbacnn", golden(), [8], split_rank=2), "0 to 1, not 2"),
        (lambda: Tree(torch.tensor([-1, 0]), torch.tensor([-1, 0]), 1, torch.tensor([0])), "ascending nodes"),
        (lambda: Tree(torch.tensor([-1, 0]), torch.tensor([-1, 0]), 2, torch.tensor([1])), "no class has a name at rank 1"),
        (lambda: Tree(torch.tensor([-1, 2, 0]), torch.tensor([-1, 1, 0]), 2, torch.tensor([1])), "before their children"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(make: object, says: str) -> None:
    with pytest.raises(BiocosmosError, match=re.escape(says)) as error:
        make()  # type: ignore[operator]
    assert "\n" not in str(error.value)
