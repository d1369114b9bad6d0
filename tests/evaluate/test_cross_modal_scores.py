"""Retrieval across modalities against CLIBD's metrics written out in loops, and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.cross_modal.scores import nearest, pairs, retrieval_scores
from biocosmos.evaluate.cross_modal.sides import Side, coded
from biocosmos.evaluate.numbers.bootstrap import Bootstrap

NONE = Bootstrap(0)


def side(rng: np.random.Generator, n: int, taxa: dict[str, Any], missing: float = 0.2, dim: int = 6) -> Side:
    """Unit vectors of three modalities, of which some specimens lack one."""
    vectors = {}
    for modality in ("image", "dna", "text"):
        made = rng.normal(size=(n, dim)).astype(np.float32)
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        made[rng.random(n) < missing] = 0
        vectors[modality] = made
    return Side(vectors, taxa)


def named(rng: np.random.Generator, n: int, names: list[str | None]) -> dict[str, list[str | None]]:
    species = [names[i] for i in rng.integers(0, len(names), n)]
    return {"genus": [None if name is None else name.split()[0] for name in species], "species": species}


def kinds_of(part: Side, names: dict[str, list[str | None]], kind: str) -> list[tuple[np.ndarray, dict[str, str | None]]]:
    """Every vector of a kind, with the names of its specimen, by a loop."""
    out = []
    for modality in ("image", "dna", "text") if kind == "all" else (kind,):
        for i in range(len(names["species"])):
            image, dna = part.vectors["image"][i], part.vectors["dna"][i]
            if modality in ("averaged", "concatenated"):
                if not image.any() or not dna.any():
                    continue
                vector = (image + dna) / 2 if modality == "averaged" else np.concatenate([image, dna])
            else:
                vector = part.vectors[modality][i]
            if vector.any():
                out.append((vector / np.linalg.norm(vector), {rank: names[rank][i] for rank in names}))
    return out


def clibd(keys: list[Any], queries: list[Any], rank: str, k: int) -> tuple[float, float]:
    """Micro and macro top-k accuracy by CLIBD's definition, unknown names never equal, queries without a name left out."""
    right: dict[str, list[bool]] = {}
    for vector, own in queries:
        order = sorted(range(len(keys)), key=lambda i: (-float(np.float32(keys[i][0] @ vector)), i))
        if own[rank] is not None:
            right.setdefault(str(own[rank]), []).append(own[rank] in [keys[i][1][rank] for i in order[:k]])
    every = [hit for each in right.values() for hit in each]
    return sum(every) / len(every), sum(sum(each) / len(each) for each in right.values()) / len(right)


def test_every_pair_rank_and_k_is_that_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    names: list[str | None] = ["Aus minor", "Aus major", "Bus niger", "Bus ruber", "Cus parvus", None]
    told = [named(rng, n, names) for n in (60, 40, 30)]
    codes = coded(*told)
    keys, seen, unseen = (side(rng, len(each["genus"]), taxa) for each, taxa in zip(told, codes))
    rows = retrieval_scores(keys, {"seen": seen, "unseen": unseen}, bootstrap=NONE)
    asked = dict.fromkeys((row["query"], row["key"]) for row in rows)
    singles = ("image", "dna", "text")
    assert set(asked) == {
        *((query, key) for query in (*singles, "averaged") for key in (*singles, "averaged", "all")),
        ("concatenated", "concatenated"),
    }
    assert len(rows) == 21 * 2 * 3 * 2
    for row in rows:
        mine = kinds_of(keys, told[0], row["key"])
        values = []
        for name, part, own in (("seen", seen, told[1]), ("unseen", unseen, told[2])):
            micro, macro = clibd(mine, kinds_of(part, own, row["query"]), row["rank"], row["k"])
            assert row[name] == pytest.approx(micro if row["average"] == "micro" else macro), (row, name)
            values.append(row[name])
        expected = 0 if 0 in values else 2 / (1 / values[0] + 1 / values[1])
        assert row["harmonic_mean"] == pytest.approx(expected)


def test_by_hand() -> None:
    """Four keys on the axes of a plane, three queries: every figure can be seen."""
    unit = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.float32)
    keys = Side({"dna": unit}, {"species": np.array([0, 1, 1, -1])})
    asks = np.array([[0.9, 0.1], [0.1, 0.9], [-0.1, -0.9], [0.6, 0.8]], np.float32)
    seen = Side({"image": asks / np.linalg.norm(asks, axis=1, keepdims=True)}, {"species": np.array([0, 0, 7, -1])})
    rows = retrieval_scores(keys, {"seen": seen}, ks=(1, 2), bootstrap=NONE)
    first, macro, second, _ = rows
    assert (first["query"], first["key"], first["k"], first["average"]) == ("image", "dna", 1, "micro")
    # the first finds taxon 0; the second finds 1; the third finds a key without a name, and its taxon has no key
    assert first["seen"] == pytest.approx(1 / 3) and macro["seen"] == pytest.approx((1 / 2 + 0) / 2)
    assert (first["seen_specimens"], first["seen_taxa"], first["seen_unanswerable"], first["seen_unnamed"]) == (3, 2, 1, 1)
    assert first["seen_answerable"] == pytest.approx(1 / 2) and macro["seen_answerable"] == pytest.approx(1 / 2)
    assert first["seen_chance"] == pytest.approx((1 / 4 + 1 / 4 + 0) / 3) and macro["seen_chance"] == pytest.approx(1 / 8)
    assert second["seen"] == pytest.approx(2 / 3), "the second key of the second query is of its taxon"
    assert np.isnan(first["unseen"]) and np.isnan(first["harmonic_mean"]) and first["unseen_specimens"] == 0


def test_nothing_answerable_is_no_share() -> None:
    keys = Side({"dna": np.eye(2, dtype=np.float32)}, {"species": np.array([0, 1])})
    asks = {"seen": Side({"dna": np.eye(2, dtype=np.float32)}, {"species": np.array([5, -1])})}
    row = retrieval_scores(keys, asks, ks=(1,), averages=("micro",), bootstrap=NONE)[0]
    assert np.isnan(row["seen"]) and (row["seen_unanswerable"], row["seen_unnamed"]) == (1, 1)


def test_two_unknown_names_are_no_hit() -> None:
    """The published code counts them: "not_classified" equals "not_classified"."""
    keys, asks = coded(
        {"species": ["not_classified", None, "", "Aus minor"]}, {"species": ["not_classified", "none", None, "Aus minor"]}
    )
    assert keys["species"].tolist() == [-1, -1, -1, 0] and asks["species"].tolist() == [-1, -1, -1, 0]
    same = np.eye(4, dtype=np.float32)
    row = retrieval_scores(Side({"image": same}, keys), {"seen": Side({"image": same}, asks)}, ks=(1,), bootstrap=NONE)[0]
    assert (row["seen"], row["seen_specimens"], row["seen_unnamed"]) == (1.0, 1, 3)


def test_equal_keys_answer_in_their_order() -> None:
    """One text a species: the specimens' texts are equal vectors, and the lowest of them answers."""
    text = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    keys = Side({"text": text}, {"species": np.repeat(np.arange(3), 4)})
    found, scores = nearest(keys, Side({"image": np.eye(3, dtype=np.float32)}, {}), "image", "text", 5)
    assert found[:, :4].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]] and (scores[:, :4] == 1).all()
    assert found[0, 4] == 4 and found[1, 4] == 0, "the next are all as far: the lowest"
    once = Side({"text": np.eye(3, dtype=np.float32)}, {"species": np.arange(3)})
    asks = {
        "seen": Side({"image": np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)}, {"species": np.arange(50) % 3})
    }
    one, all_of_them = (retrieval_scores(each, asks, ks=(1,), bootstrap=NONE) for each in (once, keys))
    assert [row["seen"] for row in one] == [row["seen"] for row in all_of_them]


def test_what_a_side_lacks_is_not_asked() -> None:
    two = Side({"image": np.eye(2, dtype=np.float32), "dna": np.eye(2, dtype=np.float32)}, {"genus": np.array([0, 1])})
    asked = set(pairs(two, {"seen": two}))
    assert ("image", "dna") in asked and not any("text" in pair for pair in asked)
    none = Side({"image": np.zeros((2, 2), np.float32)}, {"genus": np.array([0, 1])})
    assert list(pairs(two, {"seen": none})) == []
    with pytest.raises(BiocosmosError, match="of the same specimens and one space"):
        Side({"image": np.eye(2, dtype=np.float32), "dna": np.eye(3, dtype=np.float32)}, {})


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 8), st.integers(0, 1000))
def test_shares_rise_with_k_and_lie_within_their_interval(keys: int, queries: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mine = side(rng, keys, {"species": rng.integers(-1, 3, keys)}, dim=3)
    asks = side(rng, queries, {"species": rng.integers(-1, 3, queries)}, dim=3)
    rows = retrieval_scores(mine, {"seen": asks, "unseen": asks}, bootstrap=Bootstrap(20))
    for row in rows:
        for other in rows:
            same = all(row[name] == other[name] for name in ("query", "key", "rank", "average"))
            if same and row["k"] < other["k"] and not np.isnan(row["seen"]):
                assert row["seen"] <= other["seen"] and row["seen_chance"] <= other["seen_chance"]
        if not np.isnan(row["seen"]):
            assert 0 <= row["seen_low"] <= row["seen_high"] <= 1
            assert row["seen"] == row["unseen"] and row["harmonic_mean"] == pytest.approx(row["seen"])
