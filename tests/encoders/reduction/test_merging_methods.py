"""Merging against the outputs of the published code, and against what each method is, written out naively."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import layer_norm, normalize

from biocosmos.encoders.reduction import dpcknn, kmedoids, pitome, sinkhorn, tome
from biocosmos.encoders.reduction.clustering import agglomerate
from biocosmos.encoders.reduction.matching import in_rounds
from biocosmos.encoders.reduction.merging import euclidean, means_by_label, merged, sums_by_label
from biocosmos.encoders.reduction.methods import reducer_class
from biocosmos.encoders.reduction.network import ReducedVit
from biocosmos.encoders.reduction.patchmerger import Merger
from biocosmos.encoders.reduction.sit import Slimming
from biocosmos.encoders.reduction.spec import Reduction
from biocosmos.encoders.reduction.tokens import Clues, Reducer, StageShape, Tokens
from small_vits import KINDS, PATCHES, SIZE, pictures, small_vit

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "merging.npz"))
TOKENS = torch.from_numpy(GOLDEN["tokens"])[:, 1:]
SIZES = torch.from_numpy(GOLDEN["size"]).float()
KEYS = torch.from_numpy(GOLDEN["mean_keys"])[:, 1:]
RECEIVED = torch.from_numpy(GOLDEN["received"])
HARD = ("tome", "pitome", "atc", "kmedoids", "dpcknn")
SOFT = ("sit", "patchmerger", "sinkhorn")
WIDTH, HEADS = 12, 3


def stage(spec: str, patches: int, keep: int, *, width: int = WIDTH, number: int = 0, stages: int = 1) -> Reducer:
    """One stage that brings ``patches`` tokens down to ``keep``."""
    torch.manual_seed(0)
    reduction = Reduction.parse(spec)
    shape = StageShape(width, HEADS, (1, patches), patches, keep, number, stages, block=3, blocks=12)
    return reducer_class(reduction.method)(reduction=reduction, shape=shape).eval()


def tokens_and_clues(
    b: int = 2, patches: int = 20, prefix: int = 1, *, seed: int = 0, sizes: bool = False
) -> tuple[Tokens, Clues]:
    drawn = torch.Generator().manual_seed(seed)
    n = prefix + patches
    size = torch.randint(1, 6, (b, n), generator=drawn).float() if sizes else None
    if size is not None:
        size[:, :prefix] = 1
    q, k, v = (torch.randn(b, HEADS, n, WIDTH // HEADS, generator=drawn) for _ in range(3))
    clues = Clues(q, k, v, 0.5, prefix, has_class=prefix > 0, size=size)
    return Tokens(torch.randn(b, n, WIDTH, generator=drawn), prefix, size), clues


def partition(labels: np.ndarray | torch.Tensor) -> list[set[frozenset[int]]]:
    """Each image's groups of tokens, whatever they are called."""
    return [{frozenset(np.flatnonzero(row == name)) for name in np.unique(row)} for row in np.asarray(labels)]


# ---------------------------------------------------------------------- as published


@pytest.mark.parametrize("count", [98, 49])
def test_density_peaks_are_the_published_ones(count: int) -> None:
    torch.manual_seed(0)
    for noise in (torch.rand(2, 196), None):
        centres, labels = dpcknn.density_peaks(TOKENS, count, noise=noise)
        np.testing.assert_array_equal(centres, GOLDEN[f"dpc{count}_center"])
        np.testing.assert_array_equal(labels, GOLDEN[f"dpc{count}_label"])
    for name, weights in (("equal", torch.ones(2, 196)), ("weighted", SIZES[:, 1:])):
        means = means_by_label(TOKENS, labels, count, weights)
        np.testing.assert_allclose(means[:1, :8], GOLDEN[f"dpc{count}_x_{name}"], atol=1e-5)


@pytest.mark.parametrize("count", [98, 49])
@pytest.mark.parametrize("iterations", [0, 3])
def test_medoids_are_the_published_ones(count: int, iterations: int) -> None:
    medoids, labels = kmedoids.k_medoids(TOKENS, RECEIVED, count, iterations=iterations, published=True)
    np.testing.assert_array_equal(medoids, GOLDEN[f"kmed{count}_it{iterations}_center"])
    np.testing.assert_array_equal(labels, GOLDEN[f"kmed{count}_it{iterations}_assign"])


def test_medoids_of_equal_weights_are_the_published_ones() -> None:
    start = int(np.random.RandomState(0).choice(np.arange(196), 1)[0])
    first = kmedoids.farthest_first(TOKENS, 24, start, published=True)
    medoids, labels = kmedoids.k_medoids(TOKENS, torch.ones(2, 196), 24, first=first, published=True)
    np.testing.assert_array_equal(medoids, GOLDEN["kmed24_eq_center"])
    np.testing.assert_array_equal(labels, GOLDEN["kmed24_eq_assign"])


def test_sinkhorn_gives_the_published_tokens_for_the_published_shares() -> None:
    shares, x = torch.from_numpy(GOLDEN["sinkhorn_w_head"]), normalize(TOKENS[:1], dim=-1)
    np.testing.assert_allclose(shares @ x, GOLDEN["sinkhorn_y"][:, :4], atol=1e-5)
    # what is in the shares: logarithms are affine in the unit tokens up to one value a token, and centres get n / K
    logs = shares[0].double().log()
    known = torch.cat([x[0].double(), torch.ones(196, 1, dtype=torch.float64)], dim=1)
    fitted = known @ torch.linalg.lstsq(known, (logs - logs[:1]).T).solution
    np.testing.assert_allclose(fitted.T, logs - logs[:1], atol=1e-5)
    torch.testing.assert_close(shares.sum(dim=2), torch.full((1, 4), 196 / 49), atol=1e-4, rtol=0)


@pytest.mark.parametrize("linkage", ["single", "complete", "average"])
@pytest.mark.parametrize("count", [98, 49])
def test_clusters_are_merged_to_the_published_tokens(linkage: str, count: int) -> None:
    labels = torch.from_numpy(GOLDEN[f"{linkage}_{count}_label"]).long()[:, 1:] - 1
    for sizes, suffix in ((None, ""), (SIZES, "_w")):
        step = merged(Tokens(torch.from_numpy(GOLDEN["tokens"]), 1, sizes), labels, count)
        np.testing.assert_array_equal(step.tokens.size, GOLDEN[f"{linkage}_{count}_size{suffix}"])
        if (name := f"{linkage}_{count}_x{suffix}") in GOLDEN:
            np.testing.assert_allclose(step.tokens.x[:1, :8], GOLDEN[name], atol=1e-5)
    assert partition(agglomerate(KEYS, count, linkage)) == partition(labels)


def test_the_published_clustering_for_each_block_removes_one_token_fewer() -> None:
    heads = torch.from_numpy(GOLDEN["mean_keys"]).unsqueeze(1)
    clues, tokens = Clues(heads, heads, heads, 1.0, prefix=1), Tokens(torch.from_numpy(GOLDEN["tokens"]), 1)
    published = stage("atc-r16!published", 196, 180, width=48)(tokens, clues)
    assert published.tokens.x.shape == tuple(GOLDEN["ssl_r16_tokens_out"])
    assert partition(published.assignment) == partition(GOLDEN["ssl_r16_label"][:, 1:])
    assert stage("atc-r16", 196, 180, width=48)(tokens, clues).tokens.x.shape == (2, 181, 48)


# ---------------------------------------------------------------------- what the methods are


def tome_groups(keys: np.ndarray, remove: int, prefix: int) -> list[list[int]]:
    """One matching of the paper, written out for one image; groups in the order of the tokens after."""
    unit = keys / np.linalg.norm(keys, axis=1, keepdims=True)
    sources = [i for i in range(len(keys)) if (prefix + i) % 2 == 0]
    targets = [i for i in range(len(keys)) if (prefix + i) % 2 == 1]
    edges = []
    for source in sources:
        cosines = [float(unit[source] @ unit[target]) for target in targets]
        edges.append((max(cosines), source, targets[int(np.argmax(cosines))]))
    moved = {source: target for _, source, target in sorted(edges, key=lambda edge: -edge[0])[:remove]}
    groups = {target: [target] for target in targets}
    for source, target in moved.items():
        groups[target].append(source)
    return [[source] for source in sources if source not in moved] + list(groups.values())


def tome_rounds(keys: np.ndarray, sizes: np.ndarray, keep: int, prefix: int) -> list[list[int]]:
    groups = [[i] for i in range(len(keys))]
    while len(groups) > keep:
        matched = tome_groups(keys, min(len(groups) - keep, len(groups) // 2), prefix)
        keys = np.stack([np.average(keys[group], axis=0, weights=sizes[group]) for group in matched])
        sizes = np.array([sizes[group].sum() for group in matched])
        groups = [[i for one in group for i in groups[one]] for group in matched]
    return groups


@given(st.integers(2, 30), st.integers(0, 5), st.data())
@settings(max_examples=40, deadline=None)
def test_tome_is_its_matching_written_out(patches: int, prefix: int, data: st.DataObject) -> None:
    keep = data.draw(st.integers(1, patches - 1))
    drawn = np.random.default_rng(data.draw(st.integers(0, 999)))
    keys, sizes = drawn.normal(size=(2, patches, 5)).astype(np.float32), drawn.integers(1, 5, (2, patches)).astype(np.float32)
    found = in_rounds(partial(tome.bipartite, prefix=prefix), torch.from_numpy(keys), torch.from_numpy(sizes), keep)
    for b in range(2):
        groups = tome_rounds(keys[b], sizes[b], keep, prefix)
        assert [set(np.flatnonzero(found[b] == label)) for label in range(keep)] == [set(group) for group in groups]


def pitome_groups(keys: np.ndarray, remove: int, margin: float) -> list[set[int]]:
    """One matching of the paper, written out for one image."""
    unit = keys / np.linalg.norm(keys, axis=1, keepdims=True)
    over = unit @ unit.T - margin
    energy = np.where(over > 0, over, np.exp(np.minimum(over, 0)) - 1).mean(axis=1)
    order = np.argsort(-energy, kind="stable")
    sources, targets = order[0 : 2 * remove : 2], order[1 : 2 * remove : 2]
    groups = {target: {target} for target in targets}
    for source in sources:
        groups[targets[np.argmax(unit[targets] @ unit[source])]].add(source)
    return [{i} for i in sorted(order[2 * remove :])] + list(groups.values())


@given(st.integers(2, 30), st.data())
@settings(max_examples=30, deadline=None)
def test_pitome_is_its_matching_written_out(patches: int, data: st.DataObject) -> None:
    remove = data.draw(st.integers(1, patches // 2))
    keys = np.random.default_rng(data.draw(st.integers(0, 999))).normal(size=(2, patches, 5)).astype(np.float32)
    found = pitome.energetic(torch.from_numpy(keys), remove, 0.45)
    for b in range(2):
        groups = pitome_groups(keys[b], remove, 0.45)
        assert [set(np.flatnonzero(found[b] == label)) for label in range(patches - remove)] == groups


def test_pitome_leaves_a_token_alone_that_is_like_no_other() -> None:
    keys = torch.tensor([[1.0, 0.0]]).repeat(9, 1) + 0.01 * torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    keys = torch.cat([keys, torch.tensor([[-1.0, 0.3]])])[None]
    labels = pitome.energetic(keys, 4, margin=0.5)
    assert int((labels == labels[0, 9]).sum()) == 1


def test_margins_fall_with_depth() -> None:
    assert stage("pitome-0.5", 20, 10).margin == pytest.approx(0.9 - 0.9 * 3 / 12)


def cost(x: torch.Tensor, weights: torch.Tensor, medoids: torch.Tensor) -> torch.Tensor:
    """sum_j w_j min_k |x_j - m_k|, for each image."""
    apart = torch.stack(
        [torch.cdist(image[None].double(), image[rows][None].double())[0] for image, rows in zip(x, medoids, strict=True)]
    )
    return (apart.amin(dim=2) * weights.double()).sum(dim=1)


@given(st.integers(1, 25), st.integers(1, 25), st.booleans(), st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_medoids_never_get_worse_and_are_the_best_of_their_clusters(n: int, count: int, alike: bool, seed: int) -> None:
    n, count = max(n, count), min(n, count)
    drawn = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 3, (2, n, 2), generator=drawn).float() if alike else torch.randn(2, n, 4, generator=drawn)
    weights = torch.rand(2, n, generator=drawn) + 0.01
    costs = []
    for iterations in range(6):
        medoids, labels = kmedoids.k_medoids(x, weights, count, iterations=iterations)
        costs.append(cost(x, weights, medoids))
        assert (labels.gather(1, medoids) == torch.arange(count)).all(), "a medoid belongs to itself"
    assert all((after <= before + 1e-4).all() for before, after in pairwise(costs))
    medoids, _ = kmedoids.k_medoids(x, weights, count, iterations=60)  # settled
    settled, labels = kmedoids.k_medoids(x, weights, count, iterations=61)
    if torch.equal(medoids, settled):
        for b in range(2):
            for k in range(count):
                members = (labels[b] == k).nonzero()[:, 0]
                costs_of = (torch.cdist(x[b, members], x[b, members]) * weights[b, members]).sum(dim=1)
                best = int((members == settled[b, k]).nonzero())
                assert costs_of[best] <= costs_of.min() + 1e-3


def test_medoids_start_from_the_attention_that_tokens_get() -> None:
    _, clues = tokens_and_clues(patches=20, prefix=2)
    torch.testing.assert_close(kmedoids.received(clues), clues.attention().sum(dim=(1, 2))[:, 2:])


def test_real_medoids_cost_less_than_the_published_ones() -> None:
    real, _ = kmedoids.k_medoids(TOKENS, RECEIVED, 49)
    published, _ = kmedoids.k_medoids(TOKENS, RECEIVED, 49, published=True)
    assert (cost(TOKENS, RECEIVED, real) < cost(TOKENS, RECEIVED, published)).all()
    start = kmedoids.farthest_first(TOKENS, 24, 172)
    odd = kmedoids.farthest_first(TOKENS, 24, 172, published=True)
    assert (cost(TOKENS, torch.ones(2, 196), start) < cost(TOKENS, torch.ones(2, 196), odd)).all()


def test_density_peaks_of_equal_tokens_are_the_lowest_ones() -> None:
    x = torch.tensor([0.0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9]).reshape(1, 12, 1)
    centres, labels = dpcknn.density_peaks(x, 2)
    assert centres.tolist() == [[0, 6]] and labels.tolist() == [[0] * 6 + [1] * 6]
    assert dpcknn.density_peaks(torch.zeros(1, 9, 2), 3)[0].tolist() == [[0, 1, 2]]


def test_scores_weigh_what_density_peaks_average() -> None:
    tokens, _ = tokens_and_clues(patches=20)
    made = stage("dpcknn-0.5", 20, 6)
    with torch.no_grad():
        made.score.weight.normal_()
    after, labels = made(tokens, None).tokens, made(tokens, None).assignment
    for b in range(2):
        for k in range(6):
            rows = tokens.x[b, 1:][labels[b] == k].detach()
            weights = torch.exp(rows @ made.score.weight[0].detach() + made.score.bias.detach())
            torch.testing.assert_close(after.x[b, 1 + k].detach(), (rows * weights[:, None]).sum(0) / weights.sum())


def test_slimming_is_a_softmax_over_tokens() -> None:
    torch.manual_seed(0)
    x, made = torch.randn(2, 20, 12), Slimming(12, 5)
    made.scale.data.fill_(0.7)
    _, hidden, gelu, last = made.weight
    logits = last(gelu(hidden(layer_norm(x, (12,))))) * 0.7
    shares = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
    torch.testing.assert_close(made(x)[0], torch.einsum("bnk,bnc->bkc", shares, x))


def test_a_patch_merger_attends_without_a_scale_to_normalised_tokens() -> None:
    torch.manual_seed(0)
    x, made = torch.randn(2, 20, 12), Merger(12, 5)
    made.norm.weight.data.normal_()
    made.norm.bias.data.normal_()
    unit = layer_norm(x, (12,)) * made.norm.weight + made.norm.bias
    shares = torch.einsum("kc,bnc->bkn", made.queries, unit).softmax(dim=2)
    torch.testing.assert_close(made(x)[0], shares @ unit)


def test_transport_is_sinkhorns_scaling() -> None:
    scores = torch.rand(1, 4, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    kernel, rows, columns = scores[0].exp(), torch.ones(4, 1, dtype=torch.float64), torch.ones(1, 10, dtype=torch.float64)
    for _ in range(3):
        rows = (1 / 14) / (kernel * columns).sum(dim=1, keepdim=True)
        columns = (1 / 14) / (kernel * rows).sum(dim=0, keepdim=True)
    shares = sinkhorn.transport(scores)
    torch.testing.assert_close(shares[0].double(), kernel * rows * columns * 14, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(1, 10))


@pytest.mark.parametrize("method", SOFT)
def test_centres_and_queries_learn(method: str) -> None:
    for spec in (f"{method}-0.5", f"{method}-0.5!published"):
        made = stage(spec, 20, 5).train()
        made(tokens_and_clues()[0], None).tokens.x[:, 1:].pow(2).sum().backward()
        assert all(weights.grad is not None and weights.grad.abs().max() > 0 for weights in made.parameters())


@pytest.mark.parametrize("method", ["sit", "patchmerger"])
def test_mixtures_begin_with_their_share_of_the_tokens(method: str) -> None:
    torch.manual_seed(0)
    patches, keep, width = 196, 49, 192
    x = torch.randn(1, patches, width)
    kind = Slimming if method == "sit" else Merger

    def spread(published: bool) -> float:
        """exp of the entropy of a mixture's shares: 196 where all tokens give alike, 1 where one gives all."""
        return float(torch.special.entr(kind(width, keep, published=published)(x)[1].detach()).sum(dim=2).exp().mean())

    assert patches / keep < spread(False) < 6 * patches / keep
    assert spread(True) > 150 if method == "sit" else spread(True) < 2


def test_published_sinkhorn_makes_its_centres_unit_while_it_trains() -> None:
    made = stage("sinkhorn-0.5!published", 20, 5)
    made.transport.centres.data *= 3
    made.eval()(tokens_and_clues()[0], None)
    assert made.transport.centres.norm(dim=1).min() > 2
    made.train()(tokens_and_clues()[0], None)
    torch.testing.assert_close(made.transport.centres.norm(dim=1), torch.ones(5))


# ---------------------------------------------------------------------- what all have in common


@pytest.mark.parametrize("method", HARD)
@given(st.data())
@settings(max_examples=15, deadline=None)
def test_every_patch_has_a_token_and_sizes_are_of_all_patches(method: str, data: st.DataObject) -> None:
    patches, prefix = data.draw(st.integers(2, 30)), data.draw(st.integers(0, 5))
    keep = data.draw(st.integers(1, patches - 1))
    tokens, clues = tokens_and_clues(2, patches, prefix, seed=data.draw(st.integers(0, 99)), sizes=data.draw(st.booleans()))
    step = stage(f"{method}-0.5", patches, keep)(tokens, clues)
    after, labels, before = step.tokens, step.assignment, tokens.sizes()
    assert after.x.shape == (2, prefix + keep, WIDTH) and torch.equal(after.x[:, :prefix], tokens.x[:, :prefix])
    assert all(set(row.tolist()) == set(range(keep)) for row in labels)
    assert torch.equal(after.size[:, prefix:].sum(dim=1), before[:, prefix:].sum(dim=1))
    assert torch.equal(after.size[:, :prefix], before[:, :prefix])
    for b in range(2):
        for k in range(keep):
            rows, weights = tokens.x[b, prefix:][labels[b] == k], before[b, prefix:][labels[b] == k]
            assert after.size[b, prefix + k] == weights.sum()
            found = after.x[b, prefix + k]
            if method == "kmedoids":
                assert (rows == found).all(dim=1).any()
            else:
                weights = torch.ones_like(weights) if method == "dpcknn" else weights
                torch.testing.assert_close(found, (rows * weights[:, None]).sum(0) / weights.sum(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", HARD + SOFT)
def test_an_image_is_reduced_alike_whatever_is_beside_it(method: str) -> None:
    for spec in (f"{method}-0.5", f"{method}-0.5!published"):
        tokens, clues = tokens_and_clues(3, 25, prefix=2, sizes=True)
        made = stage(spec, 25, 7)
        together = made(tokens, clues)
        for b in range(3):
            parts = (part[b : b + 1] for part in (clues.queries, clues.keys, clues.values))
            one = Clues(*parts, clues.scale, 2, size=tokens.size[b : b + 1])
            alone = made(Tokens(tokens.x[b : b + 1], 2, tokens.size[b : b + 1]), one)
            torch.testing.assert_close(alone.tokens.x[0], together.tokens.x[b], atol=1e-5, rtol=1e-5)
            assert torch.equal(alone.assignment[0], together.assignment[b])


@pytest.mark.parametrize("method", HARD + SOFT)
@pytest.mark.parametrize("keep", [20, 30])
def test_as_many_tokens_as_there_are_stay_as_they_are(method: str, keep: int) -> None:
    tokens, clues = tokens_and_clues(patches=20)
    step = stage(f"{method}-1", 20, keep)(tokens, clues)
    assert step.tokens is tokens and step.assignment is None


@pytest.mark.parametrize("method", HARD + SOFT)
def test_nothing_to_reduce_and_tokens_all_alike_are_no_trouble(method: str) -> None:
    tokens, clues = tokens_and_clues(patches=20)
    none = Clues(*(part[:0] for part in (clues.queries, clues.keys, clues.values)), clues.scale, 1)
    made = stage(f"{method}-0.5", 20, 6)
    assert made(Tokens(tokens.x[:0], 1), none).tokens.x.shape == (0, 7, WIDTH)
    alike = Clues(*(torch.zeros_like(part) for part in (clues.queries, clues.keys, clues.values)), clues.scale, 1)
    step = made(Tokens(torch.ones_like(tokens.x), 1), alike)
    assert step.tokens.x.isfinite().all()
    if method in HARD:
        assert all(set(row.tolist()) == set(range(6)) for row in step.assignment)
        torch.testing.assert_close(step.tokens.x, torch.ones(2, 7, WIDTH))


@pytest.mark.parametrize("method", SOFT)
def test_a_mixture_counts_a_token_where_it_gives_most(method: str) -> None:
    tokens, _ = tokens_and_clues(patches=20, prefix=3)
    made = stage(f"{method}-0.5", 20, 6)
    step = made(tokens, None)
    (inner,) = made.children()
    assert torch.equal(step.assignment, inner(tokens.x[:, 3:])[1].argmax(dim=1))
    assert step.tokens.x.shape == (2, 9, WIDTH) and step.tokens.size is None


@pytest.mark.parametrize("method", HARD + SOFT)
def test_gradients_reach_every_token_that_is_left_in_something(method: str) -> None:
    tokens, clues = tokens_and_clues(patches=20)
    tokens.x.requires_grad_()
    step = stage(f"{method}-0.5", 20, 6)(tokens, clues)
    step.tokens.x.pow(2).sum().backward()
    reached = tokens.x.grad.abs().sum(dim=2) > 0
    assert reached[:, 0].all() and (reached.sum(dim=1) == (7 if method == "kmedoids" else 21)).all()


@pytest.mark.parametrize("method", HARD + SOFT)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_and_is_finite(method: str, dtype: torch.dtype) -> None:
    tokens, clues = tokens_and_clues(patches=60, sizes=True)
    half = Clues(*(part.to(dtype) for part in (clues.queries, clues.keys, clues.values)), clues.scale, 1, size=tokens.size)
    step = stage(f"{method}-0.5", 60, 6).to(dtype)(Tokens(tokens.x.to(dtype), 1, tokens.size), half)
    assert step.tokens.x.dtype == dtype and step.tokens.x.isfinite().all()
    # the largest norms that float16 holds, averaged over many tokens
    large = Tokens(torch.full_like(tokens.x, 3e4).to(dtype), 1, tokens.size)
    assert stage(f"{method}-0.5", 60, 6).to(dtype)(large, half).tokens.x.isfinite().all()


@pytest.mark.parametrize("method", HARD)
def test_clusters_are_the_same_under_autocast(method: str) -> None:
    tokens, clues = tokens_and_clues(4, 60)
    made = stage(f"{method}-0.5", 60, 6)
    plain = made(tokens, clues).assignment
    with torch.autocast("cpu", dtype=torch.bfloat16):
        again = made(tokens, clues).assignment
    if method == "kmedoids":  # its weights are attention, which the network computes in what it computes in
        assert (plain == again).float().mean() > 0.5
    else:
        assert torch.equal(plain, again)


@pytest.mark.parametrize("method", ["tome", "pitome", "dpcknn", *SOFT])
def test_a_stage_can_be_traced(method: str) -> None:
    """As OpenVINO takes a network apart: one graph for every batch of images of one shape."""
    made = stage(f"{method}-0.5", 20, 6).requires_grad_(False)

    def run(x: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        return made(Tokens(x, 1), Clues(keys, keys, keys, 0.5, 1)).tokens.x

    def inputs(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        tokens, clues = tokens_and_clues(2, 20, seed=seed)
        return tokens.x, clues.keys

    with torch.no_grad():
        graph = torch.jit.trace(run, inputs(0), check_trace=False)
        torch.testing.assert_close(graph(*inputs(1)), run(*inputs(1)))


def test_as_published_one_matching_takes_half_of_the_tokens_at_most() -> None:
    tokens, clues = tokens_and_clues(patches=21)
    for method in ("tome", "pitome"):
        assert stage(f"{method}-0.25", 21, 5)(tokens, clues).tokens.patches == 5
        assert stage(f"{method}-0.25!published", 21, 5)(tokens, clues).tokens.patches == 11
        few, published = (stage(spec, 21, 15)(tokens, clues) for spec in (f"{method}-0.7", f"{method}-0.7!published"))
        assert torch.equal(few.tokens.x, published.tokens.x)


def test_attention_is_proportional_where_it_should_be() -> None:
    proportional = {method for method in HARD + SOFT if stage(f"{method}-0.5", 20, 6).proportional}
    assert proportional == {"tome", "pitome", "atc"}
    assert not stage("pitome-0.5!published", 20, 6).proportional


@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_sums_by_label(n: int, count: int, seed: int) -> None:
    drawn = np.random.default_rng(seed)
    values, labels = drawn.normal(size=(2, n, 3)), drawn.integers(0, count, (2, n))
    found = sums_by_label(torch.from_numpy(values), torch.from_numpy(labels), count)
    for b in range(2):
        for k in range(count):
            np.testing.assert_allclose(found[b, k], values[b][labels[b] == k].sum(axis=0))


def test_distances_keep_their_digits_far_from_the_origin() -> None:
    x = torch.randn(2, 30, 8, generator=torch.Generator().manual_seed(0))
    exact = torch.cdist(x.double(), x.double())
    torch.testing.assert_close(euclidean(x + 100).double(), exact, atol=1e-3, rtol=0)
    assert (euclidean(x).diagonal(dim1=1, dim2=2) == 0).all()


# ---------------------------------------------------------------------- in networks


@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_every_kind_are_merged(kind: str) -> None:
    images = pictures(3)
    with torch.inference_mode():
        dense = small_vit(kind)(images)
        for method in HARD + SOFT:
            assert torch.equal(ReducedVit(small_vit(kind), Reduction.parse(f"{method}-1"), SIZE)(images), dense)
            network = ReducedVit(small_vit(kind), Reduction.parse(f"{method}-0.5"), SIZE)
            features, trace = network.trace(images)
            assert features.isfinite().all() and features.shape == dense.shape
            assert [stage.size.shape[1] for stage in trace.stages] == [32, 16, 8]
            if method in HARD:
                assert all((stage.size.sum(dim=1) == PATCHES).all() for stage in trace.stages)
                assert torch.equal(trace.source.amax(dim=1), torch.full((3,), 7))
            torch.testing.assert_close(network(images[1:2]), features[1:2], atol=1e-5, rtol=1e-4)


def test_the_published_clustering_keeps_one_token_more_in_each_block() -> None:
    for spec, counts in (("atc-r5", [59, 54, 49, 44]), ("atc-r5!published", [60, 56, 52, 48])):
        with torch.inference_mode():
            _, trace = ReducedVit(small_vit(), Reduction.parse(spec), SIZE).trace(pictures(2))
        assert [stage.size.shape[1] for stage in trace.stages] == counts


@pytest.mark.parametrize("method", HARD + SOFT)
def test_a_reduced_network_learns(method: str) -> None:
    network = ReducedVit(small_vit(), Reduction.parse(f"{method}-0.5"), SIZE).train()
    network(pictures(2)).pow(2).sum().backward()
    assert all(weights.grad is not None and weights.grad.isfinite().all() for weights in network.parameters())
