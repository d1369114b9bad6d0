"""Alignments over the overlap against a plain dynamic programme over all cells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biocosmos.barcodes.alignment import Letters, align, align_many
from plain_overlap import overlap_score

BASES = "ACGT"
LEEWAY = 12  # the programme fits bases of chance into gaps that no word of eight bases speaks for


def related(seed: int, differences: float, gaps: int) -> tuple[str, str]:
    """A barcode and a relative that begins and ends elsewhere; a codon or two are taken out or put in, far from the ends."""
    rng = np.random.default_rng(seed)
    a = [str(x) for x in rng.choice(list(BASES), 400, p=[0.3, 0.16, 0.16, 0.38])]
    b = [str(rng.choice(list(BASES))) if rng.random() < differences else x for x in a]
    for place in rng.choice(np.arange(120, 280, 40), gaps, replace=False):
        size = 3 * int(rng.integers(1, 3))
        if rng.random() < 0.5:
            del b[place : place + size]
        else:
            b[place:place] = [str(x) for x in rng.choice(list(BASES), size)]
    for letters in (a, b):
        for place in rng.integers(0, len(letters), rng.integers(0, 4)):
            letters[place] = "N"
    left, right = rng.integers(0, 60, 2)
    one, two = "".join(a), "".join(b)
    one = one[left:] if rng.random() < 0.5 else one[: len(one) - left]
    two = two[right:] if rng.random() < 0.5 else two[: len(two) - right]
    return one, two


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), differences=st.sampled_from([0.0, 0.02, 0.1]), gaps=st.integers(0, 2))
def test_relatives_are_laid_over_each_other_as_the_full_programme_would(seed: int, differences: float, gaps: int) -> None:
    a, b = related(seed, differences, gaps)
    for one, two in ((a, b), (b, a)):
        found = align(one, two)
        score = found.matches - found.mismatches - found.gaps
        best = overlap_score(one, two, cost=1)
        assert best - LEEWAY <= score <= best


def test_an_overlap_of_two_ends_is_all_that_counts() -> None:
    rng = np.random.default_rng(1)
    whole = "".join(rng.choice(list(BASES), 300))
    found = align(whole[:200], whole[100:])
    assert (found.matches, found.mismatches, found.gaps) == (100, 0, 0)
    assert (found.query_span, found.target_span) == ((100, 200), (0, 100))
    assert found.identity == 1 and found.length == 100


def test_unknown_bases_are_no_columns_and_case_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    whole = "".join(rng.choice(list(BASES), 120))
    other = whole[:50] + "NN" + whole[52:70] + ("A" if whole[70] != "A" else "C") + whole[71:]
    found = align(whole.lower(), other)
    assert (found.matches, found.mismatches, found.gaps, found.length) == (117, 1, 0, 118)


def test_a_missing_codon_is_three_gaps() -> None:
    rng = np.random.default_rng(3)
    whole = "".join(rng.choice(list(BASES), 300))
    found = align(whole[:150] + whole[153:], whole)
    assert (found.matches, found.mismatches, found.gaps) == (297, 0, 3)
    assert align(whole, whole[:150] + whole[153:]).gaps == 3


@pytest.mark.parametrize(
    ("a", "b"), [("", "ACGT"), ("", ""), ("NNNNNNNNNNNN", "ACGTACGTACGT"), ("ACG", "TTT"), ("A" * 40, "A" * 40)]
)
def test_odd_pairs_have_an_answer(a: str, b: str) -> None:
    found = align(a, b)
    assert 0 <= found.identity <= 1 and found.length <= max(len(a), len(b)) + 1


def test_many_pairs_are_the_same_as_one_by_one() -> None:
    made = [related(seed, 0.05, seed % 3) for seed in range(12)]
    queries, targets = Letters([a for a, _ in made]), [b for _, b in made]
    pairs = [(i, j) for i in range(12) for j in (i, (5 * i) % 12)]
    many = align_many(queries, targets, pairs)
    assert [many[p] for p in range(len(pairs))] == [align(made[i][0], made[j][1]) for i, j in pairs]
