"""K-mers of barcodes, against counting them one by one."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.errors import BiocosmosError

BARCODES = st.lists(st.none() | st.text("ACGTNRacgt-", max_size=60), max_size=12)


def by_hand(barcode: str | None, k: int) -> Counter[int]:
    found: Counter[int] = Counter()
    for at in range(len(barcode or "") - k + 1):
        word = (barcode or "")[at : at + k].upper()
        if set(word) <= set("ACGT"):
            found[sum("ACGT".index(letter) * 4**place for place, letter in enumerate(reversed(word)))] += 1
    return found


@settings(deadline=None)
@given(BARCODES, st.sampled_from([5, 6, 7, 8]))
def test_counts_are_those_of_counting_one_by_one(barcodes: list[str | None], k: int) -> None:
    counts = KmerCounts.of(barcodes, k)
    assert len(counts) == len(barcodes) and counts.dim == 4**k
    codes, times, starts = counts.unique()
    for row, barcode in enumerate(barcodes):
        here, wanted = slice(starts[row], starts[row + 1]), by_hand(barcode, k)
        assert dict(zip(codes[here].tolist(), times[here].tolist())) == dict(wanted)
        assert counts.norms[row] == pytest.approx(sum(n * n for n in wanted.values()) ** 0.5)
        assert counts.empty[row] == (not wanted)


@settings(deadline=None)
@given(BARCODES, st.data())
def test_rows_are_taken_stored_and_put_together_again(barcodes: list[str | None], data: st.DataObject) -> None:
    counts = KmerCounts.of(barcodes, 5)
    back = KmerCounts.from_arrow(pa.chunked_array([counts.to_arrow(), counts.to_arrow()]), 5)
    twice = KmerCounts.concatenate([counts, counts])
    assert np.array_equal(back.codes, twice.codes) and np.array_equal(back.starts, twice.starts)
    rows = data.draw(st.lists(st.integers(0, len(barcodes) - 1), max_size=9) if barcodes else st.just([]))
    taken = counts.take(np.array(rows, np.int64))
    wanted = KmerCounts.of([barcodes[row] for row in rows], 5)
    assert np.array_equal(taken.codes, wanted.codes) and np.array_equal(taken.starts, wanted.starts)
    part = counts.take(slice(1, 3))
    assert np.array_equal(part.codes, KmerCounts.of(barcodes[1:3], 5).codes) and len(part) == len(barcodes[1:3])


def test_dense_rows_are_unit_counts() -> None:
    dense = KmerCounts.of(["AAAAAAC", None], 5).dense()
    assert dense.shape == (2, 1024) and not dense[1].any()
    assert dense[0, 0] == pytest.approx(2 / 5**0.5) and dense[0, 1] == pytest.approx(1 / 5**0.5)


def test_many_barcodes_are_counted_as_few_are() -> None:
    random = np.random.default_rng(0)
    barcodes = ["".join(random.choice(list("ACGTN"), 40)) for _ in range(5000)]
    counts, last = KmerCounts.of(barcodes, 6), KmerCounts.of(barcodes[-3:], 6)
    assert np.array_equal(counts.take(slice(4997, 5000)).codes, last.codes)


def test_other_lengths_are_refused_in_one_line() -> None:
    with pytest.raises(BiocosmosError, match="k-mers of 9 bases are not counted: choose one of 5, 6, 7, 8"):
        KmerCounts.of(["ACGT"], 9)
    with pytest.raises(BiocosmosError, match="different lengths"):
        KmerCounts.concatenate([KmerCounts.of([], 5), KmerCounts.of([], 6)])
