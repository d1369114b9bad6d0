"""The partition rules of BIOSCAN-5M: the published formulas, and what must hold of every part whatever the specimens."""

from __future__ import annotations

from collections import Counter, defaultdict
from math import floor

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.specimens import bioscan_split as rules
from biocosmos.specimens.readers import read
from biocosmos.specimens.splits import make_split
from biocosmos.train.loop.settings import refuse_held_out_part, watched_part

NAMED = st.sampled_from(["Apis mellifera", "Apis cerana", "Bombus hortorum", "Culex pipiens"])
UNNAMED = st.sampled_from(["Apis sp. 1", "Bombus BOLD:AAA1", "Nomen sp. X", "Culex aff pipiens"])
ROWS = st.lists(
    st.tuples(st.one_of(NAMED, UNNAMED, st.none()), st.integers(0, 40)),
    max_size=200,
)


def crowd(seed: int, species: int = 30) -> pa.Table:
    """Species of 1 to 80 specimens in barcodes of 1 to 9, half of the genera with unnamed species."""
    rng = np.random.default_rng(seed)
    rows = []
    for s in range(species):
        genus = f"G{'abcdefgh'[s % 8]}us"
        name = f"{genus} sp. {s}" if s % 5 == 4 else f"{genus} name{'abcdefghijklmnopqrstuvwxyz'[s % 26] * (1 + s // 26)}"
        left = int(rng.integers(1, 80))
        while left > 0:
            size = min(left, int(rng.integers(1, 10)))
            barcode = "".join(rng.choice(list("ACGT"), 400))
            rows += [(name, genus, barcode + "N" * int(rng.integers(0, 4))) for _ in range(size)]
            left -= size
    rows += [(None, "Gaus", "".join(rng.choice(list("ACGT"), 400))) for _ in range(20)]
    order = rng.permutation(len(rows))
    names, genera, barcodes = (list(column) for column in zip(*(rows[i] for i in order)))
    ids = [f"S{i:05d}" for i in range(len(rows))]
    return pa.table({"id": ids, "species": names, "genus": genera, "barcode": barcodes})


def parts_of(table: pa.Table, **how: int) -> dict[str, str]:
    split = make_split(table, "bioscan", **how)  # type: ignore[arg-type]
    return dict(zip(split.ids.to_pylist(), split.parts.to_pylist()))


def test_the_published_formulas() -> None:
    assert [rules.test_target(n) for n in (1, 7, 8, 11, 12, 40, 91, 92, 5000)] == [0, 0, 4, 4, 5, 12, 24, 25, 25]
    assert [rules.test_upper(n) for n in (8, 10, 11, 20)] == [4, 4, 5, 8]
    assert [rules.test_barcodes(b) for b in (0, 1, 2, 3, 4, 5, 8, 20)] == [0, 0, 0, 1, 1, 2, 3, 7]
    assert rules.SEEDS == {"test": (0, 1), "val": (2, 3), "test_unseen": (4, 5), "val_unseen": (6, 7)}


PLACEHOLDERS = """Malaise sp,MalaiseMetz,gelBioLep01,Aus bus2,Aus BUs,Aus aff bus,Aus n.sp,Aus n. sp. x,Aus sp.ex bus,Aus gen
Aus affinis,Aus_bus,Aus ?bus,Aus cf. bus,Aus Bus,aus bus,Aus sp. 1,Megaselia BOLD:AAA1234""".replace("\n", ",").split(",")


@pytest.mark.parametrize("name", PLACEHOLDERS)
def test_placeholder_names(name: str) -> None:
    assert rules.is_placeholder(name)


@pytest.mark.parametrize("name", ["Apis mellifera", "Tenthredo malaisei", "Aus genalis", "Aus affinoides", "Apis", "Aus x-album"])
def test_proper_names(name: str) -> None:
    assert not rules.is_placeholder(name)


@given(ROWS, st.integers(0, 3))
def test_what_holds_of_any_specimens(rows: list[tuple[str | None, int]], seed: int) -> None:
    if not rows:
        return
    bases = {k: "ACGT"[k % 4] * 5 + "ACGT"[k // 4 % 4] * 3 + "ACGT"[k // 16] for k in range(41)}
    table = pa.table(
        {
            "id": [f"{i:04d}" for i in range(len(rows))],
            "species": pa.array([name for name, _ in rows], pa.string()),
            "barcode": pa.array([None if k == 40 else bases[k] + "N" * (i % 3) for i, (_, k) in enumerate(rows)], pa.string()),
        }
    )
    found = parts_of(table, seed=seed)
    assert set(found) == set(table["id"].to_pylist()) and set(found.values()) <= set(rules.PARTS)
    part_of_barcode, species_of_barcode = defaultdict(set), defaultdict(set)
    for i, (name, k) in enumerate(rows):
        if k != 40:
            part_of_barcode[k].add(found[f"{i:04d}"])
            species_of_barcode[k] |= {name} - {None}
    assert all(len(parts) == 1 for parts in part_of_barcode.values()), "a barcode crosses parts"
    for i, (name, k) in enumerate(rows):
        part = found[f"{i:04d}"]
        of = {name} - {None} if k == 40 else species_of_barcode[k]
        if len(of) != 1:
            assert part == "pretrain"
        elif next(iter(of)) in ("Apis mellifera", "Apis cerana", "Bombus hortorum", "Culex pipiens"):
            assert part in ("train", "val", "test")
        else:
            assert part in ("key_unseen", "val_unseen", "test_unseen", "other_heldout")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_part_is_what_its_definition_says(seed: int) -> None:
    table = crowd(seed)
    found = parts_of(table)
    rows = table.to_pylist()
    seen_genera = {row["genus"] for row in rows if row["species"] and " sp. " not in row["species"]}
    species = defaultdict(list)
    for row in rows:
        if row["species"] is None:
            assert found[row["id"]] == "pretrain"
        else:
            species[row["species"]].append((found[row["id"]], row["barcode"].rstrip("N")))
    for name, told in species.items():
        n, barcodes, held = len(told), len({barcode for _, barcode in told}), Counter(part for part, _ in told)
        unseen = " sp. " in name
        if unseen and (n < 8 or name.split()[0] not in seen_genera):
            assert set(held) == {"other_heldout"}
            continue
        home, val, test = ("key_unseen", "val_unseen", "test_unseen") if unseen else ("train", "val", "test")
        assert set(held) <= {home, val, test} and held[home] > 0
        if held[test]:
            cap = floor(1 + (barcodes - 2) / 3)
            assert n >= 8 and barcodes >= 3 and 3 <= held[test] <= floor(4 + (n - 8) / 3)
            assert len({barcode for part, barcode in told if part == test}) <= cap
        left = n - held[test]
        if unseen:
            assert held[val] <= max(1, floor(0.4 * left))
        elif n >= 20:
            assert held[val] <= max(1, floor(0.1 * left))
        else:
            assert held[val] <= (1 if n >= 7 else 0)
    assert {"train", "val", "test", "key_unseen", "val_unseen", "test_unseen", "pretrain"} <= set(found.values())


def test_row_order_does_not_matter_and_another_seed_draws_others() -> None:
    table = crowd(5)
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(table.num_rows)))
    assert parts_of(shuffled) == parts_of(table)
    assert parts_of(table, seed=1) != parts_of(table)
    assert make_split(table, "bioscan").parameters["seeds"]["val_unseen"] == [6, 7]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=30), st.integers(0, 99))
def test_a_pick_keeps_its_bounds(sizes: list[int], seed: int) -> None:
    n, b = sum(sizes), len(sizes)
    wanted = rules.Wanted(rules.test_target(n), 3, rules.test_upper(n), rules.test_barcodes(b))
    chosen = rules.pick(np.array(sizes), wanted, np.random.default_rng(seed))
    total = sum(sizes[i] for i in chosen)
    assert len(set(chosen)) == len(chosen) <= rules.test_barcodes(b)
    assert total == 0 or (3 <= total <= rules.test_upper(n) and n >= 8)


def test_epithets_with_a_genus_beside_them_and_image_files_without_barcodes() -> None:
    table = pa.table(
        {
            "id": [f"{i:02d}" for i in range(40)],
            "genus": ["Apis"] * 40,
            "species": ["mellifera"] * 30 + ["sp. 1"] * 10,
            "barcode": pa.nulls(40, pa.string()),
        }
    )
    split = make_split(table, "bioscan")
    found = dict(zip(split.ids.to_pylist(), split.parts.to_pylist()))
    assert {found[f"{i:02d}"] for i in range(30)} == {"train", "val", "test"}
    assert {found[f"{i:02d}"] for i in range(30, 40)} == {"key_unseen", "val_unseen", "test_unseen"}
    assert split.notes == ("40 specimens without a barcode are each treated as a barcode of its own",)


def test_a_collection_keeps_it_and_asks_for_parts_together(tmp_path) -> None:  # type: ignore[no-untyped-def]
    collection = bc.Collection.create(tmp_path / "crowd.cosmos")
    collection.add(read(crowd(0), provisional=True))
    made = collection.make_split("bioscan")
    again = collection.split()
    assert (again.hash, again.method, again.seed) == (made.hash, "bioscan", 0)
    both = set(again.part("test").to_pylist()) | set(again.part("test_unseen").to_pylist())
    assert set(again.part("test+test_unseen").to_pylist()) == both
    assert collection.count(split="test+test_unseen") == len(both)
    with pytest.raises(BiocosmosError, match="has no part 'tset'"):
        again.part("test+tset")


def test_a_collection_without_species_is_told(tmp_path) -> None:  # type: ignore[no-untyped-def]
    collection = bc.Collection.create(tmp_path / "few.cosmos")
    collection.add(pa.table({"id": ["a"], "family": ["Apidae"], "barcode": ["ACGTTGCA" * 80]}))
    with pytest.raises(BiocosmosError, match="needs a column 'species'"):
        collection.make_split("bioscan")


@pytest.mark.parametrize("part", ["train+test", "test_unseen", "val", "official:train+val_unseen"])
def test_nothing_is_trained_on_a_part_that_is_held_out_under_a_longer_name(part: str) -> None:
    with pytest.raises(BiocosmosError, match="is held out to measure on and is never trained on"):
        refuse_held_out_part(part)
    with pytest.raises(BiocosmosError, match="no choice is made on the part 'test_unseen"):
        watched_part("train", "test_unseen+val")
    assert watched_part("order:train+pretrain", "val+val_unseen") == "order:val+val_unseen"
