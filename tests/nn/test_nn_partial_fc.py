"""Partial FC and MLCD in one process, against a dense softmax written out."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biocosmos.errors import BiocosmosError
from biocosmos.nn.cosines import centre_cosines
from biocosmos.nn.distributed import class_shard
from biocosmos.nn.margins import CombinedMargin
from biocosmos.nn.mlcd import MultiLabelPartialFC
from biocosmos.nn.partial_fc import PartialFC
from biocosmos.nn.sampling import sample_with
from dense_softmax import dense_cosines, dense_margin_softmax, dense_mlcd

DIM, CLASSES, BATCH = 12, 40, 6


def batch(positives: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (BATCH,) if positives is None else (BATCH, positives)
    embeddings = torch.randn(BATCH, DIM, generator=generator, dtype=torch.float64)
    return embeddings.requires_grad_(), torch.randint(CLASSES, shape, generator=generator)


def chosen_features(loss: PartialFC) -> torch.Tensor | None:
    """Seen from outside: the columns of the centres that got a gradient."""
    assert loss.weight.grad is not None
    return None if loss.features is None else loss.weight.grad.to_dense().abs().sum(0).nonzero().squeeze(1)


@pytest.mark.parametrize("sub_centres", [1, 3])
@pytest.mark.parametrize("features", [None, 5])
@pytest.mark.parametrize("rate", [1.0, 0.8, 0.3, 0.01])
@pytest.mark.parametrize("kind", [PartialFC, MultiLabelPartialFC])
def test_loss_and_gradients_equal_a_dense_softmax_over_the_sampled_classes(
    kind: type[PartialFC], rate: float, features: int | None, sub_centres: int
) -> None:
    several = {"positives": 3} if kind is MultiLabelPartialFC else {}
    loss = kind(DIM, CLASSES, sample_rate=rate, features=features, sub_centres=sub_centres, **several).double()  # type: ignore[arg-type]
    embeddings, labels = batch(**several)
    with torch.no_grad():
        if several:
            labels[0, 1] = labels[0, 0]  # a repeated positive counts once
    value = loss(embeddings, labels)
    value.backward()

    sampled = loss.sampled
    assert sampled is not None and set(labels.flatten().tolist()) <= set(sampled.tolist())
    assert len(sampled) == max(int(rate * CLASSES), len(labels.unique()))
    chosen = chosen_features(loss)
    assert chosen is None or len(chosen) == features
    e, w = embeddings.detach().clone().requires_grad_(), loss.weight.detach().clone().requires_grad_()
    dense = dense_mlcd if several else dense_margin_softmax
    wanted = dense(dense_cosines(e, w, chosen, sub_centres), labels, sampled)
    wanted.backward()
    torch.testing.assert_close(value, wanted)
    torch.testing.assert_close(embeddings.grad, e.grad)
    torch.testing.assert_close(loss.weight.grad.to_dense(), w.grad)  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", [PartialFC, MultiLabelPartialFC])
def test_gradcheck(kind: type[PartialFC]) -> None:
    several = {"positives": 3} if kind is MultiLabelPartialFC else {}
    loss = kind(DIM, CLASSES, margin=CombinedMargin(8.0), sub_centres=2, **several).double()  # type: ignore[arg-type]
    embeddings, labels = batch(**several)

    def value(e: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(loss, {"weight": w}, (e, labels))

    weight = torch.randn_like(loss.weight).requires_grad_()
    assert torch.autograd.gradcheck(value, (embeddings, weight), fast_mode=True)


def test_the_gradient_of_sampled_centres_is_sparse_and_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings = torch.nn.functional.normalize(torch.randn(4, 8))
    weight = torch.randn(50, 8, requires_grad=True)
    rows = torch.arange(0, 50, 3)
    whole = centre_cosines(embeddings, weight, rows)
    monkeypatch.setattr("biocosmos.nn.cosines.BLOCK_BYTES", 5 * 8 * 4)
    blocks = centre_cosines(embeddings, weight, rows)
    torch.testing.assert_close(blocks, whole)
    torch.testing.assert_close(blocks, embeddings @ torch.nn.functional.normalize(weight[rows]).T)
    upstream = torch.randn_like(whole)
    (a,), (b,) = (torch.autograd.grad(c, weight, upstream) for c in (whole, blocks))
    assert b.is_sparse and b._values().shape == (len(rows), 8)
    torch.testing.assert_close(a.to_dense(), b.to_dense())


@settings(max_examples=60, deadline=None)
@given(classes=st.integers(1, 200), data=st.data())
def test_a_sample_is_sorted_unique_of_the_asked_size_and_keeps_the_positives(classes: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, classes))
    kept = data.draw(st.sets(st.integers(0, classes - 1)))
    sample = sample_with(torch.tensor(sorted(kept), dtype=torch.int64), classes, count, torch.Generator().manual_seed(0)).tolist()
    assert sample == sorted(set(sample)) and kept <= set(sample) <= set(range(classes))
    assert len(sample) == max(count, len(kept))


@pytest.mark.parametrize("count", [6, 16])
def test_every_negative_is_sampled_equally_often(count: int) -> None:
    generator, hits, rounds = torch.Generator().manual_seed(0), torch.zeros(20), 4000
    for _ in range(rounds):
        hits[sample_with(torch.tensor([3, 7]), 20, count, generator)] += 1
    rate = (count - 2) / 18
    negatives = torch.ones(20, dtype=torch.bool)
    negatives[[3, 7]] = False
    assert (hits[~negatives] == rounds).all()
    assert ((hits[negatives] / rounds - rate).abs() < 5 * math.sqrt(rate * (1 - rate) / rounds)).all()


def test_a_resumed_loss_draws_what_the_unbroken_one_draws() -> None:
    embeddings, labels = batch()
    unbroken = PartialFC(DIM, CLASSES, sample_rate=0.3, features=5, seed=4)
    unbroken(embeddings, labels)
    resumed = PartialFC(DIM, CLASSES, sample_rate=0.3, features=5, seed=9)
    resumed.load_state_dict(copy.deepcopy(unbroken.state_dict()))
    for _ in range(3):
        assert unbroken(embeddings, labels).item() == resumed(embeddings, labels).item()


def test_samples_and_features_are_redrawn_every_forward_and_the_seed_decides() -> None:
    embeddings, labels = batch()
    a, b = (PartialFC(DIM, CLASSES, sample_rate=0.5, seed=2) for _ in range(2))
    draws = []
    for _ in range(3):
        assert a(embeddings, labels).item() == b(embeddings, labels).item()
        assert a.sampled is not None
        draws.append(tuple(a.sampled.tolist()))
    assert len(set(draws)) == 3


@pytest.mark.parametrize("label", [-1, CLASSES, CLASSES + 100])
@pytest.mark.parametrize("rate", [1.0, 0.3])
def test_a_label_out_of_range_is_refused_by_its_value(label: int, rate: float) -> None:
    embeddings, labels = batch()
    labels[2] = label
    with pytest.raises(BiocosmosError, match=rf"label {label} is outside 0\.\.39"):
        PartialFC(DIM, CLASSES, sample_rate=rate)(embeddings, labels)


def test_shapes_and_parameters_that_do_not_fit_are_refused() -> None:
    embeddings, labels = batch()
    for call in [
        lambda: PartialFC(DIM, 1),
        lambda: PartialFC(DIM, 5, sample_rate=0),
        lambda: PartialFC(DIM, 5, features=DIM + 1),
        lambda: MultiLabelPartialFC(DIM, 5, positives=6),
        lambda: PartialFC(DIM + 1, CLASSES)(embeddings, labels),
        lambda: PartialFC(DIM, CLASSES)(embeddings[:0], labels[:0]),
        lambda: PartialFC(DIM, CLASSES)(embeddings, labels[:-1]),
        lambda: PartialFC(DIM, CLASSES)(embeddings, labels.float()),
        lambda: MultiLabelPartialFC(DIM, CLASSES, positives=3)(embeddings, labels),
        lambda: PartialFC(DIM, CLASSES).bfloat16()(embeddings, labels),
    ]:
        with pytest.raises(BiocosmosError):
            call()


@pytest.mark.parametrize("kind", [PartialFC, MultiLabelPartialFC])
def test_nan_in_one_embedding_is_seen_in_the_loss(kind: type[PartialFC]) -> None:
    embeddings, labels = batch(8 if kind is MultiLabelPartialFC else None)
    with torch.no_grad():
        embeddings[3, 0] = math.nan
    assert kind(DIM, CLASSES, sample_rate=0.5)(embeddings, labels).isnan()


def test_cosines_are_compared_in_float32_under_autocast() -> None:
    embeddings, labels = batch()
    loss = PartialFC(DIM, CLASSES)
    rounded = embeddings.detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = loss(rounded, labels)
    assert mixed.dtype == torch.float32
    assert mixed.item() == loss(rounded.float(), labels).item()


@given(classes=st.integers(0, 50), processes=st.integers(1, 9))
def test_shards_are_contiguous_and_differ_by_one_at_most(classes: int, processes: int) -> None:
    shards = [class_shard(classes, rank, processes) for rank in range(processes)]
    assert [start + i for start, count in shards for i in range(count)] == list(range(classes))
    assert max(count for _, count in shards) - min(count for _, count in shards) <= 1
