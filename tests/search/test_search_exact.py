"""The exact search against a brute-force float64 oracle: whatever scan proposes, the answer is the sorted one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from biocosmos import machine
from biocosmos.errors import BiocosmosError
from biocosmos.search import bounded, candidates, exact
from biocosmos.search.exact import ExactIndex
from biocosmos.search.kernel import plan
from biocosmos.search.kernel.basis import Spectrum
from biocosmos.search.kernel.packed_scan import MatrixScan, PackedScan, SingleScan
from biocosmos.search.kernel.scan import DenseScan
from kernels_here import KERNELS, kernel

Array = np.ndarray[Any, Any]
DIM = 48
PACKED = {"int8": PackedScan, "int4": SingleScan, "matrix": MatrixScan}
PLAIN = ["plain", "float32", "float32 prefix", "bfloat16", "bfloat16 prefix"]
SCANS = PLAIN + [f"{kind} {name}{end}" for name in KERNELS for kind in ("int8", "int4") for end in ("", " prefix")]
SCANS += [f"matrix {name}{end}" for name in KERNELS[:1] if name != "avx2" for end in ("", " prefix")]


def unit(x: Array) -> Array:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def clustered(n: int, seed: int, *, dim: int = DIM, duplicates: bool = False) -> Array:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, n // 20), dim)) * np.linspace(2, 0.1, dim)
    x = unit(centres[np.sort(rng.integers(0, len(centres), n))] + 0.1 * rng.normal(size=(n, dim)))
    if duplicates and n > 4:
        x[rng.integers(0, n, n // 2)] = x[rng.integers(0, n)]
    return x


def oracle(queries: Array, x: Array, k: int, allowed: Array | None = None) -> tuple[Array, Array]:
    """Sort every row by (float64 product rounded to float32, descending; row, ascending), one query at a time."""
    rows, scores = np.full((len(queries), k), -1), np.full((len(queries), k), -np.inf, np.float32)
    for i, q in enumerate(queries):
        products = (x.astype(np.float64) * q.astype(np.float64)).sum(1).astype(np.float32)
        each = [(-score, j) for j, score in enumerate(products.tolist())]
        best = sorted(pair for pair in each if allowed is None or allowed[pair[1]])[:k]
        rows[i, : len(best)] = [j for _, j in best]
        scores[i, : len(best)] = [-s for s, _ in best]
    return rows, scores


def assert_same(found: exact.Found, rows: Array, scores: Array) -> None:
    """Equal scores to the last float32 bit or so, and equal rows except where two scores differ by rounding alone."""
    np.testing.assert_array_equal(found.rows < 0, rows < 0)
    valid = rows >= 0
    np.testing.assert_allclose(found.scores[valid], scores[valid], atol=3e-7)
    assert np.all(found.scores[~valid] == -np.inf)
    for mine, other, score in zip(found.rows, rows, scores):
        for place in np.nonzero(mine != other)[0]:
            near = np.abs(score - score[place]) < 3e-7
            assert near.sum() > 1 or place == len(score) - 1, "a row differs though its score is apart from all others"


def make(x: Array, scan: str) -> ExactIndex:
    """An index whose scan is forced to be the one named."""
    index = ExactIndex(x)
    if scan == "plain" or not len(x):
        return index
    name, prefix = scan.split()[0], scan.endswith("prefix")
    basis = Spectrum.of(index.vectors).basis(16 if prefix else x.shape[1], turn=prefix, device=index.device)
    made: Any
    if name in PACKED:
        compiled = kernel(scan.split()[1])
        made = PACKED[name](index.vectors, basis, compiled)
        index._scorer.use(compiled)
    else:
        made = DenseScan(index.vectors, basis, getattr(torch, name))
    index._scans = dict.fromkeys(plan.BATCHES, made)
    return index


@pytest.mark.parametrize("scan", SCANS)
@settings(max_examples=15, deadline=None)
@given(
    n=st.integers(1, 700),
    k=st.integers(1, 30),
    b=st.sampled_from([1, 2, 7]),
    seed=st.integers(0, 999),
    duplicates=st.booleans(),
    part=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    kept=st.sampled_from([None, 0.02, 0.5, 0.95]),
)
@example(n=276, k=1, b=1, seed=4, duplicates=False, part=(0.0, 0.46875), kept=0.5)  # a last group that the mask empties
def test_any_scan_gives_the_sorted_answer(
    scan: str, n: int, k: int, b: int, seed: int, duplicates: bool, part: tuple[float, float], kept: float | None
) -> None:
    rng = np.random.default_rng(seed)
    x = clustered(n, seed, duplicates=duplicates)
    q = unit(np.concatenate([x[rng.integers(0, n, b)] + 0.05 * rng.normal(size=(b, DIM)), rng.normal(size=(1, DIM))]))
    start, stop = sorted(int(p * n) for p in part)
    allowed = np.zeros(n, bool)
    allowed[start:stop] = True
    mask = None if kept is None else rng.random(n) < kept
    rows, scores = oracle(q, x, k, allowed if mask is None else allowed & mask)
    assert_same(make(x, scan).search(q, k, start=start, stop=stop, mask=mask), rows, scores)


@pytest.mark.parametrize("scan", SCANS)
def test_a_mask_may_leave_fewer_groups_than_are_looked_at(scan: str) -> None:
    x = clustered(276, 4)
    for left in ([3], [3, 70], [130, 131], list(range(0, 276, 65))):
        mask = np.zeros(276, bool)
        mask[left] = True
        for stop in (129, 276):
            allowed = mask & (np.arange(276) < stop)
            found = make(x, scan).search(x[:3], 4, stop=stop, mask=mask)
            assert_same(found, *oracle(x[:3], x, 4, allowed))


@pytest.mark.parametrize("scan", SCANS)
def test_identical_rows_stand_in_row_order(scan: str) -> None:
    x = clustered(300, 0)
    copies = [3, 64, 65, 130, 200, 299]
    x[copies] = x[3]
    found = make(x, scan).search(x[[3]], 10)
    assert found.rows[0, :6].tolist() == copies
    assert len(set(found.scores[0, :6].tolist())) == 1
    assert make(np.repeat(x[:1], 500, 0), scan).search(x[:2], 7).rows.tolist() == [list(range(7))] * 2


@pytest.mark.parametrize("scan", [s for s in SCANS if s != "plain"])
def test_a_certificate_that_fails_is_repaired(scan: str) -> None:
    """Thousands of rows closer together than the scan can tell: the first groups cannot be proved to hold the answer."""
    rng = np.random.default_rng(1)
    base = unit(rng.normal(size=(1, DIM)))
    x = unit(base + 2e-4 * rng.normal(size=(3000, DIM)))
    q = unit(base + 1e-2 * rng.normal(size=(5, DIM)))
    found = make(x, scan).search(q, 10)
    assert not found.certified.all() or scan == "float32"
    assert_same(found, *oracle(q, x, 10))


def test_easy_queries_are_certified_at_once() -> None:
    x = clustered(4000, 2)
    assert make(x, "float32").search(x[::400], 5).certified.all()


def test_many_candidates_are_settled_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "CANDIDATES_AT_ONCE", 100)
    monkeypatch.setattr(bounded, "PAIRS_AT_ONCE", 3)
    x = np.repeat(clustered(20, 3), 60, 0)
    q = clustered(3, 4)
    assert_same(make(x, "bfloat16 prefix").search(q, 25), *oracle(q, x, 25))


def test_more_neighbours_than_rows_and_no_rows() -> None:
    x = clustered(5, 0)
    found = ExactIndex(x).search(x[:2], 9)
    assert (found.rows[:, 5:] == -1).all() and (found.scores[:, 5:] == -np.inf).all()
    empty = ExactIndex(np.empty((0, DIM), np.float32)).search(x, 3)
    assert empty.rows.tolist() == [[-1] * 3] * 5
    assert ExactIndex(x).search(np.empty((0, DIM)), 3).rows.shape == (0, 3)
    assert ExactIndex(x).search(x, 3, start=2, stop=2).rows.tolist() == [[-1] * 3] * 5
    assert ExactIndex(x).search(x, 3, mask=np.zeros(5, bool)).rows.tolist() == [[-1] * 3] * 5


@pytest.mark.parametrize("kind", [np.float16, np.float64, "tensor", "half tensor", "strided", "fortran", "vector"])
def test_queries_of_any_form(kind: Any) -> None:
    x = clustered(200, 5)
    q = x[:6].astype(np.float16).astype(np.float64) * 3  # exact in every type, and not of unit length
    forms: dict[Any, Any] = {
        "tensor": torch.from_numpy(q),
        "half tensor": torch.from_numpy(q).half(),
        "strided": np.repeat(np.repeat(q, 2, 0), 2, 1)[::2, ::2],
        "fortran": np.asfortranarray(q),
        "vector": q[0],
    }
    form = forms[kind] if isinstance(kind, str) else q.astype(kind)
    rows = oracle(unit(q), x, 4)[0]
    assert ExactIndex(x).search(form, 4).rows.tolist() == (rows[:1] if kind == "vector" else rows).tolist()


def test_bad_queries_are_refused() -> None:
    index = ExactIndex(clustered(10, 0))
    q = clustered(4, 1)
    q[2] = 0
    with pytest.raises(BiocosmosError, match="row 2"):
        index.search(q)
    q[2, 0] = np.nan
    with pytest.raises(BiocosmosError, match="not finite"):
        index.search(q)
    with pytest.raises(BiocosmosError, match="7 dims and the gallery 48"):
        index.search(np.ones((1, 7)))
    with pytest.raises(BiocosmosError, match="k must be"):
        index.search(q, 0)
    with pytest.raises(BiocosmosError, match="precision"):
        ExactIndex(clustered(3, 0), precision="int2")
    with pytest.raises(BiocosmosError, match="numbers"):
        index.search(np.array([["a"]]))


def test_the_compact_copy_is_built_when_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "PREPARE_ROWS", 100)
    x = clustered(1500, 6)
    index = ExactIndex(x, precision="auto")
    before = index.search(x[:100], 5)
    assert index.scan == "float32" and not index._scans
    after = index.search(x[:300], 5)
    assert list(index._scans) == ["large"] and index.scan in ("int8", "int8 matrix", "float32", "bfloat16")
    np.testing.assert_array_equal(before.rows, after.rows[:100])
    np.testing.assert_array_equal(before.scores, after.scores[:100])
    one = index.search(x[:1], 5)  # once there are copies, each kind of batch gets its own
    assert set(index._scans) == {"large", "one"}
    np.testing.assert_array_equal(one.rows, before.rows[:1])


def test_queries_asked_alone_are_dearer_and_sooner_worth_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "PREPARE_ROWS", 100)
    monkeypatch.setattr(exact, "PREPARE_SINGLES", 3)
    x = clustered(300, 6)
    index = ExactIndex(x)
    found = [index.search(x[i], 4).rows[0] for i in range(4)]
    assert list(index._scans) == ["one"]
    np.testing.assert_array_equal(found, oracle(x[:4], x, 4)[0])


def test_faster_float32_of_the_user_does_not_change_the_answer() -> None:
    x = clustered(1200, 11)
    torch.set_float32_matmul_precision("medium")
    try:
        for scan in ("plain", "float32 prefix"):
            assert_same(make(x, scan).search(x[::60], 8), *oracle(x[::60], x, 8))
    finally:
        torch.set_float32_matmul_precision("highest")


def test_searches_at_the_same_time_leave_the_threads_as_they_were() -> None:
    x = clustered(3000, 12)
    index, threads = ExactIndex(x).prepare(), torch.get_num_threads()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: index.search(x[i : i + 40], 5).rows, range(0, 400, 40)))
    np.testing.assert_array_equal(np.concatenate(found), oracle(x[:400], x, 5)[0])
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_every_precision_can_be_asked_for(precision: str) -> None:
    if precision == "int8" and not KERNELS:
        pytest.skip("no AVX2 or no llvmlite here")
    x = clustered(800, 7)
    index = ExactIndex(x, precision=precision).prepare()
    assert_same(index.search(x[::50], 6), *oracle(x[::50], x, 6))
    assert_same(index.search(x[50], 6), *oracle(x[[50]], x, 6))
    assert index.scan == precision


def test_the_choice_and_its_timings_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BIOCOSMOS_CACHE", str(tmp_path))
    machine.forget()
    x = clustered(400, 8)
    index = ExactIndex(x)
    assert index.provenance["scans"] == {"all": {"scan": "float32", "dims": DIM}}
    told = index.prepare().provenance
    assert set(told["scans"]) == set(plan.BATCHES) and told["kernel"] in (*KERNELS, None)
    timed = told["choices"][f"search.scan {DIM} dims, batch 256"]
    assert timed["source"] == "measured" and timed["answer"] == told["scans"]["large"]["scan"]
    assert {"float32", "bfloat16"} <= set(timed["seconds"])


@pytest.mark.parametrize("answer", ["float32", "bfloat16"])
def test_the_environment_may_answer(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setenv("BIOCOSMOS_CHOOSE", f"search.scan={answer},search.single={answer}")
    machine.forget()
    x = clustered(600, 9)
    index = ExactIndex(x).prepare()
    assert index.scan == answer
    assert_same(index.search(x[:3], 5), *oracle(x[:3], x, 5))
    assert_same(index.search(x[0], 5), *oracle(x[:1], x, 5))
    machine.forget()


def test_int8_without_its_kernel_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan.packed, "load", lambda name: None)
    with pytest.raises(BiocosmosError, match="llvmlite"):
        ExactIndex(clustered(100, 0), precision="int8").prepare()
    x = clustered(400, 8)
    assert_same(ExactIndex(x).prepare().search(x[:9], 5), *oracle(x[:9], x, 5))


@pytest.mark.parametrize("batch", [1, 5, 40])
@pytest.mark.parametrize("share", [0.001, 0.03, 0.12, 0.6])
def test_a_mask_is_searched_exactly_whatever_it_leaves(share: float, batch: int) -> None:
    x = clustered(3000, 13, duplicates=True)
    mask = np.random.default_rng(0).random(3000) < share
    q = clustered(batch, 14)
    expected = oracle(q, x, 7, mask)
    for index in (ExactIndex(x), ExactIndex(x).prepare()):
        assert_same(index.search(q, 7, mask=mask), *expected)
        within = mask & (np.arange(3000) >= 100) & (np.arange(3000) < 2900)
        assert_same(index.search(q, 7, start=100, stop=2900, mask=mask), *oracle(q, x, 7, within))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_the_gpu_gives_the_same_answer(precision: str) -> None:
    x = clustered(5000, 9, duplicates=True)
    q = clustered(20, 10)
    rows, scores = oracle(q, x, 12)
    assert_same(ExactIndex(x, precision=precision, device="cuda").prepare().search(q, 12), rows, scores)
    mask = np.arange(len(x)) % 3 > 0
    found = ExactIndex(x, precision=precision, device="cuda").search(q, 12, start=700, stop=4100, mask=mask)
    allowed = mask & (np.arange(len(x)) >= 700) & (np.arange(len(x)) < 4100)
    assert_same(found, *oracle(q, x, 12, allowed))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gallery_row_that_is_not_finite_has_no_place_in_any_order_and_is_named(bad: float) -> None:
    rows = np.eye(4, dtype=np.float32)
    rows[2, 1] = bad
    with pytest.raises(BiocosmosError, match=r"1 of 4 gallery vectors are zero or not finite \(row 2\)"):
        ExactIndex(rows)
