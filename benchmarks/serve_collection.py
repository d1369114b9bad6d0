"""A collection that nobody collected: taxa, places, dates, vectors, names by a machine and pictures of noise, of any size.

Each stage is made once: run it again and it goes on where it was killed.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

import biocosmos as bc
from biocosmos.discover import kept
from biocosmos.serve.thumbnails.pictures import mark_of
from biocosmos.serve.thumbnails.places import Shelf
from biocosmos.serve.thumbnails.store import Kept
from biocosmos.specimens.records import Source
from biocosmos.tables import write_table

ENCODER = "noise"
RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "species")
TAXA, BATCH, SEED = 5000, 8192, 0
PER_RANK = (3, 20, 60, 200, 600, 1800, TAXA)
"""Names of each rank; a path is drawn from the deepest one upwards."""
ABSENT = (0.0, 0.02, 0.1, 0.05, 0.1, 0.0, 0.3)
"""Share of taxa that lack each rank."""
GROUPS = ("copepod", "diatom", "fish larva", "jelly", "detritus")


def paths(seed: int = SEED) -> list[list[str | None]]:
    """The names of :data:`TAXA` taxa at each rank, with ranks that are null here and there."""
    rng = np.random.default_rng(seed)
    parent = [rng.integers(0, above, here) for above, here in itertools.pairwise(PER_RANK)]
    gone = [rng.random(here) < share for here, share in zip(PER_RANK, ABSENT)]
    found = []
    for taxon in range(TAXA):
        at, path = taxon, [None if gone[-1][taxon] else f"Species {taxon:04d}"]
        for level in range(len(RANKS) - 2, -1, -1):
            at = int(parent[level][at])
            path.append(None if gone[level][at] else f"{RANKS[level].capitalize()}us {at:04d}")
        found.append(path[::-1])
    return found


def make(path: Path, count: int, dim: int) -> bc.Collection:
    """The collection of ``count`` specimens with vectors of ``dim`` numbers, as far as it is not there yet."""
    collection = bc.Collection.open_or_create(path)
    if len(collection) < count:
        collection.add(Source("noise", "noise", _specimens(count), RANKS))
    if ENCODER not in collection.encoders:
        facts = {
            "name": ENCODER,
            "digest": "0" * 16,
            "dim": dim,
            "modality": "image",
            "preprocessing": {},
            "precision": "float32",
        }
        collection.add_vectors(ENCODER, facts, _vectors(count, dim))
    if "default" not in collection.split_names:
        collection.make_split("random")
    if not [*(path / "identifications").glob("*.parquet")]:
        write_table(_answers(count), path / "identifications" / "20261129T000000000000Z.parquet", {"method": "noise"})
    if not kept.kept(collection, "projection"):
        rng = np.random.default_rng(SEED + 2)
        where = rng.normal(0, 1, (count, 2)) + rng.integers(-6, 6, (count, 2))
        table = pa.table({"id": _ids(0, count), "x": where[:, 0].astype(np.float32), "y": where[:, 1].astype(np.float32)})
        kept.keep(collection, "projection", table, {"method": "noise", "encoder": {"name": ENCODER}})
    return collection


def _ids(start: int, stop: int) -> pa.Array:
    return pa.array([f"noise/{row:07d}" for row in range(start, stop)], pa.string())


def _taxa(count: int) -> np.ndarray:
    """Taxon of each specimen, few common ones and many rare; -1 for a third that nobody named."""
    rng = np.random.default_rng(SEED + 1)
    taxa = np.minimum(rng.zipf(1.15, count) - 1, 10**9) % TAXA
    taxa[rng.random(count) < 1 / 3] = -1
    return taxa


def _specimens(count: int) -> Iterator[pa.RecordBatch]:
    table = paths()
    columns = [pa.array([path[i] for path in table], pa.string()) for i in range(len(RANKS))]
    taxa, rng = _taxa(count), np.random.default_rng(SEED + 3)
    for start in range(0, count, BATCH):
        here = taxa[start : start + BATCH]
        rows = len(here)
        named = pa.array(here, mask=here < 0)
        day = rng.integers(0, 365 * 12, rows).astype("timedelta64[D]") + np.datetime64("2012-01-01")
        dates = [str(each)[:7] if part else str(each) for each, part in zip(day, rng.random(rows) < 0.1)]
        far = rng.random(rows) < 0.1
        cells = {
            "id": _ids(start, start + rows),
            "latitude": pa.array(rng.uniform(-70, 75, rows), mask=far),
            "longitude": pa.array(rng.uniform(-180, 180, rows), mask=far),
            "date": pa.array(dates, pa.string(), mask=rng.random(rows) < 0.1),
            "group": pa.array(rng.choice(GROUPS, rows)),
        }
        cells |= {rank: column.take(named) for rank, column in zip(RANKS, columns)}
        yield pa.record_batch(cells)


def _vectors(count: int, dim: int) -> Iterator[pa.FixedSizeListArray]:
    """Vectors around the middle of each taxon, so that a search finds something."""
    rng, taxa = np.random.default_rng(SEED + 4), _taxa(count)
    middles = rng.normal(0, 1, (TAXA, dim)).astype(np.float32)
    for start in range(0, count, BATCH):
        here = taxa[start : start + BATCH]
        found = middles[here] + rng.normal(0, 0.7, (len(here), dim)).astype(np.float32)
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        yield pa.FixedSizeListArray.from_arrays(pa.array(found.ravel()), dim)


def _answers(count: int) -> pa.Table:
    """What a machine would say of all of them, now and then something else than the label."""
    rng, taxa, table = np.random.default_rng(SEED + 5), _taxa(count), paths()
    other = rng.integers(0, TAXA, count)
    said = np.where((taxa < 0) | (rng.random(count) < 0.1), other, taxa)
    columns: dict[str, pa.Array] = {"id": _ids(0, count)}
    for i, rank in enumerate(RANKS):
        columns[rank] = pa.array([path[i] for path in table], pa.string()).dictionary_encode().take(pa.array(said))
        columns[f"{rank}_confidence"] = pa.array(rng.random(count).astype(np.float32))
    deepest = np.array([max(i for i, name in enumerate(path) if name) for path in table])[said]
    sure = rng.random(count) > 0.1
    names = pa.array([next(name for name in reversed(path) if name) for path in table], pa.string())
    columns["taxon"] = names.take(pa.array(said, mask=~sure))
    columns["rank"] = pa.array(RANKS, pa.string()).take(pa.array(deepest, mask=~sure))
    columns["confidence"] = pa.array(rng.random(count).astype(np.float32), mask=~sure)
    columns["best_guess"] = names.take(pa.array(said))
    columns["novelty"] = pa.array(rng.gamma(2, 1, count).astype(np.float32))
    columns["method"] = pa.array(["noise"], pa.string()).take(pa.array(np.zeros(count, np.int64)))
    return pa.table(columns)


def picture(number: int, size: int) -> bytes:
    """A JPEG of noise; two numbers give two pictures."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 255, (8, 8, 3)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(coarse).resize((size, size)).save(out, "JPEG", quality=80)
    return out.getvalue()


def hang_pictures(path: Path, count: int, size: int = 128) -> None:
    """Keep a thumbnail of noise for every specimen, as far as there is none: 64 pictures in turn."""
    shelf = Shelf(path, size)
    try:
        jpegs = [picture(number, size) for number in range(64)]
        for start in range(shelf.store.count() // BATCH * BATCH, count, BATCH):
            ids = _ids(start, min(count, start + BATCH)).to_pylist()
            shelf.store.keep([Kept(id_, mark_of(None, None), jpegs[i % len(jpegs)]) for i, id_ in enumerate(ids)])
    finally:
        shelf.close()
