"""Attribute heads: CT-GNN as published, its graph from labels, and what makes many classes possible."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from biocosmos.errors import BiocosmosError
from biocosmos.nn.attributes import TaskShape, adjacency, make_attribute_head, probabilities
from biocosmos.nn.attributes.co_occurrence import conditional, counted, graph_of
from biocosmos.nn.attributes.graph_layers import GraphAttention, GraphConvolution, attend_to_all
from biocosmos.nn.attributes.plain import parameters_of
from biocosmos.nn.attributes.published import from_published, published_head

GOLDEN = Path(__file__).parent / "golden"
SMALL = [TaskShape("defects", 5, several=True), TaskShape("shape", 3), TaskShape("level", 4)]
SEWER = [TaskShape("defects", 17, several=True), TaskShape("water level", 4), TaskShape("shape", 6), TaskShape("material", 8)]
KINDS = {"binary": "binary", "reweighted": "reweighted", "reweightedCond": "reweighted-conditional"}


@pytest.fixture(scope="module")
def matrices() -> dict[str, np.ndarray]:
    return dict(np.load(GOLDEN / "ctgnn_adjacency.npz"))


@pytest.fixture(scope="module")
def forward() -> dict[str, np.ndarray]:
    return dict(np.load(GOLDEN / "ctgnn_forward.npz"))


def public_state(forward: dict[str, np.ndarray], case: str) -> dict[str, torch.Tensor]:
    return {name.split("/sd/")[1]: torch.tensor(found) for name, found in forward.items() if name.startswith(f"{case}/sd/")}


def test_the_graph_is_the_public_codes(matrices: dict[str, np.ndarray]) -> None:
    compared = 0
    for name, wanted in matrices.items():
        kind, tau, *rest = [*name.split("_"), ""]
        if kind not in KINDS:
            continue
        options: dict[str, Any] = {"kind": KINDS[kind], "tau": None if tau == "None" else float(tau), "normalise": rest[0]}
        assert np.array_equal(adjacency(matrices["labels"], SMALL, **options), wanted), name
        compared += 1
    assert compared == 21
    assert np.array_equal(counted(matrices["labels"])[0], matrices["co_occurrence"])
    assert np.array_equal(conditional(matrices["co_occurrence"]), matrices["cond_probability"])


def test_the_graph_of_real_counts_is_the_published_one(matrices: dict[str, np.ndarray]) -> None:
    chances = conditional(matrices["real_co_occurrence"])
    assert np.array_equal(graph_of(chances, SEWER[:2], kind="binary"), matrices["real_binary"])
    assert np.array_equal(graph_of(chances, SEWER[:2]), matrices["real_reweighted"])


@pytest.mark.parametrize("case", ["gcn", "gat"])
def test_public_weights_say_what_they_say_in_the_public_code(forward: dict[str, np.ndarray], case: str) -> None:
    state = public_state(forward, case)
    for given_state in (state, {**{f"decoder.{name}": found for name, found in state.items()}, "encoder.x": torch.zeros(1)}):
        head = published_head(given_state, SMALL).eval()
        said = head(torch.tensor(forward["input"]))
        for found, wanted in ((said.logits, "logits"), (said.auxiliary, "aux_logits")):
            torch.testing.assert_close(torch.cat(found, 1), torch.tensor(forward[f"{case}/{wanted}"]), atol=1e-6, rtol=0)
    assert parameters_of(head) == {"gcn": 3632, "gat": 3408}[case]


def test_public_weights_of_other_tasks_are_refused(forward: dict[str, np.ndarray]) -> None:
    state = public_state(forward, "gcn")
    with pytest.raises(BiocosmosError, match="of 3 tasks, 2 are named"):
        published_head(state, SMALL[:2])
    with pytest.raises(BiocosmosError, match="these tasks make it"):
        published_head({**state, "heads.0.0.bias": torch.zeros(4)}, SMALL)
    with pytest.raises(BiocosmosError, match="no place for 'layer4"):
        from_published({"layer4.weight": torch.zeros(1)})
    plain = {name: found for name, found in state.items() if name.startswith("heads")}
    assert type(published_head(plain, SMALL)).__name__ == "PlainHeads"


@pytest.mark.parametrize(
    ("options", "wanted"),
    [(None, 71_715), ({"graph": "GCN"}, 502_726), ({"graph": "GCN", "layers": 2}, 519_110), ({"graph": "GAT"}, 502_982)],
)
def test_heads_have_as_many_parameters_as_published(options: dict[str, Any] | None, wanted: int) -> None:
    if options is None:
        assert parameters_of(make_attribute_head("plain", SEWER, 2048)) == wanted
        return
    assert parameters_of(make_attribute_head("ctgnn", SEWER, 2048, np.eye(35), **options)) == wanted
    shared = make_attribute_head("ctgnn", SEWER, 2048, np.eye(35), shared_output=True, **options)
    assert parameters_of(shared) == wanted - 4_386


def pairwise_attention(layer: GraphAttention, nodes: torch.Tensor, graph: torch.Tensor) -> torch.Tensor:
    """The published form: one vector over every pair of nodes, a head at a time."""
    heads = []
    for weight, own in zip(layer.weight, layer.attention):
        values = nodes @ weight
        new = torch.zeros_like(values)
        for b, i in product(range(len(nodes)), range(nodes.shape[1])):
            pairs = torch.stack([torch.cat([values[b, i], values[b, j]]) for j in range(nodes.shape[1])])
            scores = torch.nn.functional.leaky_relu((pairs @ own).squeeze(1), 0.2)
            weights = torch.where(graph[i] > 0, scores, -9e15).softmax(0)
            new[b, i] = weights @ values[b]
        heads.append(new)
    return torch.nn.functional.elu(torch.cat(heads, -1)) + nodes


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**16),
    batch=st.integers(1, 4),
    classes=st.integers(1, 6),
    heads=st.sampled_from([1, 2, 4]),
    dynamic=st.booleans(),
)
def test_attention_by_sums_is_attention_over_pairs(seed: int, batch: int, classes: int, heads: int, dynamic: bool) -> None:
    torch.manual_seed(seed)
    layer = GraphAttention(8, heads)
    nodes, graph = 3 * torch.randn(batch, classes, 8), (torch.rand(classes, classes) - 0.5).round()
    graph = torch.ones_like(graph) if dynamic else graph
    wanted = pairwise_attention(layer, nodes, graph)
    torch.testing.assert_close(layer(nodes, graph), wanted, atol=2e-6, rtol=1e-5)
    layer.attention_floats = classes**2  # one specimen at a time
    torch.testing.assert_close(layer(nodes, graph), wanted, atol=2e-6, rtol=1e-5)


def test_attention_to_all_keeps_far_scores_apart_and_has_the_gradients_of_pairs() -> None:
    torch.manual_seed(2)
    to, source, values = 200 * torch.randn(3, 40), 200 * torch.randn(3, 40), torch.randn(3, 40, 5)
    source[:, 5] = source[:, 6]
    found = []
    for whole in (True, False):
        given_numbers = [x.double().clone().requires_grad_() for x in (to / 50, source / 50, values)]
        pairs = torch.nn.functional.leaky_relu(given_numbers[0][..., None] + given_numbers[1][..., None, :], 0.2)
        new = attend_to_all(*given_numbers) if whole else pairs.softmax(-1) @ given_numbers[2]
        new.square().sum().backward()
        found.append([new.detach(), *(x.grad for x in given_numbers)])
    for one, other in zip(*found):
        torch.testing.assert_close(one, other)
    pairs = torch.nn.functional.leaky_relu(to[..., None] + source[..., None, :], 0.2)
    torch.testing.assert_close(attend_to_all(to, source, values), pairs.softmax(-1) @ values, atol=1e-4, rtol=1e-4)


def test_attention_in_pieces_has_the_same_gradients_with_dropout_too() -> None:
    nodes, graph, found = torch.randn(6, 5, 8), torch.ones(5, 5).triu(), []
    for floats in (10**6, 2 * 25):
        torch.manual_seed(1)
        layer = GraphAttention(8, 2, attention_floats=floats)
        x = nodes.clone().requires_grad_()
        layer(x, graph).square().sum().backward()
        found.append([x.grad, layer.weight.grad, layer.attention.grad])
    for whole, pieces in zip(*found):
        torch.testing.assert_close(whole, pieces)
    dropped = GraphAttention(8, 2, dropout=0.5, attention_floats=25)
    assert torch.autograd.gradcheck(
        lambda y: (torch.manual_seed(0), dropped.double()(y, graph))[1], nodes[:2].double().requires_grad_(), fast_mode=True
    )


class Largest(TorchDispatchMode):
    """The most numbers that any tensor had which was made."""

    numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return made


@pytest.mark.parametrize("dynamic", [True, False])
def test_a_thousand_classes_fit_in_memory(dynamic: bool) -> None:
    tasks, batch, limit = [TaskShape("species", 900), TaskShape("traits", 100, several=True)], 3, 10**6
    graph = None if dynamic else np.tri(1000)
    options: dict[str, Any] = {"graph": "GAT", "channels": 16, "bottleneck": 4}
    head = make_attribute_head("ctgnn", tasks, 4, graph, attention_floats=limit, **options)
    with Largest() as seen:
        output = head(torch.randn(batch, 4))
        sum(logits.sum() for logits in output.logits).backward()
    # the graph itself; the weights of all specimens at once would be three times that, the pairs of all twelve times
    assert seen.numbers <= limit
    assert sum(logits.shape[1] for logits in output.logits) == 1000


def written_out(layer: Any, new: torch.Tensor, nodes: torch.Tensor, act: Any) -> torch.Tensor:
    if layer.residual in ("Pre", "Both"):
        new = act(new)
    if layer.skip:
        new = new + nodes
    return act(new) if layer.residual in ("Post", "Both") else new


@pytest.mark.parametrize(("residual", "skip"), list(product(["Pre", "Post", "Both", "None"], [True, False])))
def test_the_activation_stands_where_it_is_asked_for(residual: Any, skip: bool) -> None:
    torch.manual_seed(0)
    nodes, graph = torch.randn(3, 4, 8), torch.rand(4, 4)
    convolution = GraphConvolution(8, residual=residual, skip=skip)
    new = torch.einsum("ij,bjd,de->bie", graph, nodes, convolution.weight)
    wanted = written_out(convolution, new, nodes, lambda x: torch.where(x > 0, x, 0.2 * x))
    torch.testing.assert_close(convolution(nodes, graph), wanted)
    attention = GraphAttention(8, 2, residual=residual, skip=skip)
    bare = GraphAttention(8, 2, residual="None", skip=False)
    bare.load_state_dict(attention.state_dict())
    wanted = written_out(attention, bare(nodes, graph), nodes, torch.nn.functional.elu)
    torch.testing.assert_close(attention(nodes, graph), wanted)


labels = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).integers(-1, 2, (9, 12)).astype(np.int8))


@settings(deadline=None, max_examples=40)
@given(values=labels, missing=st.lists(st.integers(0, 11), max_size=4), tau=st.sampled_from([None, 0.05, 0.4, 1.0]))
def test_the_graph_is_of_the_known_labels_and_never_nan(values: np.ndarray, missing: list[int], tau: float | None) -> None:
    values[:, missing] = np.where(values[:, missing] > 0, 0, values[:, missing])  # classes without a specimen
    chances = conditional(*counted(values))
    for i, j in product(range(12), range(12)):
        judged = [int(row[i]) for row in values if row[j] == 1 and row[i] >= 0]
        assert chances[i, j] == (1.0 if i == j else np.mean(judged) if judged else 0.0)
    for kind, normalise in product(["binary", "reweighted", "reweighted-conditional", "dynamic"], ["", "Sym", "In"]):
        graph = adjacency(values, SMALL, kind=kind, tau=tau, normalise=normalise)  # type: ignore[arg-type]
        assert np.isfinite(graph).all() and (np.diag(graph) > 0).all()
        if kind != "dynamic":
            assert all(not graph[i, j] and not graph[j, i] for i in missing for j in range(12) if i != j)
        if normalise == "In" or kind == "reweighted":
            assert normalise == "Sym" or graph.sum(1) == pytest.approx(1.0)


def test_ranks_as_tasks_make_the_tree_and_attributes_its_other_edges() -> None:
    family, genus, winged = [0, 0, 0, 1], [0, 1, 1, 2], [1, 1, 1, 0]
    values = np.concatenate([np.eye(2)[family], np.eye(3)[genus], np.array(winged)[:, None]], 1).astype(np.int8)
    tasks = [TaskShape("family", 2), TaskShape("genus", 3), TaskShape("winged", 1, several=True)]
    graph = adjacency(values, tasks, kind="binary")
    assert graph[:2, 2:5].tolist() == [[1, 1, 0], [0, 0, 1]]  # each family takes from its genera
    assert graph[5].tolist() == [1, 0, 1, 1, 0, 1]
    head = make_attribute_head("ctgnn", tasks, 6, graph)
    assert [logits.shape for logits in head(torch.randn(2, 6)).logits] == [(2, 2), (2, 3), (2, 1)]


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**16), shared=st.booleans(), graph=st.sampled_from(["GCN", "GAT"]), layers=st.integers(1, 3))
def test_a_head_takes_vectors_maps_and_features_of_each_task(seed: int, shared: bool, graph: Any, layers: int) -> None:
    torch.manual_seed(seed)
    options: dict[str, Any] = {"graph": graph, "layers": layers, "channels": 8, "attention_heads": 2, "bottleneck": 3}
    head = make_attribute_head(
        "ctgnn", SMALL, 7, np.ones((12, 12)), hidden=[6, 5], shared_bottleneck=shared, shared_output=not shared, **options
    )
    maps = torch.randn(4, 7, 2, 2)
    vectors = maps.mean((2, 3))
    wanted = head(vectors)
    for features in (maps, [vectors] * 3, [maps] * 3):
        for found, logits in zip(head(features).logits, wanted.logits):
            torch.testing.assert_close(found, logits)
    chances = probabilities(wanted, SMALL)
    assert chances[1].sum(1).tolist() == pytest.approx([1.0] * 4)
    assert torch.equal(chances[0], wanted.logits[0].sigmoid())
    assert len(head.bottlenecks) == (1 if shared else 3)
    assert [logits.shape for logits in head(vectors[:0]).logits] == [(0, 5), (0, 3), (0, 4)]


def test_the_scale_of_stored_vectors_does_not_matter() -> None:
    head = make_attribute_head("plain", SMALL, 7)
    x = torch.nn.functional.normalize(torch.randn(4, 7))
    for one, other in zip(head(x).logits, head(100 * x).logits):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: make_attribute_head("graph", SMALL, 4), "no attribute head 'graph'"),
        (lambda: make_attribute_head("plain", SMALL, 4, np.eye(12)), "has no graph"),
        (lambda: make_attribute_head("plain", [], 4), "none is given"),
        (lambda: make_attribute_head("plain", [*SMALL, SMALL[0]], 4), "'defects' is given twice"),
        (lambda: make_attribute_head("plain", [TaskShape("sex", 0)], 4), "'sex' has no classes"),
        (lambda: make_attribute_head("plain", SMALL, 0), "must be sizes"),
        (lambda: make_attribute_head("ctgnn", SMALL, 4), "needs an adjacency"),
        (lambda: make_attribute_head("ctgnn", SMALL, 4, np.eye(3)), "12 x 12"),
        (lambda: make_attribute_head("ctgnn", SMALL, 4, np.full((12, 12), np.nan)), "must be finite"),
        (lambda: make_attribute_head("ctgnn", SMALL, 4, graph="GAT", attention_heads=3), "multiple of its 3 heads"),
        (lambda: make_attribute_head("ctgnn", SMALL, 4, np.eye(12), residual="pre"), "must be Pre, Post, Both or None"),
        (lambda: make_attribute_head("ctgnn", SMALL, 4, np.eye(12), layers=0), "at least 1"),
        (lambda: make_attribute_head("plain", SMALL, 4)([torch.ones(1, 4)]), "features of 1 tasks"),
        (lambda: adjacency(np.zeros((2, 3), np.int8), SMALL), "12 classes"),
        (lambda: adjacency(np.zeros((2, 12), np.int8), SMALL, kind="full"), "no adjacency 'full'"),  # type: ignore[arg-type]
        (lambda: adjacency(np.zeros((2, 12), np.int8), SMALL, tau=0.0), "tau 0.0 must be above 0"),
        (lambda: adjacency(np.zeros((2, 12), np.int8), SMALL, normalise="sym"), "no normalisation 'sym'"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_made_is_said_in_one_line(made: Any, said: str) -> None:
    with pytest.raises(BiocosmosError, match=said) as caught:
        made()
    assert "\n" not in str(caught.value)
