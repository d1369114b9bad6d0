"""The split for work across modalities: what it promises of keys, queries, species and barcodes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biocosmos.barcodes.simulate import simulate_barcodes
from biocosmos.specimens.seen_unseen_split import PARTS, seen_unseen_parts


def check(barcodes: list[str | None], species: list[str | None], parts: list[str | None]) -> None:
    """What every table is promised, written out."""
    assert set(parts) <= {*PARTS, None}
    where: dict[str, set[str]] = {}
    for barcode, part in zip(barcodes, parts):
        plain = (barcode or "").upper().replace("-", "").strip("N")
        if part is not None and plain:
            where.setdefault(plain, set()).add(part)
    assert all(len(found) == 1 for found in where.values()), "a barcode is in one part"
    of = {part: {name for name, each in zip(species, parts) if each == part} for part in PARTS}
    assert of["pretrain"] <= {None} and None not in set().union(*(of[part] for part in PARTS if part != "pretrain"))
    assert of["val"] <= of["train"] and of["test"] <= of["train"]
    unseen = of["key_unseen"] | of["val_unseen"] | of["test_unseen"]
    assert not unseen & of["train"] and not of["val_unseen"] & of["test_unseen"]
    for name, each in zip(species, parts):  # who is alone is asked for, and is no key
        if each == "key_unseen":
            assert name in of["val_unseen"] | of["test_unseen"]


def test_a_table_without_parts_gets_all_of_them() -> None:
    table = simulate_barcodes(seed=2, species=120, genera=30, specimens=1200)
    columns = [table[name].to_pylist() for name in ("barcode", "species", "genus")]
    parts, _ = seen_unseen_parts(*columns, seed=0)
    check(columns[0], columns[1], parts.tolist())
    count = Counter(parts.tolist())
    assert 0.05 < count["test"] / 1200 < 0.15 and 0.05 < count["val"] / 1200 < 0.15
    assert min(count[part] for part in ("key_unseen", "val_unseen", "test_unseen")) > 5
    unseen = {s for s, part in zip(columns[1], parts) if part in ("key_unseen", "val_unseen", "test_unseen")}
    known = {g for g, part in zip(columns[2], parts) if part == "train"}
    assert {name.split()[0] for name in unseen} <= known
    again = np.random.default_rng(0).permutation(1200)
    shuffled, _ = seen_unseen_parts(*[[column[i] for i in again] for column in columns], seed=0)
    assert shuffled.tolist() == parts[again].tolist(), "the order of rows does not matter"
    assert seen_unseen_parts(*columns, seed=1)[0].tolist() != parts.tolist()


def test_the_tables_own_test_is_kept_and_its_unseen_species_are_halved() -> None:
    rows = [("T" * i + "ACG", f"A s{i % 8}", "train") for i in range(1, 65)]
    rows += [("T" * (70 + i) + "ACG", f"A s{i % 8}", "test") for i in range(8)]
    rows += [("C" * (80 + i) + "ACG", f"A u{i // 4}", "test_unseen") for i in range(16)]
    rows += [("G" * 99, None, "pretrain"), ("G" * 98, "A odd", "elsewhere"), ("A" * 97, "A alone", "test_unseen")]
    barcodes, species, given_parts = map(list, zip(*rows))
    parts, notes = seen_unseen_parts(barcodes, species, ["A"] * len(rows), given_parts)
    check(barcodes, species, parts.tolist())
    assert all(part == "test" for part, told in zip(parts, given_parts) if told == "test")
    assert parts[-3] == "pretrain" and parts[-2] is None and parts[-1] in ("val_unseen", "test_unseen")
    count = Counter(parts.tolist())
    assert count["key_unseen"] == 8 and count["val_unseen"] + count["test_unseen"] == 9
    assert "1 queries of unseen species have no key of their species: no answer at species can be right" in notes


def test_a_barcode_of_two_species_is_in_no_part_and_an_unnamed_one_gives_way() -> None:
    barcodes = ["AAAC", "AAAC", "AAAG", "NAAAGN", "AA-AT"]
    parts, _ = seen_unseen_parts(barcodes, ["A a", "A b", "A a", None, None], ["A"] * 5)
    assert parts.tolist() == [None, None, "train", None, "pretrain"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, "ACA", "ACC", "ACG", "ACT", "AGA", "NACAN", "TT-T", "TTT", "TA", "TC", "TG"]),
            st.sampled_from([None, "A a", "A b", "A c", "B a", "B b"]),
            st.sampled_from([None, "train", "test", "test_unseen", "val", "pretrain", "odd"]),
        ),
        max_size=60,
    ),
    st.booleans(),
    st.integers(0, 5),
)
def test_the_promises_hold_for_any_table(rows: list[tuple[str | None, str | None, str | None]], own: bool, seed: int) -> None:
    barcodes, species, told = [list(column) for column in zip(*rows)] if rows else [[], [], []]
    genera = [None if name is None else name.split()[0] for name in species]
    parts, _ = seen_unseen_parts(barcodes, species, genera, told if own else None, seed=seed)
    check(barcodes, species, parts.tolist())


@pytest.mark.parametrize("species", [None, "A a"])
def test_one_specimen_is_enough(species: str | None) -> None:
    parts, _ = seen_unseen_parts(["ACGT"], [species], ["A"])
    assert parts.tolist() == ["pretrain" if species is None else "train"]
