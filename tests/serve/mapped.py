"""A small collection with a known map of likeness and known places, for the tests of maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

import biocosmos as bc
from biocosmos.discover.kept import keep
from biocosmos.specimens.records import Source
from biocosmos.specimens.sample import SAMPLE_RANKS

ROWS, UNMAPPED = 120, 7
HEAPS = np.array([(0.0, 0.0), (10.0, 0.0), (5.0, 9.0)])
"""Middles of three heaps of points in the projection's own numbers; specimen i lies in heap i % 3, at most 0.5 from it."""
STATIONS = np.array([(178.5, -18.0), (-179.0, -17.0), (4.5, 52.0)])
"""Longitude, latitude; specimen i was found at station i % 3, but each tenth nowhere."""


def places_of(count: int = ROWS) -> np.ndarray:
    """(count, 2) where each specimen lies in the projection."""
    random = np.random.default_rng(0)
    angle, radius = random.uniform(0, 2 * np.pi, count), 0.5 * np.sqrt(random.random(count))
    return HEAPS[np.arange(count) % 3] + np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])


def make(folder: Path, sample_table: pa.Table, *, projection: bool = True, places: bool = True) -> bc.Collection:
    """120 specimens of the sample; the last seven came after the map was made, and three that it knows are gone."""
    collection = bc.Collection.create(folder / "mapped.cosmos")
    collection.add(Source("mapped", "sample", sample_table.slice(0, ROWS).to_batches(), SAMPLE_RANKS), pack=True)
    ids = collection.table(["id"])["id"].to_pylist()
    if places:
        stations = STATIONS[np.arange(ROWS) % 3]
        nowhere = np.arange(ROWS) % 10 == 9
        month = [f"2019-{1 + i % 12:02d}-15" if i % 20 else ("2018" if i % 40 else None) for i in range(ROWS)]
        table = {
            "id": ids,
            "longitude": pa.array(stations[:, 0], mask=nowhere),
            "latitude": pa.array(stations[:, 1], mask=nowhere),
            "date": pa.array(month, pa.string()),
        }
        collection.change(pa.table(table), verb="update")
    if projection:
        order = np.random.default_rng(1).permutation(ROWS - UNMAPPED)  # a projection has an order of its own
        xy = places_of()[order]
        named = [ids[i] for i in order]
        gone = [f"gone-{i}" for i in range(3)]
        table = {"id": [*named, *gone], "x": [*xy[:, 0], 1.0, 2.0, 3.0], "y": [*xy[:, 1], 1.0, 2.0, 3.0]}
        keep(collection, "projection", pa.table(table), {"reducer": "umap"})
    return collection
