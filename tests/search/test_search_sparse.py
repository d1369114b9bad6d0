"""The search among counts of k-mers against every product in float64: the kernels, scipy's products, and the oracle agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from biocosmos import machine
from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.errors import BiocosmosError
from biocosmos.search.sparse import kernel as kernels
from biocosmos.search.sparse.index import SparseIndex

Array = np.ndarray[Any, Any]
WAYS: list[Any] = [None, *(made for name in kernels.known() if (made := kernels.load(name)))]


def relatives(n: int, length: int, seed: int, *, copies: float = 0.3, cut: float = 0.3) -> list[str | None]:
    """Barcodes that descend from each other; some are copies, shorter, repetitive, with N, or not there."""
    rng = np.random.default_rng(seed)
    out: list[str | None] = []
    for _ in range(n):
        old = [b for b in out if b]
        if not old or rng.random() < 0.05:
            out.append("".join(rng.choice(list("ACGT"), length, p=[0.3, 0.15, 0.15, 0.4])))
            continue
        letters = list(old[rng.integers(len(old))])
        if rng.random() > copies:
            for i in rng.integers(0, len(letters), 1 + len(letters) // 30):
                letters[i] = str(rng.choice(list("ACGTN"), p=[0.24, 0.24, 0.24, 0.24, 0.04]))
            if rng.random() < cut:
                letters = letters[: rng.integers(1, len(letters) + 1)]
        out.append("".join(letters))
        odd = rng.random()
        if odd < 0.03:
            out[-1] = [None, "", "N" * 50, "ACG", "T" * 60, "ACGT" * 700][rng.integers(6)]
    return out


def oracle(queries: KmerCounts, counts: KmerCounts, k: int, allowed: Array, fold: bool) -> tuple[Array, Array]:
    """Dense counts, all products; every query's rows sorted by (float32 of the float64 cosine, descending; row)."""
    rows, scores = np.full((len(queries), k), -1), np.full((len(queries), k), -np.inf, np.float32)

    def dense(part: KmerCounts) -> Array:
        return np.array([np.bincount(part.codes[a:b], minlength=4**part.k) for a, b in zip(part.starts, part.starts[1:])])

    x, q = dense(counts).reshape(-1, 4**counts.k), dense(queries)
    for i, query in enumerate(q):
        best, seen = [], set()
        for row in range(len(x)):
            if not allowed[row] or not x[row].any() or (fold and x[row].tobytes() in seen):
                continue
            seen.add(x[row].tobytes())
            best.append((-np.float32(int(query @ x[row]) / np.sqrt(float(query @ query) * float(x[row] @ x[row]))), row))
        best = sorted(best)[:k]
        rows[i, : len(best)] = [row for _, row in best]
        scores[i, : len(best)] = [-score for score, _ in best]
    return rows, scores


@settings(max_examples=25)
@given(
    n=st.integers(0, 60),
    length=st.sampled_from([9, 40, 200]),
    k=st.sampled_from([5, 6]),
    near=st.integers(1, 70),
    seed=st.integers(0, 9999),
    part=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    kept=st.sampled_from([None, 0.0, 0.1, 0.5, 0.95]),
    fold=st.booleans(),
)
@example(n=60, length=40, k=5, near=3, seed=1, part=(0.2, 0.9), kept=0.5, fold=False)
def test_every_way_gives_the_sorted_answer(
    n: int, length: int, k: int, near: int, seed: int, part: tuple[float, float], kept: float | None, fold: bool
) -> None:
    rng = np.random.default_rng(seed)
    barcodes = relatives(n, length, seed)
    counts = KmerCounts.of(barcodes, k)
    asked = list(relatives(4, length, seed + 1)) + [barcodes[i] for i in rng.integers(0, max(n, 1), 4) if n]
    queries = KmerCounts.of(asked, k)
    queries = queries.take(~queries.empty)
    start, stop = sorted(int(p * n) for p in part)
    mask = None if kept is None else rng.random(n) < kept
    allowed = np.zeros(n, bool)
    allowed[start:stop] = True if mask is None else mask[start:stop]
    rows, scores = oracle(queries, counts, near, allowed, fold)
    for way in WAYS:
        found = SparseIndex(counts, kernel=way).search(queries, near, start=start, stop=stop, mask=mask, fold=fold)
        np.testing.assert_array_equal(found.rows, rows)
        np.testing.assert_array_equal(found.scores, scores)


@pytest.mark.parametrize("k", [5, 7, 8])
@pytest.mark.parametrize("near", [1, 10, 500])
def test_many_rows_are_found_alike_by_all_ways(k: int, near: int) -> None:
    barcodes = relatives(3000, 160, seed=k)
    counts, queries = KmerCounts.of(barcodes, k), KmerCounts.of(barcodes[::37], k)
    queries = queries.take(~queries.empty)
    plain, *compiled = [SparseIndex(counts, kernel=way) for way in WAYS]
    mask = np.random.default_rng(k).random(len(barcodes)) < 0.3
    ways: list[dict[str, Any]] = [{}, {"mask": mask}, {"start": 1100, "stop": 2900}, {"fold": True}]
    for how in ways:
        expected = plain.search(queries, near, **how)
        for index in compiled:
            found = index.search(queries, near, **how)
            np.testing.assert_array_equal(found.rows, expected.rows)
            np.testing.assert_array_equal(found.scores, expected.scores)


def test_what_cannot_be_asked_is_said() -> None:
    counts = KmerCounts.of(["ACGTACGTACGT", None], 5)
    index = SparseIndex(counts)
    with pytest.raises(BiocosmosError, match="5-mers"):
        index.search(KmerCounts.of(["ACGTACGTACGT"], 6), 1)
    with pytest.raises(BiocosmosError, match="row 1"):
        index.search(counts, 1)
    with pytest.raises(BiocosmosError, match="at least 1"):
        index.search(counts, 0)
    assert SparseIndex(counts.take(slice(0, 0))).search(counts.take(slice(0, 1)), 2).rows.tolist() == [[-1, -1]]


def test_what_a_processor_is_said_to_have_is_what_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(machine.ISA, "avx2")
    machine.forget()
    try:
        assert "avx512" not in kernels.known()
        assert "avx512" not in str(SparseIndex(KmerCounts.of(["ACGTACGTACGT"], 5)).provenance["scan"])
    finally:
        monkeypatch.undo()
        machine.forget()
