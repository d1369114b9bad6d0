"""Specimens whose images are equal byte for byte, and cropped alike."""

from __future__ import annotations

import lance
import pyarrow as pa
import pyarrow.compute as pc

Group = list[tuple[int, str]]
"""(place, id) of specimens, first stored first."""


def identical_groups(dataset: lance.LanceDataset) -> list[Group]:
    """Groups of two specimens or more, in the order in which their first one is stored."""
    hashes = dataset.to_table(columns=["content_hash"])["content_hash"].combine_chunks()
    counts = pc.value_counts(hashes.drop_null())
    often = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    if not len(often):
        return []
    places = pc.indices_nonzero(pc.is_in(hashes, value_set=often)).cast(pa.int64()).to_pylist()
    table = dataset.take(places, columns=["id", "content_hash", "crop"])
    groups: dict[tuple[str, str], Group] = {}
    for place, id_, content, crop in zip(places, *[table[name].to_pylist() for name in ("id", "content_hash", "crop")]):
        groups.setdefault((content, str(crop)), []).append((place, id_))
    return [group for group in groups.values() if len(group) > 1]
