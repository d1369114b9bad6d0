"""A tokenizer of taxonomic strings: what it folds, what it keeps, what it makes of words nobody saw."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biocosmos.encoders.taxon_tokens import FILE, LENGTH, LONGEST, PAD, TaxonTokens, words_of
from biocosmos.errors import BiocosmosError

TEXTS = [
    *("Diptera Culicidae Aedes vexans", "Diptera Culicidae Culex pipiens", "Diptera Syrphidae Eristalis tenax", "Diptera"),
    *("Coleoptera Carabidae Carabus auratus", "Coleoptera Coccinellidae Coccinella septempunctata", "Hemiptera Aphididae"),
]
TOKENS = TaxonTokens.learnt(TEXTS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("order Diptera", ["diptera"]),
        ("DIPTERA", ["diptera"]),
        ("Diptera Culicidae Aedes Aedes vexans (Meigen, 1830)", ["diptera", "culicidae", "aedes", "vexans"]),
        ("Aedes vexans Meigen, 1830", ["aedes", "vexans"]),
        ("a photo of Aedes vexans.", ["aedes", "vexans"]),
        ("family_Culicidae genus Aedes", ["culicidae", "aedes"]),
        ("Polygonia c-album", ["polygonia", "calbum"]),
        ("Médusa  élégante", ["medusa", "elegante"]),
        ("Apis mellifera with common name honey bee", ["apis", "mellifera", "honey", "bee"]),
        ("order", ["order"]),
        ("昆虫纲", ["昆虫纲"]),
        (" ?! ", []),
    ],
)
def test_words_are_looked_up_alike_however_they_are_written(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
def test_any_text_goes_there_and_back(text: str) -> None:
    back = TOKENS.texts(TOKENS.of([text]))[0].split()
    wanted = words_of(text)[:LENGTH]
    assert back == wanted
    assert all(len(word.encode()) <= LONGEST for word in back)


def test_a_word_that_was_seen_has_its_own_token_and_a_new_one_the_pieces_it_shares() -> None:
    known, new = TOKENS.of(["Diptera Culicidae Aedes vexans", "Diptera Culicidae Aedes cinereidae"])
    assert (known[:, 0] >= TOKENS.pieces).all() and (new[:3] == known[:3]).all(), (
        "a species nobody saw shares all but its epithet"
    )
    assert new[3, 0] == PAD and (new[3, 1:] >= 0).any() and TOKENS.unknown("Aedes cinereidae") == ["cinereidae"]
    ending = {tuple(row[row >= 0][-1:]) for row in (TOKENS.of(["Culicidae"])[0, 0], new[3])}
    assert len(ending) == 1, "and the ending -idae is one piece of both"


def test_it_does_not_depend_on_the_order_or_number_of_texts() -> None:
    again = TaxonTokens.learnt([*reversed(TEXTS), *TEXTS])
    assert again == TOKENS and again.digest == TOKENS.digest
    few = TaxonTokens.learnt(TEXTS, words=2, merges=3)
    assert few.words == ("diptera", "coleoptera") and len(few.merges) == 3 and few.size == 256 + 3 + 2
    assert few.texts(few.of(TEXTS[:1])) == ["diptera culicidae aedes vexans"]


def test_merges_are_those_of_counting_by_hand() -> None:
    words = sorted({word for text in TEXTS for word in words_of(text)})
    spelt = [[bytes([b]) for b in word.encode()] for word in words]
    pieces = [bytes([i]) for i in range(256)]
    for one, other in TOKENS.merges[:12]:
        counts: dict[tuple[bytes, bytes], int] = {}
        for word in spelt:
            for pair in pairwise(word):
                counts[pair] = counts.get(pair, 0) + 1
        best = min(counts, key=lambda pair: (-counts[pair], pair[0] + b"\0" + pair[1]))
        assert (pieces[one], pieces[other]) == best
        pieces.append(best[0] + best[1])
        for row, word in enumerate(spelt):
            joined, i = [], 0
            while i < len(word):
                two = tuple(word[i : i + 2]) == best
                joined.append(best[0] + best[1] if two else word[i])
                i += 1 + two
            spelt[row] = joined


def test_saved_and_read_again(tmp_path: Path) -> None:
    TOKENS.save(tmp_path)
    again = TaxonTokens.load(tmp_path)
    assert again == TOKENS and again.digest == TOKENS.digest
    assert np.array_equal(again.of(TEXTS), TOKENS.of(TEXTS))
    assert json.loads((tmp_path / FILE).read_text())["words"][0] == "diptera", "plain JSON"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"merges": [[97, 999]]}, "merge 0 is of pieces that come later"),
        ({"words": ["a", "a"]}, "a word comes twice"),
        ({"words": 3}, "'words' must be a list"),
        ({"format": 2}, "'format' must be 1"),
    ],
)
def test_a_damaged_tokenizer_is_refused_in_one_line(change: dict[str, object], says: str, tmp_path: Path) -> None:
    TOKENS.save(tmp_path)
    facts = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(facts | change))
    with pytest.raises(BiocosmosError, match=says):
        TaxonTokens.load(tmp_path)
    (tmp_path / FILE).unlink()
    with pytest.raises(BiocosmosError, match="is not the tokenizer of a text tower"):
        TaxonTokens.load(tmp_path)
