"""The sample that ships with biocosmos: real plankton, PlanktonSet 1.0 (NOAA NCEI Accession 0127422, Cowen et al. 2015)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.specimens.records import BATCH_ROWS, Source

SAMPLE_RANKS = ("status", "kingdom", "phylum", "class", "order", "family", "genus", "label")
"""Ranks of the sample from coarse to fine. ``status`` is living or non-living, null where nobody could tell."""


@cache
def sample() -> pa.Table:
    """The shipped images: 1,996 JPEG files of 60 classes, 24 groups, living, non-living and unknown.

    Columns: id, label, group, status, kingdom, phylum, class, order, family, genus (null where unknown), source_split
    (the part in PlanktonSet's own split) and image (bytes). The schema metadata hold the citation and a licence note.
    """
    path = files("biocosmos.specimens") / "data" / "planktonset_sample.parquet"
    with path.open("rb") as file:
        return pq.read_table(file)


def sample_citation() -> str:
    """How to cite the images."""
    return str(sample().schema.metadata[b"citation"].decode())


def sample_source() -> Source:
    """The sample as a reader would give it: ``Collection.add(sample_source(), pack=True)``."""
    table = sample()
    table = table.set_column(table.column_names.index("image"), "image", table["image"].cast(pa.large_binary()))
    return Source("the shipped plankton sample", "sample", table.to_batches(max_chunksize=BATCH_ROWS), SAMPLE_RANKS)
