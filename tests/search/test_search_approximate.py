"""The approximate index over a Lance column: the same call, exact scores, few neighbours missed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest

from biocosmos.errors import BiocosmosError
from biocosmos.search.approximate import ApproximateIndex
from biocosmos.search.gallery import Gallery
from biocosmos.taxonomy import Taxonomy

COLUMN = "embedding/tiny"
DIM = 32
Store = tuple[Any, np.ndarray[Any, Any], pa.Table]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    rng = np.random.default_rng(0)
    taxon = rng.integers(0, 4, 3000)
    centre = rng.normal(size=(60, DIM))
    x = centre[rng.integers(0, 60, 3000)] + 0.4 * rng.normal(size=(3000, DIM))
    ranks = {"class": ["Copepoda", "Copepoda", None, "Chef's class"], "order": ["Calanoida", None, None, "Calanoida"]}
    table = pa.table(
        {
            "id": [f"s{i}" for i in range(3000)],
            **{rank: pa.array([names[t] for t in taxon], pa.string()) for rank, names in ranks.items()},
            "depth": rng.uniform(0, 100, 3000),
            COLUMN: pa.FixedSizeListArray.from_arrays(pa.array(x.astype(np.float32).ravel()), DIM),
        }
    )
    dataset = lance.write_dataset(table, str(tmp_path_factory.mktemp("ann") / "x.lance"))
    ApproximateIndex.build(dataset, COLUMN, rows_in_list=300)
    return dataset, x, table


@pytest.fixture
def index(store: Store) -> ApproximateIndex:
    return ApproximateIndex(store[0], COLUMN, taxonomy=Taxonomy.from_table(store[2]), lists=8)


def test_nearly_all_neighbours_with_exact_scores(index: ApproximateIndex, store: Store) -> None:
    _, x, table = store
    gallery = Gallery.build(table["id"], x, table=table)
    exact, near = gallery.search(x[:300], 10), index.search(x[:300], 10)
    assert near.rows.shape == (300, 10)
    shared = [len(set(a) & set(b)) for a, b in zip(exact.ids, near.ids)]
    assert np.mean(shared) > 9
    score = {(i, name): s for i in range(300) for name, s in zip(exact.ids[i], exact.scores[i])}
    for i in range(300):
        for name, s in zip(near.ids[i], near.scores[i]):
            assert abs(score.get((i, name), s) - s) < 1e-6
    assert (np.diff(near.scores, axis=1) <= 0).all()
    assert near.table().column_names[:4] == ["query", "position", "id", "score"]


@pytest.mark.parametrize("within", ["Copepoda", "class:Copepoda", "Chef's class", "Copepoda/Calanoida"])
def test_within_a_taxon(index: ApproximateIndex, store: Store, within: str) -> None:
    _, x, _ = store
    assert index.taxonomy is not None
    hits = index.search(x[:5], 6, within=within)
    allowed = index.taxonomy.slice(index.taxonomy.find(within))
    assert (hits.rows >= 0).all()
    assert ((hits.taxa >= allowed.start) & (hits.taxa < allowed.stop)).all()


def test_where_and_exclude(index: ApproximateIndex, store: Store) -> None:
    _, x, table = store
    depth = dict(zip(table["id"].to_pylist(), table["depth"].to_pylist()))
    hits = index.search(x[:4], 5, where="depth < 30 OR depth > 90", within="Copepoda")
    assert all(depth[name] < 30 or depth[name] > 90 for name in hits.ids.ravel())
    ids = table["id"].to_pylist()[:4]
    alone = index.search(x[:4], 5, exclude=ids)
    assert all(name not in row for name, row in zip(ids, alone.ids)) and (alone.rows >= 0).all()
    gallery = Gallery.build(ids, x[:4])
    np.testing.assert_array_equal(index.search(gallery, 5, exclude_self=True).ids, alone.ids)
    assert index.search(x[0], 1).ids.tolist() == [[ids[0]]]
    assert index.search(x[:2], 3, where="depth > 1000").rows.tolist() == [[-1] * 3] * 2
    assert index.search(np.empty((0, DIM)), 3).rows.shape == (0, 3)


def test_mistakes_are_explained(index: ApproximateIndex, store: Store, tmp_path: Path) -> None:
    dataset, x, table = store
    with pytest.raises(BiocosmosError, match="no column 'embedding/none'"):
        ApproximateIndex(dataset, "embedding/none")
    with pytest.raises(BiocosmosError, match="not vectors"):
        ApproximateIndex(dataset, "depth")
    plain = lance.write_dataset(table, str(tmp_path / "plain.lance"))
    with pytest.raises(BiocosmosError, match="no vector index"):
        ApproximateIndex(plain, COLUMN)
    with pytest.raises(BiocosmosError, match="no rows"):
        ApproximateIndex.build(lance.write_dataset(table.slice(0, 0), str(tmp_path / "empty.lance")), COLUMN)
    with pytest.raises(BiocosmosError, match="dims"):
        index.search(np.ones(5))
    with pytest.raises(BiocosmosError, match="zero"):
        index.search(np.zeros(DIM))
    with pytest.raises(BiocosmosError, match="could not search"):
        index.search(x[:1], where="depht < 3")
    with pytest.raises(BiocosmosError, match="pass the collection's taxonomy"):
        ApproximateIndex(dataset, COLUMN).search(x[:1], within="Copepoda")
