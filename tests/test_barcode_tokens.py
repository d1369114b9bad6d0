"""Barcodes as tokens: the golden strings of the published tokenizers, and a tokenizer written out letter by letter."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biocosmos.barcodes.tokens import PAD, KmerTokens
from biocosmos.errors import BiocosmosError

BARCODE = st.text("ACGTN", max_size=30)


def published(tokenizer: KmerTokens, barcode: str, offset: int = 0) -> tuple[list[int], list[int]]:
    ids, real = tokenizer.padded(tokenizer.of([barcode], np.array([offset])))
    return ids[0].tolist(), real[0].astype(int).tolist()


def test_golden_strings() -> None:
    """BarcodeBERT's tokenizer of k = 4 and 20 bases, as measured on its code."""
    tokenizer = KmerTokens(k=4, length=20)
    assert published(tokenizer, "ACGTACGTNNACGTA") == ([29, 29, 1, 1, 1], [1, 1, 1, 0, 0])
    assert published(tokenizer, "ACGTACGTACG", 1) == ([110, 110, 1, 1, 1], [1, 1, 0, 0, 0])


def test_clibd() -> None:
    """The older vocabulary: <CLS> first, 133 tokens of 5 bases, 4^5 + 3 numbers."""
    tokenizer = KmerTokens(k=5, vocabulary="clibd")
    assert (tokenizer.tokens, tokenizer.size, tokenizer.mask, tokenizer.start, tokenizer.unknown) == (133, 4**5 + 3, 0, 1, 2)
    assert published(tokenizer, "AAAAATTTTTNAAAA")[0][:5] == [1, 3, 4**5 + 2, 2, 2]


@pytest.mark.parametrize(("k", "tokens"), [(3, 220), (4, 165), (5, 132), (6, 110), (7, 94), (8, 82), (9, 73)])
def test_as_many_tokens_as_published(k: int, tokens: int) -> None:
    assert KmerTokens(k=k).tokens == tokens
    assert KmerTokens(k=k).size == 4**k + 2


@given(barcode=BARCODE, k=st.integers(1, 4), stride=st.integers(0, 4), offset=st.integers(0, 3))
def test_against_letters(barcode: str, k: int, stride: int, offset: int) -> None:
    """Every token, written out: cut, padded with N, looked up in a list."""
    if stride > k:
        return
    tokenizer, step = KmerTokens(k=k, stride=stride, length=20), stride or k
    names = ["[MASK]", "[UNK]", *("".join(letters) for letters in product("ACGT", repeat=k))]
    text = barcode[offset:][:20]
    padded = text + "N" * (20 - len(text))
    words = [padded[i : i + k] for i in range(0, 20 - k + 1, step)]
    ids = [names.index(word) if word in names else 1 for word in words]
    real = [int(i + k <= len(text)) for i in range(0, 20 - k + 1, step)]
    assert published(tokenizer, barcode, offset) == (ids, real)
    if step == k:  # the published mask
        assert sum(real) == len(text) // k


def test_k_mers_with_n_have_numbers_after_those_without() -> None:
    tokenizer = KmerTokens(k=2, vocabulary="with-n", length=8)
    assert tokenizer.size == 2 + 25
    with_n = [a + b for a, b in product("ACGNT", repeat=2) if "N" in (a, b)]
    assert published(tokenizer, "ACTTANNA")[0] == [2 + 1, 2 + 15, 18 + with_n.index("AN"), 18 + with_n.index("NA")]
    assert published(tokenizer, "AC")[0][1:] == [18 + with_n.index("NN")] * 3
    assert sorted({tokenizer.of([a + b])[0, 0] for a, b in product("ACGTN", repeat=2)}) == list(range(2, 27))


def test_lower_case_and_other_letters() -> None:
    tokenizer = KmerTokens(k=2, length=6)
    assert tokenizer.of(["acgrü-", "", "A"]).tolist() == [[3, 1, 1], [PAD] * 3, [PAD] * 3]


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": 10}, {"vocabulary": "bert"}, {"k": 4, "stride": 5}, {"k": 4, "length": 3}])
def test_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BiocosmosError):
        KmerTokens(**wrong)  # type: ignore[arg-type]
