"""Which specimens of a gallery are hidden from what names them: folds within each taxon, and rows by their ids."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from biocosmos.identify.blocks import RowArray
from biocosmos.search.gallery import Gallery

FOLDS = 5


def fold_numbers(gallery: Gallery, seed: int) -> NDArray[np.int64]:
    """(n,) int64 fold of each row in 0..FOLDS-1, balanced within each class; -1 for rows alone in their class."""
    assert gallery.taxa is not None
    random = np.random.default_rng(seed)
    starts = np.unique(gallery.taxa, return_index=True)[1]
    out = np.full(len(gallery), -1, np.int64)
    for a, b in zip(starts, np.append(starts[1:], len(gallery))):
        if b - a > 1:
            out[a:b] = (random.permutation(b - a) + random.integers(FOLDS)) % FOLDS
    return out


def same_id_pairs(gallery_ids: NDArray[np.object_], query_ids: NDArray[np.object_]) -> tuple[RowArray, RowArray]:
    """(gallery rows, query rows) of every pair with the same id: int64 each."""
    queries = pa.array(query_ids, pa.string())
    first = pc.index_in(queries, value_set=queries).to_numpy(zero_copy_only=False).astype(np.int64)
    found = pc.index_in(pa.array(gallery_ids, pa.string()), value_set=queries).fill_null(-1).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(found >= 0)
    # Ids may repeat on both sides: join each matched row with the whole run of queries that carry its id.
    order = np.argsort(first, kind="stable")
    start = np.searchsorted(first[order], found[rows], "left")
    count = np.searchsorted(first[order], found[rows], "right") - start
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return np.repeat(rows, count), order[np.repeat(start, count) + within]


def with_relatives(gallery: Gallery) -> RowArray:
    """Rows that are not alone in their taxon: hidden, the others' taxon would be no candidate at all."""
    return np.flatnonzero(class_sizes(gallery) > 1)


def class_sizes(gallery: Gallery) -> NDArray[np.int64]:
    """(n,) specimens of the taxon of each row."""
    assert gallery.taxa is not None
    _, inverse, counts = np.unique(gallery.taxa, return_inverse=True, return_counts=True)
    return counts[inverse]
