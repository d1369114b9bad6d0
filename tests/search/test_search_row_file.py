"""Vectors in a file are searched as those in memory are: the same rows, the same scores, the same order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from biocosmos.errors import BiocosmosError
from biocosmos.search.exact import ExactIndex
from biocosmos.search.kernel.plan import kernel_here
from biocosmos.search.row_file import CAN_BE, RowFile

pytestmark = pytest.mark.skipif(not CAN_BE, reason="this system cannot read at a place of a file")


def clustered(n: int, dim: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 2, (20, dim))[rng.integers(0, 20, n)] + rng.normal(0, 1, (n, dim))
    x[::50] = x[0]  # ties
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def in_file(x: np.ndarray, folder: Path) -> RowFile:
    rows, order = RowFile(*x.shape, folder), np.random.default_rng(1).permutation(len(x))
    for start in range(0, len(x), 777):
        at = order[start : start + 777]
        rows.put(at, x[at])
    return rows


def test_rows_come_back_in_any_order_and_the_file_has_no_name(tmp_path: Path) -> None:
    x = clustered(3000, 24)
    rows = in_file(x, tmp_path)
    assert len(rows) == 3000 and rows.shape == (3000, 24) and not list(tmp_path.iterdir())
    assert torch.equal(rows[:], torch.from_numpy(x)) and torch.equal(rows[10:70], torch.from_numpy(x[10:70]))
    assert rows[5:5].shape == (0, 24) and rows[torch.empty(0, dtype=torch.int64)].shape == (0, 24)
    asked = torch.tensor([[2999, 0, 7], [7, 8, 9]])
    assert torch.equal(rows[asked], torch.from_numpy(x[asked.numpy()]))
    rows.close()


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize(("n", "dim"), [(500, 16), (40_000, 48)])
def test_search_is_the_same(tmp_path: Path, n: int, dim: int, prepared: bool) -> None:
    x = clustered(n, dim)
    memory, file = ExactIndex(x), ExactIndex(in_file(x, tmp_path))
    if prepared:
        memory.prepare("one")
        file.prepare("one")
    rng = np.random.default_rng(2)
    queries = x[rng.integers(0, n, 4)] + rng.normal(0, 0.2, (4, dim)).astype(np.float32)
    masks = [None, rng.random(n) < 0.5, rng.random(n) < 0.01, np.arange(n) < 3, np.zeros(n, bool)]
    for mask in masks:
        for query in queries:
            one, other = (index.search(query[None], 9, mask=mask) for index in (memory, file))
            assert np.array_equal(one.rows, other.rows) and np.array_equal(one.scores, other.scores)
    among = [index.search(queries[:1], 5, start=100, stop=400) for index in (memory, file)]
    assert np.array_equal(among[0].rows, among[1].rows) and (among[0].rows >= 100).all()


def test_four_bits_for_one_query_and_eight_for_many(tmp_path: Path) -> None:
    x = clustered(20_000, 48)
    exact = ExactIndex(x)
    if kernel_here() is None:
        with pytest.raises(BiocosmosError, match="precision int4 needs"):
            ExactIndex(x, precision="int4").prepare()
        return
    index = ExactIndex(in_file(x, tmp_path), precision="int4").prepare()
    assert {each["scan"] for kind, each in index.provenance["scans"].items() if kind != "one"} == {"int8"}
    for queries in (x[5:6], x[:30], x[:80]):
        one, other = exact.search(queries, 7), index.search(queries, 7)
        assert np.array_equal(one.rows, other.rows) and np.array_equal(one.scores, other.scores)


@pytest.mark.parametrize("prepared", [False, True])
def test_estimates_are_near_the_cosines(tmp_path: Path, prepared: bool) -> None:
    x = clustered(20_000, 48)
    index = ExactIndex(in_file(x, tmp_path))
    if prepared:
        index.prepare("one")
    assert np.abs(index.estimates(x[3]) - x @ x[3]).max() < (0.05 if prepared else 1e-5)


def test_a_query_of_other_dims_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BiocosmosError, match="use one encoder for both"):
        ExactIndex(in_file(clustered(300, 16), tmp_path)).search(np.ones((1, 8), np.float32))
