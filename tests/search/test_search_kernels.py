"""The compiled kernels against products written out with whole numbers, for every instruction set that this processor has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biocosmos import machine
from biocosmos.search.exact import ExactIndex
from biocosmos.search.kernel.packed_scan import RowCodes, pack, pack_halves
from biocosmos.search.kernel.single import SINGLE_QUERY_MAX
from kernels_here import KERNELS, kernel

pytestmark = pytest.mark.skipif(not KERNELS, reason="no AVX2 or no llvmlite here")
Array = np.ndarray[Any, Any]


def whole(rng: np.random.Generator, low: int, high: int, shape: tuple[int, int]) -> torch.Tensor:
    """Whole numbers, the ends of the range often among them: there sums would wrap or saturate first."""
    x = rng.integers(low, high + 1, shape)
    ends = rng.random(shape) < 0.5
    x[ends] = rng.choice([low, high], int(ends.sum()))
    x[0], x[-1] = low, high
    return torch.from_numpy(x.astype(np.float32))


@pytest.mark.parametrize("name", KERNELS)
@settings(max_examples=15, deadline=None)
@given(
    groups=st.integers(1, 5),
    eights=st.integers(1, 12),
    b=st.sampled_from([1, 4, 8, 12, 16, 28]),
    seed=st.integers(0, 999),
)
def test_products_are_exact_integers(name: str, groups: int, eights: int, b: int, seed: int) -> None:
    isa, rng = kernel(name).isa, np.random.default_rng(seed)
    n, dim = groups * 64 - int(rng.integers(0, 64)), eights * 8
    x = whole(rng, -isa.row_zero, isa.row_max - isa.row_zero, (n, dim))
    q = whole(rng, -isa.query_max, isa.query_max, (b, dim))
    packed = torch.empty(groups, 4, dim // 4, 16, 4, dtype=torch.uint8)
    pack(x + isa.row_zero, packed)
    padded = torch.zeros(groups * 64, dim)
    padded[:n] = x + isa.row_zero
    products = (padded.double() @ q.double().T).numpy().astype(np.int64)

    largest = torch.empty(groups, b, dtype=torch.int32)
    kernel(name).scan(packed, q.to(torch.int8), largest)
    np.testing.assert_array_equal(largest, products.reshape(groups, 64, b).max(1))

    group_of, query_of = torch.from_numpy(rng.integers(0, groups, 9)), torch.from_numpy(rng.integers(0, b, 9))
    rows = torch.empty(9, 64, dtype=torch.int32)
    kernel(name).rows(packed, q.to(torch.int8), group_of, query_of, rows)
    np.testing.assert_array_equal(rows, products.reshape(groups, 64, b)[group_of, :, query_of])

    if b % 4 == 0:
        bias = rng.integers(-100, 100, b).astype(np.int32)
        best, at = torch.empty(groups * 64, dtype=torch.int32), torch.empty(groups * 64, dtype=torch.int32)
        kernel(name).assign(packed, q.to(torch.int8), torch.from_numpy(bias), best, at)
        np.testing.assert_array_equal(best, (products + bias).max(1))
        np.testing.assert_array_equal(at, (products + bias).argmax(1))


@pytest.mark.parametrize("name", KERNELS)
@settings(max_examples=15, deadline=None)
@given(groups=st.integers(1, 5), sixteens=st.integers(1, 8), seed=st.integers(0, 999))
def test_bounds_of_rows_in_four_bits(name: str, groups: int, sixteens: int, seed: int) -> None:
    rng, dim, isa = np.random.default_rng(seed), sixteens * 16, kernel(name).isa
    table = torch.from_numpy(rng.integers(0, isa.level_max + 1, 16).astype(np.uint8))
    table[0], table[15] = 0, isa.level_max
    places = whole(rng, 0, 15, (groups * 64, dim))
    x = table[places.long()].double() - isa.level_zero
    q = whole(rng, -SINGLE_QUERY_MAX, SINGLE_QUERY_MAX, (2, dim))[0]
    packed = torch.empty(groups, 4, dim // 8, 16, 4, dtype=torch.uint8)
    pack_halves(places, packed)
    terms = torch.from_numpy(rng.random((3, groups * 64)).astype(np.float32))
    out, tops = torch.empty(groups * 64), torch.empty(groups)
    offset = int(q.sum()) * isa.level_zero
    kernel(name).row_bounds(packed, table, q.to(torch.int8), terms, offset, (0.25, 1.0, -2.0, 3.0), out, tops)
    expected = 0.25 * (x @ q.double()) + terms[0] - 2 * terms[1] + 3 * terms[2]
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(tops, out.view(groups, 64).amax(1))


@pytest.mark.parametrize("name", KERNELS)
@settings(max_examples=15, deadline=None)
@given(n=st.integers(1, 200), dim=st.integers(1, 130), seed=st.integers(0, 999), scale=st.sampled_from([0.0, 1.0, 4.0]))
def test_the_bound_of_a_row_is_never_too_low(name: str, n: int, dim: int, seed: int, scale: float) -> None:
    """Dims of very different spread, a mean far from zero: the 8-bit copy may be coarse, but not wrong."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, dim)) * np.exp(scale * rng.normal(size=dim)) + scale * rng.normal(size=dim)
    q = rng.normal(size=(3, dim))
    x, q = ((v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32) for v in (x, q))
    row_of, query_of = torch.from_numpy(rng.integers(0, n, 64)), torch.from_numpy(rng.integers(0, 3, 64))
    upper = RowCodes(torch.from_numpy(x), kernel(name)).bounds(torch.from_numpy(q), row_of, query_of).double().numpy()
    true = (x[row_of].astype(np.float64) * q[query_of].astype(np.float64)).sum(1)
    assert (upper >= true).all()


@pytest.mark.parametrize("name", KERNELS)
def test_scores_are_float64_products_that_do_not_depend_on_the_place(name: str) -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(90, 53)).astype(np.float32))
    x[70:80] = x[3]
    q = torch.from_numpy(rng.normal(size=(4, 53)).astype(np.float32))
    row_of, query_of = torch.arange(90).repeat(4), torch.arange(4).repeat_interleave(90)
    out = torch.empty(360, dtype=torch.float64)
    kernel(name).dots(x, q, row_of, query_of, out)
    np.testing.assert_allclose(out.view(4, 90), q.double() @ x.double().T, rtol=1e-13, atol=1e-13)
    assert (out.view(4, 90)[:, 70:80] == out.view(4, 90)[:, 3:4]).all()


def test_avx2_alone_gives_the_same_answer(tmp_path: Path) -> None:
    """BIOCOSMOS_ISA=avx2 in a process of its own: another kernel, the same rows and scores."""
    environment = {**os.environ, "BIOCOSMOS_ISA": "avx2", "BIOCOSMOS_CACHE": str(tmp_path), "BIOCOSMOS_CHOOSE": ""}
    here = str(Path(__file__).parent)
    program = f"import sys; sys.path.insert(0, {here!r}); import test_search_kernels as t; t.save_answers({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["avx2"]
    with np.load(tmp_path / "answers.npz") as stored:
        for mine, other in zip(answers(), [stored[name] for name in stored.files], strict=True):
            np.testing.assert_array_equal(mine, other)


def answers() -> list[Array]:
    x = np.random.default_rng(0).normal(size=(3000, 40)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    index = ExactIndex(x, precision="int8").prepare()
    masks = None, np.arange(3000) % 9 == 0
    found = [index.search(x[:b] + np.float32(0.1), 9, mask=mask) for b in (1, 9) for mask in masks]
    return [each for f in found for each in (f.rows, f.scores)]


def save_answers(folder: str) -> None:
    np.savez(Path(folder) / "answers.npz", *answers())
    print(machine.choices()["search.kernel"]["answer"])
