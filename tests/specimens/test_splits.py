"""Splits: what a user relies on when two people compare models."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biocosmos.errors import BiocosmosError
from biocosmos.specimens.splits import Split, make_split


def specimens(taxa: list[str | None], **columns: list[object]) -> pa.Table:
    return pa.table({"id": [f"s{i:05d}" for i in range(len(taxa))], **columns})


def parts_by_id(split: Split) -> dict[str, str]:
    return dict(zip(split.ids.to_pylist(), split.parts.to_pylist()))


@settings(max_examples=60, deadline=None)
@given(taxa=st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=1, max_size=80), seed=st.integers(0, 9))
@pytest.mark.parametrize("method", ["random", "stratified", "open-world"])
def test_every_specimen_is_in_exactly_one_part_whatever_the_row_order(taxa: list[str | None], seed: int, method: str) -> None:
    table = specimens(taxa)
    split = make_split(table, method, seed=seed, taxa=taxa)
    assert sorted(split.ids.to_pylist()) == sorted(table["id"].to_pylist())

    shuffled = np.random.default_rng(1).permutation(len(taxa))
    again = make_split(table.take(shuffled), method, seed=seed, taxa=[taxa[i] for i in shuffled])
    assert parts_by_id(again) == parts_by_id(split)
    assert again.hash == split.hash


def test_stratified_shares_out_every_taxon_and_says_what_it_did_with_the_rare_ones() -> None:
    taxa = ["common"] * 100 + ["some"] * 10 + ["two"] * 2 + ["one"]
    split = make_split(specimens(taxa), "stratified", taxa=taxa, seed=3)
    parts = list(parts_by_id(split).values())
    assert Counter(parts[:100]) == {"train": 70, "val": 15, "test": 15}
    assert Counter(parts[100:110])["train"] == 7
    assert sorted(parts[110:112]) == ["test", "train"]
    assert parts[112] == "train"
    assert any("single specimen" in note and note.startswith("1 ") for note in split.notes)


def test_open_world_holds_out_whole_taxa() -> None:
    taxa = [f"t{i % 20}" for i in range(400)]
    split = make_split(specimens(taxa), "open-world", taxa=taxa, held_out=0.25, seed=5)
    where = {}
    for part, taxon in zip(split.parts.to_pylist(), taxa):
        where.setdefault(taxon, set()).add(part == "novel")
    assert all(len(kinds) == 1 for kinds in where.values())
    assert sum(kinds == {True} for kinds in where.values()) == 5
    named = make_split(specimens(taxa), "open-world", taxa=taxa, held_out=["t3"], seed=5)
    assert {taxon for part, taxon in zip(named.parts.to_pylist(), taxa) if part == "novel"} == {"t3"}


def test_no_group_crosses_parts_and_the_shares_come_out() -> None:
    rng = np.random.default_rng(0)
    samples = [None if i % 50 == 0 else f"haul{rng.integers(60)}" for i in range(1000)]
    split = make_split(specimens(["x"] * 1000, sample=samples), "grouped", column="sample", seed=2)
    parts_of: dict[str, set[str]] = {}
    for part, sample in zip(split.parts.to_pylist(), samples):
        if sample is not None:
            parts_of.setdefault(sample, set()).add(part)
    assert all(len(parts) == 1 for parts in parts_of.values())
    assert abs(split.counts()["train"] / 1000 - 0.7) < 0.03


def test_a_column_can_be_the_split_and_blanks_belong_nowhere() -> None:
    split = make_split(specimens(["x"] * 4, official=["train", "test", None, " "]), "column", column="official")
    assert parts_by_id(split) == {"s00000": "train", "s00001": "test"}
    assert any("2 specimens" in note for note in split.notes)


def test_saved_splits_come_back_and_a_changed_file_is_noticed(tmp_path: Path) -> None:
    taxa = ["a", "b"] * 30
    split = make_split(specimens(taxa), "stratified", taxa=taxa, name="mine", seed=7)
    split.save(tmp_path / "mine.parquet")
    loaded = Split.load(tmp_path / "mine.parquet")
    assert loaded.describe() == split.describe()
    assert loaded.part("test").to_pylist() == split.part("test").to_pylist()

    import pyarrow.parquet as pq

    table = pq.read_table(tmp_path / "mine.parquet")
    changed = table.set_column(1, "part", pa.array(["train"] * 60))
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), tmp_path / "mine.parquet")
    with pytest.raises(BiocosmosError, match="make the split again"):
        Split.load(tmp_path / "mine.parquet")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "fair"}, "unknown split method 'fair'"),
        ({"fractions": {"train": 0.5, "test": 0.6}}, "add up to 1"),
        ({"method": "grouped", "column": "haul"}, "'haul'"),
        ({"method": "open-world", "taxa": ["a", "b"], "held_out": ["z"]}, "no specimen: z"),
        ({"method": "stratified"}, "needs labelled specimens"),
    ],
)
def test_mistakes_are_one_line(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(BiocosmosError, match=message) as caught:
        make_split(specimens(["a", "b"]), **arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_asking_for_a_part_that_is_not_there_names_those_that_are() -> None:
    split = make_split(specimens(["a"] * 10), "random")
    with pytest.raises(BiocosmosError, match="no part 'dev': it has train"):
        split.part("dev")
