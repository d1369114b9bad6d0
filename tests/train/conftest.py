"""A collection small enough to train backbones on its images in a second or two."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

import biocosmos as bc
from biocosmos.specimens.records import Source
from biocosmos.specimens.sample import SAMPLE_RANKS

TAXA = 5
"""The commonest ones, which have enough specimens for every part of a split."""


@pytest.fixture(scope="session")
def _few(embedded: bc.Collection, sample_table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    table = sample_table.slice(0, 300)
    labels = table["label"].to_pylist()
    common = [label for label, _ in Counter(labels).most_common(TAXA)]
    table = table.filter(pa.array([label in common for label in labels]))
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
    """A copy of 101 of the embedded specimens, of five taxa, with their images, vectors and a split, which a test may change."""
    shutil.copytree(_few.path, tmp_path / "few.cosmos")
    return bc.Collection.open(tmp_path / "few.cosmos")
