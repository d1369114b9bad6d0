"""A made-up cruise: specimens of three species with vectors whose classes overlap; samples with other shares, and one of other
images; and specimens whose true posteriors are known. Tests import it as a shared module."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

import biocosmos as bc
from biocosmos.specimens.records import Source

SPECIES = ("Acartia clausi", "Calanus finmarchicus", "Oithona similis")
KNOWN = {"train": 240, "val": 150}
SAMPLES = {"st1": (0.8, 0.1, 0.1), "st2": (0.05, 0.15, 0.8), "blurred": (0.34, 0.33, 0.33)}
EACH = 90
"""Specimens of a sample."""
WIDTH = 12
CLASSES = 4
CENTRES = np.random.default_rng(9).normal(size=(CLASSES, 8)) * 1.2
"""Of the classes of :func:`specimens`."""


def cruise(folder: Path, *, named: bool = True, column: str = "sample") -> bc.Collection:
    """``cruise.cosmos`` with an embedding "made"; named: whether the specimens of the samples have their names;
    column: of the samples."""
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(3, WIDTH)) * 0.9 + 3
    rows, vectors = [], []
    counts = [(part, "", None, number) for part, number in KNOWN.items()]
    counts += [("test", name, shares, EACH) for name, shares in SAMPLES.items()]
    for part, sample, shares, number in counts:
        truth = rng.choice(3, number, p=shares) if shares else rng.permutation(np.arange(number) % 3)
        made = centres[truth] + rng.normal(size=(number, WIDTH))
        if sample == "blurred":
            made += rng.normal(size=WIDTH) * 1.5
        for at, species in enumerate(truth):
            name = SPECIES[species] if named or part != "test" else None
            genus = None if name is None else name.split()[0]
            rows.append({"id": f"{sample or part}-{at}", "genus": genus, "species": name, column: sample, "part": part})
        vectors.append(made)
    collection = bc.Collection.create(folder / "cruise.cosmos")
    columns = {key: pa.array([row[key] for row in rows], pa.string()) for key in rows[0]}
    collection.add(Source("cruise", "made", pa.table(columns).to_batches(), ("genus", "species")))
    collection.make_split("column", column="part")
    collection.add_embedding("made", columns["id"].to_pylist(), np.concatenate(vectors).astype(np.float32))
    return collection


def specimens(number: int, seed: int, moved: float = 0.0, shares: Sequence[float] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Features and truth of classes with some shares, None: drawn alike; moved: a shift of all features."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(CLASSES, number, p=shares)
    return (CENTRES[truth] + rng.normal(size=(number, CENTRES.shape[1])) + moved).astype(np.float32), truth


def posteriors(features: np.ndarray) -> np.ndarray:
    """What a perfect classifier says of :func:`specimens` of classes alike."""
    logits = -((features[:, None] - CENTRES) ** 2).sum(2) / 2
    p = np.exp(logits - logits.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)
