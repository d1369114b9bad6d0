"""Nobody judges what was made from it: records by id, through chains of base encoders, and pictures under two ids."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.search.gallery import Gallery
from biocosmos.specimens import guard
from biocosmos.specimens.records import Source
from biocosmos.specimens.sample import SAMPLE_RANKS

ids = st.lists(st.text("abcé1/", min_size=1, max_size=3), max_size=12)


@given(asked=ids, fitted=ids, calibrated=ids, chosen=ids)
def test_whoever_shares_an_id_is_found_and_nobody_else(
    asked: list[str], fitted: list[str], calibrated: list[str], chosen: list[str]
) -> None:
    record = guard.Fitted.of("it", fitted=fitted, calibrated=calibrated, chosen=chosen)
    for use, learnt in ((guard.FITTED, fitted), (guard.CALIBRATED, calibrated), (guard.CHOSEN, chosen)):
        expected = [id_ for id_ in asked if id_ in learnt]
        found = guard.shared(asked, record, uses=[use])
        assert [list(one.ids) for one in found] == ([expected] if expected else [])
    if any(id_ in fitted + calibrated for id_ in asked):
        with pytest.raises(BiocosmosError, match="judge it on specimens it has not seen"):
            guard.refuse(asked, record)
    else:
        guard.refuse(asked, record)  # those it was only chosen on may judge


def test_the_specimens_of_a_base_count_for_all_that_stands_on_it_wherever_both_are_moved(tmp_path: Path) -> None:
    house = tmp_path / "house"
    for name, learnt, bases in (("base", ["a"], []), ("middle", ["b"], ["base"]), ("head", ["c"], ["middle", "base"])):
        (house / name).mkdir(parents=True)
        guard.Fitted.of(f"the {name}", fitted=learnt, split="5", stands_on=[house / base for base in bases]).save(house / name)
    for place in (house, tmp_path / "moved"):
        if place != house:
            house.rename(place)
        assert [record.what for record in guard.records(place / "head")] == ["the head", "the middle", "the base"]
        with pytest.raises(BiocosmosError, match=r"of the 3 things, 1 \(a\) trained the base: elsewhere"):
            guard.refuse(["a", "x", "y"], place / "head", asked="things", remedy="elsewhere")
        guard.refuse(["x", "y"], place / "head", "efficientnet-lite0", place / "nothing here")
    shutil.rmtree(tmp_path / "moved" / "base")
    guard.refuse(["a"], tmp_path / "moved" / "head")  # what is not on this machine cannot be asked


def test_a_record_that_was_damaged_says_so_and_is_not_taken_for_none(tmp_path: Path) -> None:
    record = guard.Fitted.of("it", fitted=["b", "a", "b"], chosen=["z"], split="12").save(tmp_path)
    again = guard.Fitted.load(tmp_path)
    assert again.used(guard.FITTED).to_pylist() == ["a", "b"] and again.used(guard.CHOSEN).to_pylist() == ["z"]
    assert (again.what, again.split, again.stands_on) == ("it", "12", ())
    record.write_bytes(record.read_bytes()[:40])
    with pytest.raises(BiocosmosError, match=r"fitted.parquet, which says what .* was fitted on, cannot be read"):
        guard.refuse(["q"], tmp_path)


def test_parts_of_any_split_are_compared_by_their_specimens_and_not_by_their_names(
    embedded: bc.Collection, tmp_path: Path
) -> None:
    split = embedded.split()
    guard.Fitted.of("the head", fitted=split.part("train"), calibrated=split.part("val"), split=split.hash).save(tmp_path)
    guard.refuse_part(embedded, "test", tmp_path)
    for part in ("train", "default:train", "val", "default:val"):
        with pytest.raises(
            BiocosmosError, match=rf"specimens of part '{part}', \d+ \(.*, \.\.\.\) (trained|calibrated) the head"
        ):
            guard.refuse_part(embedded, part, tmp_path)
    guard.refuse_outside(split.part("train"), split, "train", "ids")
    with pytest.raises(BiocosmosError, match=r"1 of 1 ids are not in part 'train' of split 'default' \(nobody is in no part\)"):
        guard.refuse_outside(["nobody"], split, "train", "ids")


def test_pictures_under_two_ids_are_told(tmp_path: Path, sample_table: pa.Table) -> None:
    """A file that was copied under another name, alike and cropped otherwise, and vectors that nearly agree."""
    rows = sample_table.slice(0, 6).drop_columns([name for name in ("crop",) if name in sample_table.column_names])
    again = rows.slice(0, 2).set_column(rows.column_names.index("id"), "id", pa.array(["copy 0", "copy 1"]))
    crop = pa.array([None] * 6 + [None, [0.0, 0.0, 9.0, 9.0]], pa.list_(pa.float32(), 4))
    table = pa.concat_tables([rows, again]).append_column("crop", crop)
    collection = bc.Collection.create(tmp_path / "c.cosmos")
    collection.add(Source("c", "sample", table.to_batches(), SAMPLE_RANKS), pack=True)
    first, *others = rows["id"].to_pylist()
    assert guard.copies(collection, ["copy 0", "copy 1", first], [first, *others]) == [("copy 0", first)]
    assert guard.copies(collection, [first], others) == []

    random = np.random.default_rng(0)
    x = random.standard_normal((5, 64)).astype(np.float32)
    asked = Gallery.build([first, "n 1", "n 2", "n 3", "n 4"], x)
    y = x.copy()
    y[2] += 0.01 * random.standard_normal(64)  # cosine about 0.99995
    y[3] += 0.2 * random.standard_normal(64)  # cosine about 0.98
    y[4] = random.standard_normal(64)
    learnt = Gallery.build([first, "n 1", "m 2", "m 3", "m 4"], y)
    assert guard.near_identical(asked, learnt) == [("n 2", "m 2")]  # the same id is no copy, and no other is near enough
    (told,) = guard.lookalikes(asked, learnt, collection)
    assert told.startswith("1 of the 5 pictures asked about look the same as one learnt from") and "n 2 = m 2" in told
    (told,) = guard.lookalikes(["copy 0"], [first], collection)
    assert "1 byte for byte, 0 by a cosine" in told
    assert guard.lookalikes([first], others, collection) == []
    record = guard.Fitted.of("the head", fitted=[first], chosen=["copy 1", others[0]])
    assert guard.told(collection, others[1:], record) == []
    chosen, copied = guard.told(collection, ["copy 0", "copy 1"], record)
    assert chosen.startswith("1 of the 2 specimens asked about chose the weights of the head")
    assert copied.startswith("1 of the 2 pictures asked about look the same as one that trained the head")
