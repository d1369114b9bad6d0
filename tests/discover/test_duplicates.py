"""Pictures that are one: told by bytes, looks and vectors, grouped without chains, and kept together by a split."""

from __future__ import annotations

import io
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

import biocosmos as bc
from biocosmos.discover import extras, kept
from biocosmos.discover.duplicates import bursts, by_content, by_vectors, grouped, leaks_of
from biocosmos.discover.duplicates.hashing import RECORD, near_hashes, perceptual_hash
from biocosmos.discover.duplicates.linking import Links
from biocosmos.errors import BiocosmosError
from biocosmos.images import read_image
from biocosmos.jobs.discover.duplicates import discover_duplicates
from biocosmos.specimens.records import Source


def jpeg(image, quality=90):
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def altered(raw):
    """One photograph as it comes back: saved again, half as large, darker."""
    image = Image.fromarray(read_image(raw).pixels)
    half = image.resize((max(image.width // 2, 1), max(image.height // 2, 1)), Image.Resampling.LANCZOS)
    return [jpeg(image, 50), jpeg(half), jpeg(ImageEnhance.Brightness(image).enhance(0.8))]


@pytest.fixture(scope="module")
def doubled(tmp_path_factory, sample_table):
    """30 images, and of the first four: a copy, and three altered ones; split at random."""
    collection = bc.Collection.create(tmp_path_factory.mktemp("doubled") / "d.cosmos")
    raw = sample_table["image"].to_pylist()[:30]
    rows = {f"x{i:02}": image for i, image in enumerate(raw)} | {f"copy{i}": raw[i] for i in range(4)}
    rows |= {f"x{i:02}-{kind}": image for i in range(4) for kind, image in enumerate(altered(raw[i]))}
    rows["none"] = None
    table = pa.table({"id": [*rows], "image": pa.array(rows.values(), pa.large_binary())})
    collection.add(Source("doubled", "sample", table.to_batches(), ()), pack=True)
    collection.make_split("random", seed=1, fractions={"train": 0.6, "test": 0.4})
    return collection


@pytest.fixture
def mine(doubled, tmp_path):
    shutil.copytree(doubled.path, tmp_path / "mine.cosmos")
    return bc.Collection.open(tmp_path / "mine.cosmos")


def groups_in(table):
    rows = [row for row in table.to_pylist() if row["group"] is not None]
    return sorted(sorted(row["id"] for row in rows if row["group"] == group) for group in {row["group"] for row in rows})


def test_a_picture_that_was_saved_again_is_found_and_another_is_not(mine):
    found = discover_duplicates(mine)
    expected = [sorted([f"x0{i}", f"copy{i}", *(f"x0{i}-{kind}" for kind in range(3))]) for i in range(4)]
    assert groups_in(found.table) == sorted(expected)
    rows = {row["id"]: row for row in found.table.to_pylist()}
    assert rows["copy0"]["alike"] == 1.0 and "identical" in rows["copy0"]["kinds"] + (rows["x00"]["kinds"] or "")
    assert rows["x00-1"]["kinds"] == "perceptual" and rows["x00-1"]["alike"] < 1
    assert not rows["x00-1"]["representative"]  # the larger picture stands for the group
    assert rows["none"]["group"] is None
    assert "vectors were not compared" in found.notes[0]  # it has none yet, which is said
    assert found.report.rows("kinds", kind="identical")[0]["pairs"] == 4


def test_a_split_that_leaks_is_told_and_one_by_groups_does_not(mine, biocosmos):
    said = biocosmos("discover", "duplicates", mine.path, "--leaks", "default", "--kinds", "identical,perceptual")
    assert said.startswith("kind\tpairs")
    torn = kept.read_kept(mine, "duplicates").provenance["torn"]
    assert torn > 0
    biocosmos("split", mine.path, "--method", "grouped", "--duplicates", "--name", "whole", "--fractions", "train=0.6,test=0.4")
    again = discover_duplicates(mine, leaks="whole")
    assert again.report.provenance["torn"] == 0
    assert {row["like_training"] for row in again.report.rows("leaks", part="test")} == {0}
    assert sum(mine.split("whole").counts().values()) == len(mine)  # those without a double are shared out too


def test_all_but_one_of_each_group_can_be_removed(mine, biocosmos, tmp_path):
    spare, page, table = tmp_path / "spare.txt", tmp_path / "d.html", tmp_path / "d.csv"
    biocosmos("discover", "duplicates", mine.path, "--spare", spare, "--report", page, "-o", table)
    assert len(spare.read_text().split()) == 16 and "stands for the group" in page.read_text()
    biocosmos("remove", mine.path, "--ids", spare, "--yes")
    assert groups_in(discover_duplicates(bc.Collection.open(mine.path)).table) == []


def test_hashes_are_made_once_and_what_cannot_be_read_is_a_row(mine, monkeypatch):
    made = []
    monkeypatch.setattr(
        "biocosmos.jobs.discover.duplicates.perceptual_hash", lambda pixels: made.append(1) or perceptual_hash(pixels)
    )
    first = discover_duplicates(mine)
    assert len(made) == 42  # contents, not specimens: four are copies
    second = discover_duplicates(mine)
    assert len(made) == 42 and second.table.equals(first.table)
    for path in (mine.path / "work" / "hashes").rglob("*.npz"):
        path.write_bytes(b"half")
    assert discover_duplicates(mine).table.equals(first.table) and len(made) == 84


def test_without_imagehash_the_rest_is_done_and_said(mine, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    found = discover_duplicates(mine)
    assert groups_in(found.table) == sorted(sorted([f"x0{i}", f"copy{i}"]) for i in range(4))
    assert any("pip install 'biocosmos[discover]'" in note for note in found.notes)

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(extras, "import_module", missing)
    with pytest.raises(BiocosmosError, match="--kinds perceptual needs imagehash: install it with"):
        discover_duplicates(mine, kinds="perceptual")


def test_vectors_of_one_picture_are_linked_and_copies_count_once(mine):
    bc.embed(mine, "efficientnet-lite0")
    found = discover_duplicates(mine, kinds="identical,embedding", cosine=0.999)
    vectors = mine.vectors("efficientnet-lite0")
    cosines = vectors.matrix @ vectors.matrix.T
    for row in found.table.to_pylist():
        if row["kinds"] == "embedding":
            (mate,) = [r["id"] for r in found.table.to_pylist() if r["group"] == row["group"] and r["representative"]]
            one, other = (vectors.ids.tolist().index(id_) for id_ in (row["id"], mate))
            assert cosines[one, other] >= 0.999 - 1e-5
    assert found.report.rows("kinds", kind="identical")[0]["specimens"] == 4


@given(
    st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=40),
    st.lists(st.integers(0, 3), min_size=15, max_size=15),
)
def test_every_member_is_like_the_one_that_stands_for_its_group(pairs, contents):
    content = by_content(pa.array([str(c) if c else f"own {i}" for i, c in enumerate(contents)]))
    pairs = sorted({(min(p), max(p)) for p in pairs if p[0] != p[1]})
    first, second = (np.array([p[side] for p in pairs], np.int64) for side in (0, 1))
    found = grouped(15, [content, Links("embedding", first, second, np.full(len(pairs), 0.99))])
    same = {(a, b) for a in range(15) for b in range(15) if contents[a] and contents[a] == contents[b]}
    lead = {row: min(b for a, b in [*same, (row, row)] if a == row) for row in range(15)}
    linked = {(lead[a], lead[b]) for a, b in pairs} | {(lead[b], lead[a]) for a, b in pairs}
    for group in range(found.count):
        rows = np.flatnonzero(found.group == group)
        (stands,) = rows[found.stands[rows]]
        assert len(rows) > 1
        for row in rows:
            assert row == stands or lead[row] == lead[stands] or (lead[stands], lead[row]) in linked
    for a, b in same:  # what has the same bytes is never parted
        assert found.group[a] == found.group[b]
    for a, b in pairs:  # and of two that are alike at least one is in a group
        assert lead[a] == lead[b] or found.group[a] >= 0 or found.group[b] >= 0


def test_a_chain_of_small_steps_is_no_group():
    """0-1-2-3-4, each like the next alone: the first and the last are not one picture."""
    links = Links("perceptual", np.arange(4), np.arange(1, 5), np.full(4, 0.95))
    assert grouped(5, [links]).group.tolist() == [0, 0, 0, 1, 1]


def test_fifty_thousand_copies_are_as_many_links():
    links = by_content(pa.array(["the same"] * 50_000))
    assert len(links) == 49_999
    found = grouped(50_000, [links])
    assert found.count == 1 and found.stands.sum() == 1
    records = np.zeros(50_000, RECORD)
    assert len(near_hashes(records, np.ones(50_000, bool), 32)[0]) == 49_999


@given(st.lists(st.tuples(st.integers(0, 63), st.integers(0, 63), st.integers(0, 2)), max_size=30), st.integers(0, 40))
def test_near_hashes_are_those_that_comparing_every_pair_finds(flips, bits):
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2**63, (3, 5)).astype(np.uint64)
    records = np.zeros(len(flips), RECORD)
    for i, (a, b, which) in enumerate(flips):
        records[i]["coarse"] = base[which, 0] ^ np.uint64(1 << (a % 3)) ^ np.uint64(1 << (b % 3))
        records[i]["fine"] = base[which, 1:] ^ np.uint64(1 << a) ^ np.uint64(1 << b)
        records[i]["aspect"] = 0.07 * (i % 3)
    one, other, apart = near_hashes(records, np.ones(len(flips), bool), bits)
    found = {(min(p), max(p)): int(n) for p, n in zip(zip(one.tolist(), other.tolist()), apart)}

    def same(i, j):
        fine = int(np.bitwise_count(records["fine"][i] ^ records["fine"][j]).sum())
        return fine <= bits and abs(records["aspect"][i] - records["aspect"][j]) <= 0.1, fine

    stands, expected = [], {}
    for j in range(len(flips)):  # the first with this coarse hash that it is one with stands for it
        alike = [i for i in stands if records["coarse"][i] == records["coarse"][j] and same(i, j)[0]]
        if alike:
            expected[alike[0], j] = same(alike[0], j)[1]
        else:
            stands.append(j)
    for place, j in enumerate(stands):
        for i in stands[:place]:
            coarse = int(np.bitwise_count(records["coarse"][i] ^ records["coarse"][j]))
            if 0 < coarse <= 4 and same(i, j)[0]:
                expected[i, j] = same(i, j)[1]
    assert found == expected


def test_many_pictures_that_are_nearly_one_are_as_many_links():
    """Twenty thousand nearly white frames, each a bit or two from the others: not two hundred million pairs."""
    rng = np.random.default_rng(0)
    records = np.zeros(20_000, RECORD)
    records["fine"][:, 0] = np.uint64(1) << rng.integers(0, 64, len(records)).astype(np.uint64)
    one, _, apart = near_hashes(records, np.ones(len(records), bool), 8)
    assert len(one) == 19_999 and len(set(one.tolist())) == 1 and apart.max() <= 2


def test_vectors_are_linked_from_their_cosine_on():
    angles = np.deg2rad([0, 5, 20, 90])
    x = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    links = by_vectors(x, float(np.cos(np.deg2rad(15.5))))
    assert list(zip(links.first.tolist(), links.second.tolist())) == [(0, 1), (1, 2)]
    assert np.allclose(links.alike, np.cos(np.deg2rad([5, 15])), atol=1e-6)


def test_bursts_end_where_the_gap_is_longer_or_the_sample_another():
    times = [
        "2026-06-01T10:00:00",
        "2026-06-01T10:04:00Z",
        "2026-06-01T12:08:00+02:00",
        "2026-06-01T10:30:00",
        "2026-06-01",
        None,
    ]
    keys = [("a",)] * 6
    burst, left = bursts(keys, times, 5)
    assert burst.tolist() == [0, 0, 0, -1, -1, -1] and left == 2  # 10:00, 10:04, 10:08; the day alone says no moment
    burst, left = bursts([("a",), ("b",), ("a",), (None,), ("b",), ("a",)], times, None)
    assert burst.tolist() == [0, 1, 0, -1, 1, 0] and left == 1


def test_what_a_split_tears_apart():
    group = np.array([0, 0, 1, 1, -1, 2, 2])
    parts = ["train", "test", "test", "test", "test", "train", None]
    table, torn = leaks_of(group, parts, "train")
    rows = {row["part"]: row for row in table.to_pylist()}
    assert rows["test"] == {"part": "test", "specimens": 4, "in_groups": 3, "torn": 1, "like_training": 1}
    assert rows["train"]["torn"] == 1 and torn.tolist() == [True, True, False, False, False, False, False]


def test_series_are_told_by_the_columns_that_are_named(mine, biocosmos):
    ids = mine.table(["id"])["id"]
    sample = pa.array([f"s{i // 5}" for i in range(len(ids))])
    when = pa.array([f"2026-06-01T10:{i % 60:02}:00" for i in range(len(ids))])
    mine.change({"id": ids, "sample_id": sample, "date": when}, verb="update")
    found = discover_duplicates(bc.Collection.open(mine.path), kinds="series", by=("sample_id",), minutes=1)
    assert pc.count_distinct(found.table["series"]).as_py() == len(set(sample.to_pylist()))
    with pytest.raises(BiocosmosError, match="no column 'site' to tell a series by"):
        discover_duplicates(mine, kinds="series", by=("site",))
    assert "--by sample_id, --minutes 5, or both" in biocosmos("discover", "duplicates", mine.path, "--kinds", "series", fails=2)
    assert "no specimen of" in biocosmos("discover", "duplicates", mine.path, "--where", "id = 'x'", fails=1)
