"""A barcode that is corrected takes its k-mers away: ``embed`` makes them anew, ``undo`` brings the right ones back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.barcodes.kmers import KmerCounts
from biocosmos.barcodes.simulate import simulate_barcodes


@pytest.fixture
def collection(tmp_path: Path) -> bc.Collection:
    made = bc.Collection.create(tmp_path / "c.cosmos")
    made.add(bc.read(simulate_barcodes(seed=3, species=4)))
    bc.embed(made, "kmer:5")
    rows = made.table(["id"])["id"].to_pylist()
    rng = np.random.default_rng(0)
    made.add_embedding("theirs", rows, rng.normal(size=(len(rows), 8)).astype(np.float32))
    return made


def _right(collection: bc.Collection, encoder: str = "kmer:5") -> None:
    """Every stored row is what its barcode has today."""
    gallery = collection.gallery(encoder, columns=("barcode",))
    own = KmerCounts.of([value.as_py() for value in gallery.columns["barcode"]], int(encoder[-1]))
    assert np.array_equal(gallery.counts.codes, own.codes) and np.array_equal(gallery.counts.starts, own.starts)


def _correct(collection: bc.Collection, rows: list[int], letters: str = "ACGGT" * 40) -> list[str]:
    ids = collection.table(["id"])["id"].to_pylist()
    chosen = [ids[row] for row in rows]
    collection.update(pa.table({"id": chosen, "barcode": [letters] * len(rows)}))
    return chosen


def test_other_barcodes_are_embedded_anew_and_other_columns_stay(collection: bc.Collection) -> None:
    total = collection.count()
    before = collection.vectors("theirs")[1]
    _correct(collection, [0, 3])
    assert len(collection.gallery("kmer:5")) == total - 2  # no k-mers of a barcode that is gone
    assert np.array_equal(collection.vectors("theirs")[1], before)  # of images, or of nobody knows what
    summary = bc.embed(collection, "kmer:5")
    assert (summary.images, summary.kept) == (2, total - 2)
    _right(collection)


def test_undo_brings_the_old_ones_back(collection: bc.Collection) -> None:
    total = collection.count()
    _correct(collection, [1])
    collection.undo()
    _right(collection)
    assert len(collection.gallery("kmer:5")) == total
    _correct(collection, [1])
    bc.embed(collection, "kmer:5")
    collection.undo()
    _right(collection)
    assert bc.embed(collection, "kmer:5").images == 0


def test_a_column_made_after_the_change_is_forgotten_with_it(collection: bc.Collection) -> None:
    _correct(collection, [2])
    bc.embed(collection, "kmer:6")
    collection.undo()
    assert len(collection.gallery("kmer:6")) == collection.count() - 1
    assert bc.embed(collection, "kmer:6").images == 1
    _right(collection, "kmer:6")


def test_a_row_that_had_none_before_the_change_is_forgotten_too(collection: bc.Collection) -> None:
    more = simulate_barcodes(seed=9, species=2).slice(0, 1)
    collection.add(bc.read(more.set_column(0, "id", pa.array(["late"]))))
    late = collection.table(["id"])["id"].to_pylist().index("late")
    _correct(collection, [0, late])
    bc.embed(collection, "kmer:5")
    collection.undo()
    assert bc.embed(collection, "kmer:5").images == 1
    _right(collection)
