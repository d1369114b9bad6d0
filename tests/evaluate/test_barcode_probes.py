"""Probes of vectors of barcodes: against a nearest neighbour by hand, classes that are linear, clusters that are plain."""

from __future__ import annotations

import numpy as np
import pytest

from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.barcodes.simulate import simulate_barcodes
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.barcode.probes import LinearRecipe, clustering_probe, linear_probe, nearest_probe

TABLE = simulate_barcodes(species=12, specimens=96)
BARCODES = TABLE["barcode"].to_pylist()
SPECIES = np.array(TABLE["species"].to_pylist(), object)
GENUS = np.array(TABLE["genus"].to_pylist(), object)


def test_the_nearest_key_names_counts_and_vectors_alike() -> None:
    counts = KmerCounts.of(BARCODES, 5)
    dense = counts.dense()
    new = np.isin(SPECIES, np.unique(SPECIES)[::3])
    keys, queries = np.flatnonzero(~new), np.flatnonzero(new)
    found = nearest_probe(dense[keys], GENUS[keys], dense[queries], GENUS[queries])
    said = GENUS[keys][(dense[queries] @ dense[keys].T).argmax(1)]
    right = said == GENUS[queries]
    assert found.accuracy == pytest.approx(right.mean()) and found.f1_micro == pytest.approx(found.accuracy)
    assert found.balanced == pytest.approx(np.mean([right[GENUS[queries] == one].mean() for one in np.unique(GENUS[queries])]))
    assert found.answerable == np.isin(GENUS[queries], GENUS[keys]).sum() and found.queries == len(queries)
    again = nearest_probe(counts.take(keys), GENUS[keys], counts.take(queries), GENUS[queries])
    assert again.accuracy == pytest.approx(found.accuracy, abs=0.05)  # ties may fall otherwise by rounding


def test_what_has_no_name_is_neither_asked_nor_answered() -> None:
    keys, queries = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)
    found = nearest_probe(keys, ["a", None, "b"], queries, ["a", "b", None])
    assert (found.queries, found.accuracy) == (2, 0.5)
    with pytest.raises(BiocosmosError, match="no key has a name"):
        nearest_probe(keys, [None] * 3, queries, ["a"] * 3)
    with pytest.raises(BiocosmosError, match="no query has a name"):
        nearest_probe(keys, ["a"] * 3, queries, [None] * 3)


def test_a_linear_probe_finds_classes_that_are_linear() -> None:
    rng = np.random.default_rng(0)
    names = np.array(["a", "b", "c", "d"], object)[rng.integers(0, 4, 300)]
    centres = {name: rng.normal(size=8) * 3 for name in "abcd"}
    x = (np.stack([centres[name] for name in names]) + rng.normal(size=(300, 8)) + 5).astype(np.float32)
    found = linear_probe(x[:200], names[:200], x[200:], names[200:], recipe=LinearRecipe(0.1, 0.9, 0, epochs=30, batch_size=64))
    assert found.accuracy > 0.95 and found.answerable == 100
    mixed = rng.permutation(names[:200])
    assert linear_probe(x[:200], mixed, x[200:], names[200:], recipe=LinearRecipe(0.1, 0.9, 0, epochs=30)).accuracy < 0.6
    with pytest.raises(BiocosmosError, match="two names"):
        linear_probe(x, ["a"] * 300, x, names)


def test_clusters_of_plain_groups_are_the_groups() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat([f"g{i}" for i in range(6)], 12)
    x = (np.repeat(np.eye(6, 10), 12, 0) + rng.normal(scale=0.02, size=(72, 10))).astype(np.float32)
    names = {"species": groups, "none": [None] * 72}
    found = clustering_probe(x, names, reduce="none")
    assert found["species"] == 1 and np.isnan(found["none"])
    assert clustering_probe(x, names, reduce="umap")["species"] > 0.8
    assert clustering_probe(KmerCounts.of(BARCODES, 6), {"species": SPECIES, "genus": GENUS}, reduce="none")["species"] > 0.9
    with pytest.raises(BiocosmosError, match="clusters"):
        clustering_probe(x, names, clusters=73)
