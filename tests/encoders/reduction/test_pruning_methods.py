"""Methods that choose among tokens: what the public code gives (golden/pruning.npz), and what must hold on any network."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from biocosmos.encoders.reduction.ats import AdaptiveSampling, sample_points, sampled, significance
from biocosmos.encoders.reduction.dynamicvit import DynamicVitLoss, KeepPredictor, drawn
from biocosmos.encoders.reduction.evit import EViT, fused
from biocosmos.encoders.reduction.methods import reducer_class
from biocosmos.encoders.reduction.network import ReducedVit, network_of
from biocosmos.encoders.reduction.policy import attention_under_policy
from biocosmos.encoders.reduction.radial import distances, inwards, whole_rings
from biocosmos.encoders.reduction.selection import largest
from biocosmos.encoders.reduction.spec import Reduction
from biocosmos.encoders.reduction.tokens import Clues, StageShape, Step, Tokens
from biocosmos.encoders.reduction.topk import TopK, attention_of_class
from biocosmos.errors import BiocosmosError

GOLDEN = np.load(Path(__file__).parent / "golden" / "pruning.npz")
SMALL = {"img_size": 32, "patch_size": 4, "embed_dim": 24, "depth": 4, "num_heads": 3, "num_classes": 0}
PRUNING = [
    *("topk-0.5", "topk-0.5!published", "evit-0.5", "evit-0.5!published", "dynamicvit-0.5", "ats-0.5", "ats-0.5!published"),
    *("radial-0.5", "radial.l1-0.5!published", "radial.linf-0.5"),
]


def golden(name: str) -> torch.Tensor:
    values = torch.from_numpy(GOLDEN[name])
    return values.long() if values.dtype == torch.int16 else values


def golden_clues() -> Clues:
    return Clues(golden("queries"), golden("keys"), golden("values"), 16**-0.5, 1)


def shape_of(keep: int, before: int = 196, grid: tuple[int, int] = (14, 14), stage: int = 0) -> StageShape:
    return StageShape(48, 3, grid, before, keep, stage, 3)


def published(method: str) -> Reduction:
    return Reduction.parse(f"{method}-0.5!published")


# ---------------------------------------------------------------------- what the public code gives


def test_attention_of_class_is_the_published() -> None:
    torch.testing.assert_close(attention_of_class(golden_clues()), golden("cls_attn"), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("keep", [49, 98, 137, 176])
def test_topk_and_evit_are_the_published(keep: int) -> None:
    tokens, clues = Tokens(golden("tokens"), 1), golden_clues()
    chosen = golden(f"topk{keep}_idx")
    step = TopK(shape_of(keep), published("topk"))(tokens, clues)
    assert torch.equal(step.tokens.x[:, 1:], tokens.x[:, 1:][:, chosen[0]])
    step = EViT(shape_of(keep), published("evit"))(tokens, clues)
    assert torch.equal(step.tokens.x[:, 1:-1], tokens.x[:, 1:][:, chosen[0]])
    torch.testing.assert_close(step.tokens.x[:, -1], golden(f"evit{keep}_fused"), atol=1e-6, rtol=1e-5)
    assert step.assignment is not None
    assert torch.equal((step.assignment[0] == keep).nonzero()[:, 0], golden(f"evit{keep}_compl")[0])


@pytest.mark.parametrize("samples", [50, 99, 138, 177])  # of the public code: one more than tokens it may keep
def test_adaptive_sampling_is_the_published(samples: int) -> None:
    points = sample_points(samples - 1, published=True)
    torch.testing.assert_close(points, golden(f"ats{samples}_steps"), atol=1e-6, rtol=1e-5)
    want = golden(f"ats{samples}_ids")[0][golden(f"ats{samples}_mask")[0]]
    hit = sampled(significance(golden_clues()), points)
    assert torch.equal(hit[0].nonzero()[:, 0] + 1, want[1:])
    step = AdaptiveSampling(shape_of(samples - 1), published("ats"))(Tokens(golden("tokens"), 1), golden_clues())
    assert torch.equal(step.tokens.x, golden("tokens")[:, want])


def test_attention_under_a_policy_is_the_published() -> None:
    want = golden("dyvit_policy_softmax")  # (heads, the first 3 rows, 197)
    policy = (want[0, :1] > 1e-8).float()
    queries = torch.zeros(1, 3, 197, 16)
    queries[:, :, :3] = golden("queries")
    identity = torch.eye(197).expand(1, 3, -1, -1)
    rows = attention_under_policy(queries, golden("keys"), identity, 16**-0.5, policy)[0, :, :3]
    torch.testing.assert_close(rows, want, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("norm", "counts"), [("l1", [92, 40, 24]), ("l2", [96, 52, 24]), ("linf", [100, 36, 16])])
def test_whole_rings_are_as_many_as_published(norm: str, counts: list[int]) -> None:
    assert [whole_rings((14, 14), norm, count) for count in (98, 49, 24)] == counts


# ---------------------------------------------------------------------- the functions


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_the_largest_are_kept_and_of_equals_the_first(data: st.DataObject) -> None:
    scores = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=20))
    count = data.draw(st.integers(1, len(scores)))
    best = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:count]
    row = torch.tensor([scores], dtype=torch.float32)
    assert largest(row, count, by_score=True)[0].tolist() == best
    assert largest(row, count)[0].tolist() == sorted(best)


@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from(["l1", "l2", "linf"]))
@settings(max_examples=60, deadline=None)
def test_distances_from_the_centre_are_those_of_any_grid(rows: int, columns: int, norm: str) -> None:
    def far(y: float, x: float) -> float:
        return {"l1": abs(y) + abs(x), "l2": y * y + x * x, "linf": max(abs(y), abs(x))}[norm]

    want = [far(2 * i - (rows - 1), 2 * j - (columns - 1)) for i in range(rows) for j in range(columns)]
    assert distances((rows, columns), norm).tolist() == want
    assert [want[i] for i in inwards((rows, columns), norm).tolist()] == sorted(want)


@given(st.integers(1, 40), st.integers(2, 40), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_samples_fall_on_the_nearest_of_the_cumulated_scores(count: int, tokens: int, seed: int) -> None:
    scores = torch.rand(1, tokens, generator=torch.Generator().manual_seed(seed))
    scores = scores / scores.sum()
    points, cumulated = sample_points(count), scores[0].cumsum(0)
    want = {min(range(tokens), key=lambda j: (abs(float(cumulated[j] - point)), j)) for point in points}
    hit = sampled(scores, points)
    assert {int(i) for i in hit[0].nonzero()} == want and len(want) <= count


def test_only_the_published_code_samples_few_tokens_again_in_a_network() -> None:
    few = Tokens(torch.randn(2, 1 + 40, 48), 1)
    for how, idle in ((published("ats"), False), (Reduction("ats", keep=(0.5,)), True)):
        assert AdaptiveSampling(shape_of(49, before=98, stage=1), how).idle(few) is idle


def test_sample_points_are_even_and_the_published_lose_the_last() -> None:
    torch.testing.assert_close(sample_points(4), torch.tensor([1, 3, 5, 7]) / 8)
    torch.testing.assert_close(sample_points(4, published=True), torch.tensor([1, 3, 5, 7]) / 10)


def test_the_fused_token_is_the_weighted_mean_of_the_dropped() -> None:
    x, weights = torch.randn(3, 7, 5), torch.rand(3, 7)
    mean = torch.stack([sum(w * v for w, v in zip(weights[b], x[b], strict=True)) / weights[b].sum() for b in range(3)])
    torch.testing.assert_close(fused(x, weights)[:, 0], mean)
    assert torch.equal(fused(x, torch.zeros(3, 7)), torch.zeros(3, 1, 5))


def test_a_predictor_without_any_token_left_has_no_nan() -> None:
    predictor, x = KeepPredictor(8), torch.randn(2, 5, 8)
    assert predictor(x, torch.zeros(2, 5)).isfinite().all()
    torch.testing.assert_close(predictor(x, torch.ones(2, 5)), predictor(x))
    mixed = torch.tensor([[1.0, 1, 0, 1, 0], [0, 0, 1, 0, 0]])
    changed = x.clone()
    changed[mixed == 0] = 7.0  # what was dropped says nothing about the others
    torch.testing.assert_close(predictor(x, mixed)[mixed == 1], predictor(changed, mixed)[mixed == 1])


def test_attention_under_a_policy_is_attention_among_the_kept_and_its_gradient_reaches_the_dropped() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 2, 6, 4, dtype=torch.float64) for _ in range(3))
    policy = torch.tensor([[1.0, 0, 1, 1, 0, 1], [1, 1, 1, 0, 0, 0]], dtype=torch.float64, requires_grad=True)

    def written_out(policy: torch.Tensor) -> torch.Tensor:
        allowed = policy[:, None, None] * (1 - torch.eye(6)) + torch.eye(6)
        weights = (q @ k.transpose(-1, -2) * 0.5).exp() * allowed
        return weights / weights.sum(-1, keepdim=True) @ v

    ours = attention_under_policy(q, k, v, 0.5, policy)
    torch.testing.assert_close(ours, written_out(policy), atol=1e-4, rtol=1e-4)
    change = torch.randn_like(ours)
    (mine,) = torch.autograd.grad((ours * change).sum(), policy)
    (theirs,) = torch.autograd.grad((written_out(policy) * change).sum(), policy)
    torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-3)
    assert (theirs[policy == 0] != 0).all()


def test_the_loss_of_dynamicvit_is_its_three_parts() -> None:
    torch.manual_seed(0)
    decisions = [torch.randint(0, 2, (3, 8)).float() for _ in range(2)]
    scores, teacher = torch.randn(3, 5), torch.randn(3, 5)
    x, t = torch.randn(3, 8, 6), torch.randn(3, 8, 6)

    def kl(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
        p, q = theirs.softmax(-1), ours.softmax(-1)
        return (p * (p / q).log()).sum(-1)

    ratio = sum(((d.mean(1) - r) ** 2).mean() for d, r in zip(decisions, (0.7, 0.49), strict=True)) / 2
    last = decisions[-1] > 0.5
    loss = DynamicVitLoss()
    torch.testing.assert_close(loss(decisions, [0.7, 0.49]), 2.0 * ratio)
    want = 2.0 * ratio + 0.5 * kl(scores, teacher).mean() + 0.5 * kl(x[last], t[last]).mean()
    torch.testing.assert_close(loss(decisions, [0.7, 0.49], logits=(scores, teacher), features=(x, t)), want)
    want = 0.5 * (x[last] - t[last]).square().mean()
    squares = DynamicVitLoss(ratio=0, compared="mse")(decisions, [0.7, 0.49], features=(x, t))
    torch.testing.assert_close(squares, want)


# ---------------------------------------------------------------------- one stage


@pytest.mark.parametrize("spec", PRUNING)
@pytest.mark.parametrize("prefix", [0, 1, 3])
def test_a_stage_says_where_each_token_went(spec: str, prefix: int) -> None:
    step, tokens = one_stage(spec, prefix, 10)
    assert step.assignment is not None
    patches, after = tokens.x[:, prefix:], step.tokens.x[:, prefix:]
    assert torch.equal(step.tokens.x[:, :prefix], tokens.x[:, :prefix])
    for image in range(len(patches)):
        for token, place in enumerate(step.assignment[image].tolist()):
            if place >= 0 and not (spec.startswith("evit") and place == 10):
                assert torch.equal(patches[image, token], after[image, place])
        found = set(step.assignment[image].tolist()) - {-1}
        there = after.shape[1] if step.tokens.mask is None else int(step.tokens.mask[image, prefix:].sum())
        assert found == set(range(there))


@pytest.mark.parametrize("spec", ["topk-0.5", "evit-0.5", "ats-0.5", "dynamicvit-0.5"])
def test_a_stage_computes_in_bfloat16(spec: str) -> None:
    step, _ = one_stage(spec, 1, 10, torch.bfloat16)
    assert step.tokens.x.dtype == torch.bfloat16 and step.tokens.x.isfinite().all()


@pytest.mark.parametrize("spec", PRUNING)
def test_no_more_tokens_than_are_kept_stay_as_they_are(spec: str) -> None:
    step, tokens = one_stage(spec, 1, 25)
    assert step.assignment is None and step.tokens is tokens


def test_a_radial_stage_refuses_other_patches_in_one_line() -> None:
    stage = reducer_class("radial")(shape_of(10, 25, (5, 5)), Reduction.parse("radial-0.5"))
    with pytest.raises(BiocosmosError, match="finds 12") as error:
        stage(Tokens(torch.zeros(1, 13, 48), 1), None)
    assert "\n" not in str(error.value)


def one_stage(spec: str, prefix: int, keep: int, dtype: torch.dtype = torch.float32) -> tuple[Step, Tokens]:
    torch.manual_seed(1)
    reduction = Reduction.parse(spec)
    stage = reducer_class(reduction.method)(shape_of(keep, 25, (5, 5)), reduction).to(dtype).eval()
    x = torch.randn(4, prefix + 25, 48, dtype=dtype)
    q, k, v = (3 * torch.randn(4, 3, prefix + 25, 16, dtype=dtype) for _ in range(3))
    tokens = Tokens(x, prefix)
    return stage(tokens, Clues(q, k, v, 0.25, prefix, has_class=prefix > 0)), tokens


# ---------------------------------------------------------------------- whole networks


def with_class() -> nn.Module:
    return VisionTransformer(**SMALL)


def with_registers() -> nn.Module:
    return VisionTransformer(**SMALL, reg_tokens=3)


def without_class() -> nn.Module:
    return VisionTransformer(**SMALL, class_token=False, global_pool="avg")


def pooled_by_attention() -> nn.Module:
    return VisionTransformer(**SMALL, class_token=False, global_pool="map")


def distilled() -> nn.Module:
    return VisionTransformerDistilled(**SMALL)


def of_open_clip() -> nn.Module:
    return open_clip.transformer.VisionTransformer(
        image_size=32, patch_size=4, width=24, layers=4, heads=3, mlp_ratio=2.0, output_dim=16
    )


NETWORKS = [with_class, with_registers, without_class, pooled_by_attention, distilled, of_open_clip]


def network(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """With weights large enough for attention to differ between tokens."""
    torch.manual_seed(seed)
    made = make()
    for weights in made.parameters():
        if weights.dim() > 1:
            nn.init.normal_(weights, std=0.15)
    return made.eval()


def images(count: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("make", NETWORKS)
@pytest.mark.parametrize("method", ["topk", "evit", "dynamicvit", "ats", "radial"])
def test_with_all_tokens_kept_it_is_the_densenetwork_of(make: Callable[[], nn.Module], method: str) -> None:
    dense = network(make)
    for training in (False, True):
        tower = ReducedVit(dense, Reduction.parse(f"{method}-1"), 32).train(training)
        torch.testing.assert_close(tower(images(2)), dense(images(2)), atol=1e-6, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("make", NETWORKS)
@pytest.mark.parametrize("spec", PRUNING)
def test_a_batch_is_as_its_images_one_by_one(make: Callable[[], nn.Module], spec: str) -> None:
    tower = ReducedVit(network(make), Reduction.parse(spec), 32).eval()
    batch = images(5)
    batch[1] = 0.3  # nothing to see: every token alike
    batch[2, :, :, :16] = 0.0
    alone = torch.cat([tower(image[None]) for image in batch])
    torch.testing.assert_close(tower(batch), alone, atol=2e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("make", NETWORKS)
@pytest.mark.parametrize("spec", PRUNING)
def test_patches_are_traced_to_the_tokens_that_are_left(make: Callable[[], nn.Module], spec: str) -> None:
    reduction = Reduction.parse(spec)
    _, trace = ReducedVit(network(make), reduction, 32).eval().trace(images(3))
    assert [stage.block for stage in trace.stages] == [1, 2, 3]
    counts = list(reduction.counts(64, 4).values())
    for stage, count in zip(trace.stages, counts, strict=True):
        left = [len(set(row.tolist()) - {-1}) for row in stage.source]
        exact = count + reduction.method.startswith("evit")
        if reduction.method == "ats":
            assert all(1 <= each <= count for each in left) and left == stage.mask.sum(dim=1).tolist()
        elif not reduction.published or reduction.method != "radial":
            assert (stage.source >= -1).all() and stage.mask.all()
            assert all(each <= exact for each in left) and stage.mask.shape[1] == exact
            assert reduction.method == "evit" or left == [exact] * 3  # a fused token may be dropped, its patches with it


@pytest.mark.parametrize("make", NETWORKS)
@pytest.mark.parametrize("spec", ["topk-0.5", "evit-0.5", "dynamicvit-0.5", "ats-0.5", "radial-0.5"])
def test_gradients_flow_to_all_weights(make: Callable[[], nn.Module], spec: str) -> None:
    tower: Any = ReducedVit(network(make), Reduction.parse(spec), 32).train()
    torch.manual_seed(0)
    tower(images(4)).square().sum().backward()
    for name, weights in tower.named_parameters():
        if "norm.bias" in name and "predictor" not in name:
            continue
        assert weights.grad is not None and weights.grad.isfinite().all(), name
        if "predictor" in name and name.endswith("weight"):
            assert weights.grad.abs().sum() > 0, name  # through attention alone: no loss of its own was added


@pytest.mark.parametrize("spec", ["topk-0.5", "evit-0.5", "dynamicvit-0.5", "ats-0.5", "radial-0.5"])
def test_half_precision_trains(spec: str) -> None:
    tower: Any = ReducedVit(network(with_class), Reduction.parse(spec), 32).train()
    with torch.autocast("cpu", torch.bfloat16):
        features = tower(images(3))
    features.float().square().sum().backward()
    assert all(weights.grad is None or weights.grad.isfinite().all() for weights in tower.parameters())
    assert tower.to(torch.bfloat16).eval()(images(3).bfloat16()).isfinite().all()


def test_dynamicvit_learns_how_many_to_keep() -> None:
    tower: Any = ReducedVit(network(with_class), Reduction.parse("dynamicvit-0.5"), 32).train()
    loss, optimizer = DynamicVitLoss(), torch.optim.Adam(tower.steps.parameters(), lr=0.01)
    torch.manual_seed(0)
    for _ in range(40):
        tower(images(8))
        decisions, shares = drawn(tower)
        value = loss(decisions, shares)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    assert shares == [0.5, 0.25, 0.125] and [tuple(each.shape) for each in decisions] == [(8, 64)] * 3
    assert (decisions[1] <= decisions[0]).all() and (decisions[2] <= decisions[1]).all()
    kept = [float(each.detach().mean()) for each in decisions]
    assert kept == pytest.approx(shares, abs=0.12)
    assert drawn(tower).decisions == []
    tower(images(2))
    copy.deepcopy(tower)  # as trainers do to keep the best weights: what was drawn does not come along


@pytest.mark.parametrize("make", [without_class, pooled_by_attention])
def test_pooling_counts_only_tokens_that_are_not_dropped(make: Callable[[], nn.Module]) -> None:
    dense = network(make)
    tower = ReducedVit(dense, Reduction.parse("dynamicvit-0.5"), 32)
    x, policy = torch.randn(2, 64, 24), (torch.arange(64) % 3 > 0).float().expand(2, -1)
    pooled = network_of(tower.dense).pooled(Tokens(x, 0, policy=policy))
    only = network_of(tower.dense).pooled(Tokens(x[:, policy[0] > 0], 0))
    torch.testing.assert_close(pooled, only, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_radial_reduction_is_the_published_mask_over_attention() -> None:
    dense, reduction = network(with_class), Reduction.parse("radial.l2-0.5!published")
    want = ReducedVit(dense, reduction, 32)(images(2))
    x = dense._pos_embed(dense.patch_embed(images(2)))
    far, there = distances((8, 8), "l2", published=True), torch.ones(64, dtype=torch.bool)
    for number, block in enumerate(dense.blocks):
        if count := reduction.counts(64, 4).get(number):
            there = far <= far.sort().values[whole_rings((8, 8), "l2", count) - 1]
        mask = torch.cat([torch.ones(1, dtype=torch.bool), there])
        x = block(x, attn_mask=torch.where(mask, 0.0, -torch.inf).expand(2, 1, 65, 65))
    torch.testing.assert_close(want, dense.forward_head(dense.norm(x)), atol=1e-5, rtol=1e-5)


# ---------------------------------------------------------------------- other runtimes


@pytest.mark.parametrize("make", [with_class, without_class])
@pytest.mark.parametrize("spec", ["topk-0.5", "evit-0.5", "dynamicvit-0.5", "ats-0.5", "radial-0.5"])
def test_an_exported_network_takes_batches_of_any_number(make: Callable[[], nn.Module], spec: str) -> None:
    tower = ReducedVit(network(make), Reduction.parse(spec), 32).eval()
    count = torch.export.Dim("count", min=1, max=64)
    with torch.no_grad():
        exported = torch.export.export(tower, (images(3),), dynamic_shapes={"images": {0: count}}, strict=False).module()
        for number in (1, 5):
            torch.testing.assert_close(exported(images(number)), tower(images(number)), atol=1e-5, rtol=1e-5)


@pytest.mark.skipif("ONEDNN_MAX_CPU_ISA" in os.environ, reason="held back so, OpenVINO crashes in a transformer's softmax")
@pytest.mark.parametrize(("make", "spec"), [(with_class, "dynamicvit-0.5"), (without_class, "evit-0.5")])  # ats is refused there
@pytest.mark.filterwarnings("ignore")  # the tracer's, of shapes that it takes for constants
def test_openvino_computes_the_same(make: Callable[[], nn.Module], spec: str) -> None:
    openvino = pytest.importorskip("openvino")
    tower, batch = ReducedVit(network(make), Reduction.parse(spec), 32).eval(), images(3)
    with torch.inference_mode():
        model = openvino.convert_model(tower, example_input=batch, input=[tuple(batch.shape)])
        found = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})(
            batch.numpy()
        )
        torch.testing.assert_close(torch.from_numpy(found[0]), tower(batch), atol=1e-5, rtol=1e-4)
