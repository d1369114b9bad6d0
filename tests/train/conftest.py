"""A collection small enough to train backbones on its images in a second or two."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.specimens.records import Source
from biocosmos.specimens.sample import SAMPLE_RANKS

EVERY = 4


@pytest.fixture(scope="session")
def _few(embedded: bc.Collection, sample_table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    table = sample_table.slice(0, 300).take(list(range(0, 300, EVERY)))
    collection = bc.Collection.create(tmp_path_factory.mktemp("few") / "few.cosmos")
    collection.add(Source("few", "sample", table.to_batches(), SAMPLE_RANKS), pack=True)
    collection.make_split("stratified", seed=0)
    ((encoder, facts),) = embedded.encoders.items()
    column = embedded.embedding_column(encoder)
    vectors = embedded.take(collection.table(["id"])["id"].to_pylist(), columns=[column])[column]
    collection.add_vectors(encoder, facts, iter(vectors.chunks))
    return collection


@pytest.fixture
def few(_few: bc.Collection, tmp_path: Path) -> bc.Collection:
    """A copy of 75 of the embedded specimens with their images, vectors and a split, which a test may change."""
    shutil.copytree(_few.path, tmp_path / "few.cosmos")
    return bc.Collection.open(tmp_path / "few.cosmos")
