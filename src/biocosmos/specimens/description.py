"""A collection in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from biocosmos.specimens.placed import places_of

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection


KMERS = "kmer:7"
"""The encoder that is named to whoever has barcodes: no training, no weights."""


def barcodes_alone(collection: Collection) -> bool:
    """Whether there are barcodes and no images."""
    dataset = collection.dataset
    pictured = "image IS NOT NULL OR image_path IS NOT NULL"
    return not dataset.count_rows(filter=pictured) and bool(dataset.count_rows(filter="barcode IS NOT NULL"))


def describe(collection: Collection) -> dict[str, Any]:
    """See :meth:`Collection.describe`."""
    dataset = collection.dataset
    names = {}
    for rank in collection.ranks:
        column = dataset.to_table(columns=[rank])[rank]
        names[rank] = {"taxa": pc.count_distinct(column).as_py(), "specimens": len(column) - column.null_count}
    _, places = places_of(collection)
    severities = collection.failures["severity"].to_pylist()
    return {
        "path": str(collection.path),
        "specimens": len(collection),
        "packed_images": dataset.count_rows(filter="image IS NOT NULL"),
        "image_files": dataset.count_rows(filter="image IS NULL AND image_path IS NOT NULL"),
        "barcodes": dataset.count_rows(filter="barcode IS NOT NULL"),
        "places": {
            "place": int(places.has_place.sum()),
            "day": int(places.has_day.sum()),
            "depth": int(np.isfinite(places.depth).sum()),
        },
        "ranks": names,
        "columns": collection.stored_columns,
        "attributes": {name: list(group.columns) for name, group in collection.attribute_groups.items()},
        "encoders": collection.encoders,
        "spaces": collection.spaces(),
        "default_encoder": collection.default_encoder,
        "splits": {name: collection.split(name).describe() for name in collection.split_names},
        "failures": {"errors": severities.count("error"), "warnings": severities.count("warning")},
        "bytes": sum(file.stat().st_size for file in collection.path.rglob("*") if file.is_file()),
    }
