"""Pairs laid over each other by the compiled kernel against a plain dynamic programme, and hits that are put in order by it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biocosmos.barcodes.alignment import Alignments, Letters, align_many
from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.errors import BiocosmosError
from biocosmos.search.gallery import Gallery
from biocosmos.search.reranking import alignment_scores, rerank
from biocosmos.search.sparse import laying
from plain_overlap import overlap_score

BASES = list("ACGT")
LEEWAY = 12  # the programme fits bases of chance into gaps that no word of eight bases speaks for


def relative(rng: np.random.Generator, a: str, differences: float, gaps: int) -> str:
    b = [str(rng.choice(BASES)) if rng.random() < differences else x for x in a]
    for place in rng.choice(np.arange(120, 280, 40), gaps, replace=False):
        size = 3 * int(rng.integers(1, 3))
        if rng.random() < 0.5:
            del b[place : place + size]
        else:
            b[place:place] = [str(x) for x in rng.choice(BASES, size)]
    for place in rng.integers(0, len(b), rng.integers(0, 4)):
        b[place] = "N"
    left, right = rng.integers(0, 60, 2)
    return "".join(b[left : len(b) - right])


def lay(a: list[str], b: list[str], pairs: list[tuple[int, int]]) -> Alignments:
    return laying.lay(Letters(a), Letters(b), np.array(pairs, np.int64).reshape(-1, 2))


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), differences=st.sampled_from([0.0, 0.02, 0.08]), gaps=st.integers(0, 2))
def test_a_relative_is_laid_as_the_full_programme_would(seed: int, differences: float, gaps: int) -> None:
    rng = np.random.default_rng(seed)
    a = "".join(rng.choice(BASES, 400, p=[0.3, 0.16, 0.16, 0.38]))
    b = relative(rng, a, differences, gaps)
    a = a[int(rng.integers(0, 60)) :]
    for one, two in ((a, b), (b, a)):
        found = lay([one], [two], [(0, 0)])
        score, best = int(alignment_scores(found)[0]), overlap_score(one, two, cost=2)
        assert best - (LEEWAY if gaps or differences else 0) <= score <= best
        each = found[0]
        assert each.query_span[1] - each.query_span[0] + each.target_span[1] - each.target_span[0] >= 2 * (
            each.length - each.gaps
        )
        assert 0 in (each.query_span[0], each.target_span[0])
        assert each.query_span[1] == len(one) or each.target_span[1] == len(two)


def test_pairs_without_gaps_are_those_of_the_other_way() -> None:
    rng = np.random.default_rng(4)
    a = ["".join(rng.choice(BASES, 300)) for _ in range(6)]
    b = [relative(rng, x, 0.05, 0) for x in a for _ in range(5)]
    pairs = [(i, 5 * i + j) for i in range(6) for j in range(5)]
    kernel, other = lay(a, b, pairs), align_many(a, b, pairs)
    assert list(kernel) == list(other)


def test_odd_pairs_go_the_other_way() -> None:
    long = "".join(np.random.default_rng(5).choice(BASES, laying.LONGEST + 1))
    a, b = ["", "ACG", "N" * 40, long, "A" * 300], [long[:700], "", "ACGTACGTAC", "A" * 200]
    pairs = [(i, j) for i in range(len(a)) for j in range(len(b))]
    assert list(lay(a, b, pairs))[3 * len(b)].matches == 700
    assert lay(a, b, [(4, 3)])[0].identity == 1  # where one repeat lies on another is anybody's guess
    assert len(lay(a, b, [])) == 0


def test_more_diagonals_than_the_kernel_holds_are_thinned() -> None:
    rng = np.random.default_rng(6)
    unit = "".join(rng.choice(BASES, 60))
    found = lay([unit[:30] + "ACACACAC" * 20 + unit[30:]], [unit[:30] + "ACACACAC" * 19 + unit[30:]], [(0, 0)])[0]
    assert found.mismatches + found.gaps <= 8 and found.matches >= 200


def test_hits_are_in_the_order_of_their_alignments() -> None:
    rng = np.random.default_rng(7)
    query = "".join(rng.choice(BASES, 400))
    near = query[:50] + "".join(x if rng.random() > 0.05 else "ACGT"[("ACGT".index(x) + 1) % 4] for x in query[50:])
    barcodes = [query[:120], near, "".join(rng.choice(BASES, 400)), query[:200] + query[203:], near]
    counts = KmerCounts.of(barcodes, 6)
    gallery = Gallery.build([f"s{i}" for i in range(5)], counts)
    hits = gallery.search(KmerCounts.of([query], 6), 5)
    found = rerank([query], barcodes, hits, k=4)
    assert found.hits.rows.tolist() == [[3, 1, 4, 0]]  # a perfect end of 120 bases is not the best
    assert found.identity[0, 3] == 1 and found.alignment_length[0, 3] == 120
    assert found.gaps[0, 0] == 3 and found.mismatches[0, 0] == 0
    assert found.columns()["identity"][3] == 100
    np.testing.assert_array_equal(np.sort(found.alignment_score[0])[::-1], found.alignment_score[0])
    with pytest.raises(BiocosmosError, match="pass one for each"):
        rerank([query], barcodes[:3], hits)
