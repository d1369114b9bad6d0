"""Galleries: built in taxonomy order, searched within a taxon, by mask, without self."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.search.gallery import Gallery
from biocosmos.taxonomy import Taxonomy

Array = np.ndarray[Any, Any]
RANKS = pa.table(
    {
        "class": ["Copepoda", "Copepoda", None, "Thaliacea", "Copepoda", "Thaliacea"],
        "order": ["Calanoida", "Cyclopoida", None, "Salpida", None, "Doliolida"],
    }
)


@pytest.fixture
def gallery() -> Gallery:
    rows = np.repeat(np.arange(6), 50)
    rng = np.random.default_rng(0)
    rng.shuffle(rows)
    vectors = rng.normal(size=(300, 16)) * 4
    columns = pa.table({"label": [f"label {r}" for r in rows], "place": pa.array(range(300))})
    return Gallery.build([f"s{i}" for i in range(300)], vectors, table=RANKS.take(pa.array(rows)), columns=columns)


def nearest(gallery: Gallery, q: Array, allowed: Array, k: int) -> Array:
    scores = np.where(allowed, q @ gallery.vectors.T, -np.inf)
    return np.lexsort((np.broadcast_to(np.arange(len(gallery)), scores.shape), -scores), axis=1)[:, :k]


def test_rows_are_sorted_by_taxon_and_stay_together(gallery: Gallery) -> None:
    assert gallery.taxa is not None and gallery.columns is not None and gallery.taxonomy is not None
    assert (np.diff(gallery.taxa) >= 0).all() and gallery.taxa[0] == 0
    assert [f"s{i}" for i in gallery.columns["place"].to_pylist()] == gallery.ids.tolist()
    np.testing.assert_allclose(np.linalg.norm(gallery.vectors, axis=1), 1, atol=1e-6)
    assert gallery.vectors.dtype == np.float32 and gallery.vectors.flags.c_contiguous
    assert gallery.slice("Copepoda").stop - gallery.slice("Copepoda").start == 150
    assert gallery.slice("Life") == slice(0, 300) == gallery.slice(0)
    for row in range(*gallery.slice("Salpida").indices(300)):
        assert gallery.columns["label"][row].as_py() == "label 3"


def test_a_gallery_says_what_it_is_and_how_its_rows_are_called(gallery: Gallery) -> None:
    assert repr(gallery) == "<Gallery: 300 vectors of 16 numbers, 5 taxa>"
    made = Gallery.build(["a"], np.ones((1, 3)), provenance={"encoder": "mine"})
    assert repr(made) == "<Gallery: 1 vectors of 3 numbers by mine, no taxa>" and made.labels.tolist() == [None]
    assert gallery.columns is not None
    rows = [int(label.removeprefix("label ")) for label in gallery.columns["label"].to_pylist()]
    lowest = [order or name for name, order in zip(RANKS["class"].to_pylist(), RANKS["order"].to_pylist())]
    assert gallery.labels.tolist() == [lowest[row] for row in rows]


def test_within_a_taxon(gallery: Gallery) -> None:
    assert gallery.taxonomy is not None
    part = gallery.slice("Copepoda")
    q = gallery.vectors[::37]
    allowed = np.zeros(300, bool)
    allowed[part] = True
    hits = gallery.search(q, 8, within="Copepoda")
    np.testing.assert_array_equal(hits.rows, nearest(gallery, q, allowed, 8))
    np.testing.assert_array_equal(hits.rows, gallery.search(q, 8, within=gallery.taxonomy.find("Copepoda")).rows)
    copepoda = gallery.taxonomy.find("Copepoda")
    assert set(np.unique(hits.taxa)) <= set(range(copepoda, int(gallery.taxonomy.end[copepoda])))
    with pytest.raises(BiocosmosError, match="Copepodo"):
        gallery.search(q, within="Copepodo")
    with pytest.raises(BiocosmosError, match="no taxon 99"):
        gallery.search(q, within=99)


def test_mask_and_taxon_together(gallery: Gallery) -> None:
    rng = np.random.default_rng(1)
    q = gallery.vectors[5:9]
    for share in (0.05, 0.7):
        mask = rng.random(300) < share
        within = mask.copy()
        within[: gallery.slice("Thaliacea").start] = False
        within[gallery.slice("Thaliacea").stop :] = False
        rows = gallery.search(q, 5, mask=mask, within="Thaliacea").rows
        expected = nearest(gallery, q, within, 5)
        expected[~within[expected]] = -1
        np.testing.assert_array_equal(rows, expected)
    with pytest.raises(BiocosmosError, match="mask over 300 rows"):
        gallery.search(q, mask=np.ones(299, bool))
    with pytest.raises(BiocosmosError, match="mask over 300 rows"):
        gallery.search(q, mask=np.arange(300))


def test_self_is_excluded_by_id_not_by_place(gallery: Gallery) -> None:
    vectors = gallery.vectors.copy()
    vectors[10] = vectors[20]  # another specimen with the same vector is a true neighbour
    twins = Gallery(gallery.ids, vectors, gallery.taxa, gallery.taxonomy)
    hits = twins.search(twins, 3, exclude_self=True)
    assert not (hits.rows == np.arange(300)[:, None]).any()
    assert hits.rows[10, 0] == 20 and hits.rows[20, 0] == 10
    assert (twins.search(twins, 1).rows[:, 0] == np.where(np.arange(300) == 20, 10, np.arange(300))).all()
    by_id = twins.search(vectors[:2], 3, exclude=[twins.ids[0], "nobody"])
    assert 0 not in by_id.rows[0] and by_id.rows[1, 0] == 1
    assert twins.search(vectors[:1], 3, exclude=[None]).rows[0, 0] == 0
    with pytest.raises(BiocosmosError, match="3 ids to exclude for 1 queries"):
        twins.search(vectors[:1], exclude=["a", "b", "c"])
    with pytest.raises(BiocosmosError, match="exclude_self"):
        twins.search(vectors[:1], exclude_self=True)


def test_every_row_of_a_repeated_id_is_excluded(gallery: Gallery) -> None:
    double = Gallery(np.concatenate([gallery.ids, gallery.ids]), np.concatenate([gallery.vectors, gallery.vectors]))
    hits = double.search(gallery, 4, exclude_self=True)
    assert not (hits.rows % 300 == np.arange(300)[:, None]).any()
    small = double.subset(slice(0, 2)).search(gallery.vectors[:1], 4, exclude=gallery.ids[:1])
    assert small.rows.tolist() == [[1, -1, -1, -1]]


def test_hits_as_a_table(gallery: Gallery) -> None:
    assert gallery.taxonomy is not None
    hits = gallery.search(gallery.vectors[[200, 7]], 2)
    table = hits.table(["a", "b"])
    assert table.column_names == ["query", "position", "id", "score", "taxon", "label", "place"]
    assert table["query"].to_pylist() == ["a", "a", "b", "b"] and table["position"].to_pylist() == [1, 2, 1, 2]
    assert table["id"].to_pylist() == hits.ids.ravel().tolist()
    assert table["id"][0].as_py() == gallery.ids[200]
    first = int(hits.taxa[0, 0])
    assert table["taxon"][0].as_py() == gallery.taxonomy.names[first]
    empty = gallery.search(gallery.vectors[:1], 2, mask=np.zeros(300, bool))
    assert empty.ids.tolist() == [[None, None]] and empty.taxa.tolist() == [[-1, -1]] and empty.table().num_rows == 0
    with pytest.raises(BiocosmosError, match="3 query ids for 2 queries"):
        hits.table(["a", "b", "c"])


def test_subsets_keep_the_order(gallery: Gallery) -> None:
    part = gallery.subset([30, 4, 200])
    assert part.ids.tolist() == gallery.ids[[4, 30, 200]].tolist() and part.columns is not None
    assert len(part) == 3 and part.columns.num_rows == 3 and part.dim == 16
    mask = np.arange(300) % 2 == 0
    np.testing.assert_array_equal(gallery.subset(mask).vectors, gallery.vectors[mask])
    assert np.shares_memory(gallery.subset(slice(3, 9)).vectors, gallery.vectors)


def test_a_gallery_of_unit_vectors_in_order_is_not_copied() -> None:
    x = np.eye(4, dtype=np.float32)
    assert np.shares_memory(Gallery.build("abcd", x, taxa=[0, 1, 1, 2]).vectors, x)
    read_only = np.frombuffer(pa.array(x.ravel()).buffers()[1], np.float32).reshape(4, 4)
    assert Gallery.build("abcd", read_only).search(x, 1).rows.ravel().tolist() == [0, 1, 2, 3]


def test_bad_galleries_are_refused() -> None:
    x = np.random.default_rng(0).normal(size=(4, 3))
    x[1], x[3, 0] = 0, np.nan
    with pytest.raises(BiocosmosError, match=r"2 of 4 gallery vectors are zero or not finite \(id b, d\)"):
        Gallery.build("abcd", x)
    with pytest.raises(BiocosmosError, match="3 ids for 4 vectors"):
        Gallery.build("abc", x)
    with pytest.raises(BiocosmosError, match="ascend"):
        Gallery(np.array(list("abcd")), np.eye(4), np.array([1, 0, 2, 3]))
    with pytest.raises(BiocosmosError, match="cannot have 3 taxa"):
        Gallery(np.array(list("abcd")), np.eye(4), np.array([0, 2, 3]))
    plain = Gallery.build("abcd", torch.eye(4, dtype=torch.float64))
    with pytest.raises(BiocosmosError, match="no taxonomy"):
        plain.search(np.ones(4), within="Copepoda")
    with pytest.raises(BiocosmosError, match="no taxa"):
        _ = plain.search(np.ones(4), 1).taxa


def test_empty_gallery() -> None:
    empty = Gallery.build([], np.empty((0, 5)), taxa=[], taxonomy=Taxonomy.from_table(RANKS))
    hits = empty.search(np.ones((2, 5)), 3, within="Copepoda")
    assert hits.rows.tolist() == [[-1] * 3] * 2 and hits.table().num_rows == 0
    assert hits.ids.tolist() == [[None] * 3] * 2 and hits.taxa.tolist() == [[-1] * 3] * 2


def test_it_is_a_public_name() -> None:
    assert bc.Gallery is Gallery


def test_hits_say_how_they_were_found(gallery: Gallery) -> None:
    hits = gallery.search(gallery.vectors[:2], 3)
    assert hits.provenance["search"]["scans"]["all"]["scan"] == "float32"
    gallery.index(precision="bfloat16").prepare()
    again = gallery.search(gallery.vectors[:2], 3, precision="bfloat16")
    assert {each["scan"] for each in again.provenance["search"]["scans"].values()} == {"bfloat16"}
    np.testing.assert_array_equal(again.rows, hits.rows)
