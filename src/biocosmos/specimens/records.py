"""The columns of a specimen, and what a reader hands to a collection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from biocosmos.errors import Failures
from biocosmos.specimens.attribute_groups import Group

BATCH_ROWS = 1024

STANDARD: dict[str, pa.DataType] = {
    "id": pa.string(),  # unique in a collection, never blank
    "image_path": pa.string(),  # where the image file lies; null when packed or absent
    "image": pa.large_binary(),  # the file's bytes as they were, when packed
    "crop": pa.list_(pa.float32(), 4),  # x, y, width, height in pixels of the upright image; null = all of it
    "label": pa.string(),  # the name as its source gave it
    "barcode": pa.string(),  # DNA barcode, IUPAC letters
    "text": pa.string(),
    "latitude": pa.float64(),  # decimal degrees, WGS84
    "longitude": pa.float64(),
    "date": pa.string(),  # ISO 8601 where the source allows it; an interval as a/b
}
"""Columns with a meaning of their own, and their Arrow types. Rank columns are strings named by their rank; every other
column of a source is kept under its own name."""

PLACED: dict[str, pa.DataType] = {
    "uncertainty": pa.float64(),  # metres: the radius in which the specimen was found for sure
    "depth_min": pa.float64(),  # metres below the surface
    "depth_max": pa.float64(),
    "altitude": pa.float64(),  # metres above the sea; the middle of a range
    "country": pa.string(),  # as the source says
}
"""More of where a specimen was found: columns of a collection from the first source on that says such a thing, under any name
(:mod:`biocosmos.specimens.readers.placing`). The source's own columns are kept beside them."""

BESIDE = ("satellite_path", "audio_path")
"""Columns of files beside a specimen, as image_path is of its own."""

ADDED_BY_COLLECTION = {"content_hash": pa.string(), "width": pa.int32(), "height": pa.int32()}
"""Columns that a collection fills in itself: hash of the image file's bytes, and the image's size in pixels."""

BINS = ("dna_bin", "bin_uri", "bin")
"""Columns in which sources keep a specimen's BIN, the first that is there counts."""

EMBEDDING_PREFIX = "embedding/"
"""Columns whose name begins so hold vectors, one column per encoder."""


@dataclass
class Source:
    """A reader's promise: record batches, read as they are asked for, once.

    ``batches`` have at most :data:`BATCH_ROWS` rows; ``id`` is set and not blank in every row. ``ranks`` names the rank
    columns from coarse to fine. Rows that could not be read are in ``failures``, which fills while the batches are read.
    ``origin`` is the file or folder it was opened from; what failed at the last reading of an origin replaces what failed before.
    ``attributes``: columns that are one task together (:mod:`biocosmos.specimens.attributes`), which the collection remembers.
    """

    name: str
    format: str
    batches: Iterable[pa.RecordBatch]
    ranks: tuple[str, ...] = ()
    failures: Failures = field(default_factory=Failures)
    origin: Path | None = None
    attributes: tuple[Group, ...] = ()
