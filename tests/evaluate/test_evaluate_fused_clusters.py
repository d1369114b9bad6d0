"""Image and barcode clustered side by side: every dimension standardised, then one after the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate import read_tables
from biocosmos.jobs.evaluate_clusters import fused


def collection_of(tmp_path: Path) -> bc.Collection:
    """Four species; one embedding parts the first bit of their number, the other the second, and only both tell them apart."""
    rng = np.random.default_rng(0)
    rows = [{"id": f"{i:03d}", "species": f"Aus minor{'abcd'[i % 4]}", "barcode": "ACGTTGCA" * 80} for i in range(80)]
    collection = bc.Collection.create(tmp_path / "both.cosmos")
    collection.add(pa.Table.from_pylist(rows))
    for name, bit, dims in (("first", 0, 3), ("second", 1, 5)):
        centre = np.array([(i % 4 >> bit) & 1 for i in range(80)])
        vectors = np.stack([np.where(centre[:, None] == b, 1.0, 0.1) for b in (0, 1)], 1)[:, :, 0]
        vectors = np.concatenate([vectors, rng.normal(0, 0.02, (80, dims - 2))], 1)
        kept = slice(0, 79) if name == "second" else slice(0, 80)
        collection.add_embedding(name, [row["id"] for row in rows][kept], vectors[kept].astype(np.float32))
    return collection


def test_both_together_tell_apart_what_neither_does(tmp_path: Path, biocosmos: Callable[..., str]) -> None:
    collection = collection_of(tmp_path)
    ways = ("--protocol", "clustering", "--queries", "all", "--reducer", "none", "--clusterer", "ward")
    biocosmos("evaluate", collection.path, "-e", "first", "-e", "first+second", *ways, "-o", tmp_path / "out")
    found = {row["encoder"]: row for row in read_tables(tmp_path / "out")["summary"].to_pylist()}
    assert found["first+second"]["specimens"] == 79, "the specimens that both have"
    assert found["first+second"]["ami"] > 0.9 > 0.8 > found["first"]["ami"]


def test_dimensions_are_standardised_over_the_specimens_that_all_have(tmp_path: Path) -> None:
    collection = collection_of(tmp_path)
    both = {name: collection.gallery(name) for name in ("first", "second")}
    made = fused("first+second", both)
    at = {id_: i for i, id_ in enumerate(both["first"].ids)}
    for place, gallery in ((slice(0, 3), both["first"]), (slice(3, 8), both["second"])):
        rows = [at[id_] for id_ in made.ids] if gallery is both["first"] else slice(None)
        x = gallery.vectors[rows].astype(np.float64)
        assert np.allclose(made.vectors[:, place], (x - x.mean(0)) / x.std(0), atol=1e-4)


def test_an_embedding_that_is_not_there_is_told(tmp_path: Path) -> None:
    collection = collection_of(tmp_path)
    with pytest.raises(BiocosmosError, match="nowhere"):
        bc.jobs.evaluate.evaluate_collection(collection, protocol="clustering", queries="all", encoder=("first+nowhere",))
