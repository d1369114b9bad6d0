"""Clustering of tokens: every way gives the partition of scikit-learn and scipy, and the lowest pair of equal ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import linkage as scipy_tree
from scipy.spatial.distance import squareform
from sklearn.cluster import AgglomerativeClustering

from biocosmos import machine
from biocosmos.encoders.reduction.clustering import LINKAGES, How, Linkage, agglomerate, kernel
from biocosmos.errors import BiocosmosError
from biocosmos.search.kernel.compiler import threads

GOLDEN = Path(__file__).parent / "golden" / "token_clustering.npz"
GAP = 1e-6
Array = np.ndarray[Any, Any]
COMPILED = [name for name in kernel.known() if kernel.load(name)]
WAYS: list[tuple[str, Any]] = [*((name, "compiled") for name in COMPILED), ("torch", "rounds"), ("torch", "steps")]
"""(instructions, how)."""


@pytest.fixture(params=WAYS, ids="-".join)
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[How]:
    """Each way to cluster, with each set of instructions that this processor has."""
    instructions, way = request.param
    if way == "compiled":
        monkeypatch.setattr(kernel, "here", lambda: kernel.load(instructions))
    yield way


def clustered(way: tuple[str, Any], keys: torch.Tensor, count: int, linkage: Linkage) -> torch.Tensor:
    with patch.object(kernel, "here", lambda: kernel.load(way[0])):
        return agglomerate(keys, count, linkage, how=way[1])


def by_first_appearance(labels: Array) -> list[int]:
    names: dict[int, int] = {}
    return [names.setdefault(int(label), len(names)) for label in labels]


def distances_of(keys: Array) -> Array:
    """Cosine distances in float64; a zero vector is at 1 from everyone."""
    x = keys.astype(np.float64)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    x = np.divide(x, length, out=np.zeros_like(x), where=length > 0)
    found = 1 - x @ x.T
    found[np.abs(found) < 1e-14] = 0
    np.fill_diagonal(found, 0)
    return (found + found.T) / 2


def closest_pairs(distances: Array, count: int, linkage: str) -> tuple[list[int], bool]:
    """Labels from merging the lowest of the closest pairs, and whether all that decided them was further apart than GAP, or
    no distance at all."""
    n = len(distances)
    clusters = [[i] for i in range(n)]
    at, heights, sure = clusters, [], True
    of_pairs = {"single": np.min, "complete": np.max, "average": np.mean}[linkage]
    while len(clusters) > 1:
        pairs = [
            (float(of_pairs(distances[np.ix_(a, b)])), i, j)
            for i, a in enumerate(clusters)
            for j, b in enumerate(clusters[i + 1 :], i + 1)
        ]
        least, i, j = min(pairs)
        rivals = [d for d, x, y in pairs if len({x, y, i, j}) == 3]
        sure &= all(d - least > GAP or (d == 0 == least) for d in rivals)
        heights.append(least)
        clusters = [
            [*a, *clusters[j]] if place == i else a for place, a in enumerate(clusters) if place != j
        ]  # the lowest token of a comes first, so that the order of the clusters stays
        if len(clusters) == count:
            at = clusters
    if 1 < count < n:
        low, high = heights[n - count - 1], heights[n - count]
        sure &= high - low > GAP or high == 0 == low
    labels = np.empty(n, dtype=int)
    for name, members in enumerate(at):
        labels[members] = name
    return by_first_appearance(labels), sure


def of_scikit_learn(distances: Array, count: int, linkage: str) -> list[int]:
    found = AgglomerativeClustering(count, metric="precomputed", linkage=linkage).fit_predict(distances)
    return by_first_appearance(found)


def of_scipy(distances: Array, count: int, linkage: str) -> list[int]:
    n = len(distances)
    tree = scipy_tree(squareform(distances, checks=False), linkage)
    members: dict[int, list[int]] = {i: [i] for i in range(n)}
    for made, (a, b, *_) in enumerate(tree[: n - count]):
        members[n + made] = members.pop(int(a)) + members.pop(int(b))
    labels = np.empty(n, dtype=int)
    for name, tokens in members.items():
        labels[tokens] = name
    return by_first_appearance(labels)


def smooth(b: int, side: int, d: int, seed: int) -> torch.Tensor:
    """Keys of neighbouring patches that are alike."""
    made = torch.Generator().manual_seed(seed)
    coarse = torch.randn(b, d, 5, 5, generator=made)
    fine = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    return (fine + 0.15 * torch.randn(b, d, side, side, generator=made)).flatten(2).mT


DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


@settings(max_examples=60)
@given(
    n=st.integers(1, 30),
    d=st.integers(1, 40),
    share=st.floats(0, 1),
    kinds=st.lists(st.sampled_from(["free", "copy", "zero", "constant"]), min_size=1, max_size=4),
    dtype=st.sampled_from(DTYPES),
    scale=st.sampled_from([1.0, 1e-30, 1e30, 6e4]),
    linkage=st.sampled_from(LINKAGES),
    seed=st.integers(0, 9999),
)
@example(n=20, d=8, share=0.5, kinds=["copy"], dtype=torch.float32, scale=1.0, linkage="average", seed=0)
@example(n=9, d=1, share=0.4, kinds=["zero"], dtype=torch.float16, scale=1.0, linkage="complete", seed=0)
def test_every_way_gives_the_partition_of_scikit_learn_and_scipy(
    n: int, d: int, share: float, kinds: list[str], dtype: torch.dtype, scale: float, linkage: Linkage, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = np.zeros((2, n, d), dtype=np.float32)
    for image in rows:
        for i in range(n):
            kind = kinds[rng.integers(len(kinds))]
            if kind == "copy":
                image[i] = image[rng.integers(n)] if i else rng.normal(size=d)
            elif kind != "zero":
                image[i] = 1 if kind == "constant" else rng.normal(size=d)
    scale = scale if dtype in (torch.float32, torch.float64, torch.bfloat16) else 1.0
    keys = (torch.from_numpy(rows) * scale).to(dtype)
    count = 1 + round(share * (n - 1))
    found = {way: clustered(way, keys, count, linkage) for way in WAYS}
    for image in range(2):
        distances = distances_of(keys[image].double().numpy() / scale)
        expected, sure = closest_pairs(distances, count, linkage)
        for way, labels in found.items():
            told = labels[image].tolist()
            assert told == by_first_appearance(np.array(told)) and max(told) == count - 1, way
            if sure:
                assert told == expected, way
        if sure and n > 1 and len(np.unique(distances[np.triu_indices(n, 1)])) == n * (n - 1) // 2:
            assert expected == of_scikit_learn(distances, count, linkage) == of_scipy(distances, count, linkage)


@settings(max_examples=60)
@given(
    n=st.integers(2, 24),
    share=st.floats(0, 1),
    ones=st.lists(st.sampled_from([1, 4, 16]), min_size=1, max_size=3),
    linkage=st.sampled_from(["single", "complete"]),
    seed=st.integers(0, 9999),
)
def test_of_equal_distances_the_lowest_pair_is_merged_whatever_the_way(
    n: int, share: float, ones: list[int], linkage: Linkage, seed: int
) -> None:
    rng = np.random.default_rng(seed)  # 1, 4 or 16 ones among 20 zeros: all lengths and cosines are exact in binary
    keys = np.zeros((n, 20), dtype=np.float32)
    for row in keys:
        row[rng.choice(20, ones[rng.integers(len(ones))], replace=False)] = 1
    length = keys.sum(1) ** 0.5
    distances = 1 - (keys @ keys.T) / np.outer(length, length)
    count = 1 + round(share * (n - 1))
    expected, _ = closest_pairs(distances, count, linkage)
    batch = torch.from_numpy(keys)[None]
    for way in WAYS:
        assert clustered(way, batch, count, linkage)[0].tolist() == expected, way


@pytest.mark.parametrize("linkage", LINKAGES)
def test_reference_labels_of_the_published_code(linkage: Linkage, how: How) -> None:
    with np.load(GOLDEN) as golden:
        keys = torch.from_numpy(golden["keys"])  # (2, 196, 16): means over the heads, without the class token
        for count in golden["counts"].tolist():
            found = agglomerate(keys, count, linkage, how=how)
            for image, expected in enumerate(golden[f"{linkage}_{count}"]):
                assert found[image].tolist() == by_first_appearance(expected)


@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize("count", [1, 2, 49, 98, 195, 196])
def test_tokens_of_a_vision_transformer(linkage: Linkage, count: int) -> None:
    keys = smooth(3, 14, 64, seed=count)
    found = {way: agglomerate(keys, count, linkage, how=way) for way in get_args(How) if way != "compiled" or COMPILED}
    for image, key in enumerate(keys):
        expected = of_scikit_learn(distances_of(key.numpy()), count, linkage)
        for way, labels in found.items():
            assert labels[image].tolist() == expected, way


@pytest.mark.parametrize("linkage", LINKAGES)
def test_tokens_of_a_large_image(linkage: Linkage) -> None:
    keys = smooth(1, 37, 64, seed=3)
    distances = distances_of(keys[0].numpy())
    for count in (684, 49):
        expected = of_scipy(distances, count, linkage)
        for way in ("auto", "rounds"):
            assert agglomerate(keys, count, linkage, how=way)[0].tolist() == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("linkage", LINKAGES)
def test_keys_with_much_in_common_are_told_apart_better_than_by_cosines_in_float32(linkage: Linkage, how: How) -> None:
    keys = smooth(4, 10, 32, seed=4) + 40 * torch.randn(32, generator=torch.Generator().manual_seed(0))
    expected = [of_scikit_learn(distances_of(key.numpy()), 60, linkage) for key in keys]
    assert max(distances_of(key.numpy()).max() for key in keys) < 0.01
    assert agglomerate(keys, 60, linkage, how=how).tolist() == expected


@pytest.mark.parametrize("linkage", LINKAGES)
def test_equal_tokens_go_to_the_first_one(linkage: Linkage, how: How) -> None:
    keys = torch.full((2, 40, 12), 0.3)
    assert agglomerate(keys, 25, linkage, how=how).tolist() == [[0] * 16 + list(range(1, 25))] * 2


def test_a_zero_vector_is_as_far_from_everyone_as_a_right_angle(how: How) -> None:
    keys = torch.tensor([[[1.0, 0], [0, 0], [1, 0.1], [0, 0], [-1, 0]]])
    assert agglomerate(keys, 4, how=how).tolist() == [[0, 1, 0, 2, 3]]
    assert agglomerate(keys, 3, "single", how=how).tolist() == [[0, 0, 0, 1, 2]]


@pytest.mark.parametrize("linkage", LINKAGES)
def test_a_batch_is_as_many_images_alone(linkage: Linkage, how: How) -> None:
    keys = torch.cat([smooth(3, 8, 24, seed=1), torch.randn(3, 64, 24, generator=torch.Generator().manual_seed(2))])
    together = agglomerate(keys, 20, linkage, how=how)
    assert torch.equal(together, torch.cat([agglomerate(key[None], 20, linkage, how=how) for key in keys]))
    with threads(3):
        assert torch.equal(together, agglomerate(keys, 20, linkage, how=how))


@pytest.mark.parametrize("dtype", DTYPES)
def test_labels_are_those_of_the_keys_in_float32_whatever_their_strides(dtype: torch.dtype, how: How) -> None:
    heads = torch.randn(4, 3, 50, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    keys = heads[:, 1, 1:]
    told = agglomerate(keys, 12, how=how)
    assert told.dtype == torch.int64 and told.shape == (4, 49)
    assert torch.equal(told, agglomerate(keys.float().contiguous(), 12, how=how))
    assert torch.equal(told, agglomerate(keys.mT.contiguous().mT, 12, how=how))


def test_products_in_short_numbers_elsewhere_are_not_for_distances(how: How) -> None:
    keys = smooth(2, 8, 64, seed=6)
    told = agglomerate(keys, 20, how=how)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(agglomerate(keys, 20, how=how), told)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_compiled_or_exported_graph_has_it_as_one_operator() -> None:
    class Labels(torch.nn.Module):
        def forward(self, keys: torch.Tensor) -> torch.Tensor:
            return agglomerate(keys * 2, 10) + 1

    keys = smooth(2, 6, 16, seed=7).requires_grad_()
    expected = agglomerate(keys, 10) + 1
    assert torch.equal(torch.compile(Labels(), backend="aot_eager", fullgraph=True)(keys), expected)
    assert torch.equal(torch.export.export(Labels(), (keys,)).module()(keys), expected)


def test_without_llvmlite_torch_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = smooth(2, 8, 24, seed=5)
    told = agglomerate(keys, 20)
    monkeypatch.setattr(kernel, "here", lambda: None)
    assert torch.equal(agglomerate(keys, 20), told)
    with pytest.raises(BiocosmosError, match="'compiled' needs keys on the CPU and the llvmlite package"):
        agglomerate(keys, 20, how="compiled")


def test_an_older_processor_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(machine.ISA, "avx2")
    machine.flags.cache_clear()
    try:
        assert "avx512" not in kernel.known() and kernel.known()[-1] == "any"
    finally:
        monkeypatch.delenv(machine.ISA)
        machine.flags.cache_clear()


def test_no_images_no_labels(how: How) -> None:
    assert agglomerate(torch.zeros(0, 7, 3), 2, how=how).shape == (0, 7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "cannot make 0 clusters of 9 tokens: choose a whole number from 1 to 9"),
        ({"count": 10}, "cannot make 10 clusters of 9 tokens"),
        ({"count": 4.5}, "cannot make 4.5 clusters of 9 tokens"),
        ({"linkage": "ward"}, "unknown linkage 'ward': choose average, complete, single"),
        ({"how": "fast"}, "unknown way 'fast' to cluster tokens"),
        (
            {"keys": torch.zeros(9, 4)},
            r"keys to cluster must be floats of shape \(batch, tokens, dims\), not torch.float32 \(9, 4\)",
        ),
        ({"keys": torch.zeros(1, 9, 0)}, "keys to cluster must be floats"),
        ({"keys": torch.zeros(1, 9, 4, dtype=torch.int64)}, "keys to cluster must be floats"),
    ],
)
def test_bad_input_is_told_in_a_line(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"keys": torch.ones(1, 9, 4), "count": 3, **changes}
    with pytest.raises(BiocosmosError, match=message):
        agglomerate(**given)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [1, 3, 9])
def test_keys_that_are_not_finite_name_their_image(bad: float, dtype: torch.dtype, count: int, how: How) -> None:
    keys = torch.randn(4, 9, 5).to(dtype)
    keys[2, 8, 4] = bad
    with pytest.raises(BiocosmosError, match="keys of image 2 of the batch are not all finite"):
        agglomerate(keys, count, how=how)
