"""A small collection whose vectors are made up, as if an encoder of images had made them, and packs of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

import biocosmos as bc
from biocosmos.specimens.given_vectors import Vectors, in_order
from biocosmos.specimens.records import Source

CLASSES = {"Apis mellifera": "Apis", "Apis cerana": "Apis", "Bombus terrestris": "Bombus", "Osmia bicornis": "Osmia"}
DIM, EACH = 16, 12
FACTS = {"digest": "f00d", "dim": DIM, "modality": "image", "preprocessing": {"size": 32}, "backend": "torch"}


def small(
    path: Path,
    *,
    prefix: str = "bee",
    seed: int = 0,
    classes: tuple[str, ...] = tuple(CLASSES),
    each: int = EACH,
    spread: float = 0.25,
    digest: str = "f00d",
    rare: int = 0,
) -> bc.Collection:
    """``each`` specimens of each class around a mean that depends on the class alone; rare: specimens of one more class."""
    collection = bc.Collection.create(path)
    labels = [name for name in classes for _ in range(each)] + ["Nomada rara"] * rare
    ids = [f"{prefix}-{i:03d}" for i in range(len(labels))]
    genera = [CLASSES.get(name, "Nomada") for name in labels]
    rights = ["CC-BY-4.0"] * len(ids)
    table = pa.table({"id": ids, "genus": genera, "species": labels, "label": labels, "rights": rights})
    collection.add(Source("bees", "made up", table.to_batches(), ("genus", "species")))
    rng = np.random.default_rng(seed)
    means = {name: np.random.default_rng(sum(name.encode())).normal(size=DIM) for name in [*CLASSES, "Nomada rara"]}
    matrix = np.stack([means[name] + spread * rng.normal(size=DIM) for name in labels])
    matrix = (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)
    blocks = (batch.column("id") for batch in collection.dataset.to_batches(columns=["id"]))
    collection.add_vectors("model", FACTS | {"digest": digest}, in_order(blocks, Vectors(np.array(ids, object), matrix)))
    return collection
