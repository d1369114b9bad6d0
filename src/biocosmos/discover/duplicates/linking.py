"""Pairs of specimens that are alike, one kind at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.discover.duplicates.hashing import FINE_BITS, near_hashes
from biocosmos.errors import BiocosmosError
from biocosmos.search.graph import Neighbours, neighbour_graph

Array = npt.NDArray[Any]
IDENTICAL, PERCEPTUAL, EMBEDDING, SERIES = "identical", "perceptual", "embedding", "series"
NEIGHBOURS = 15
"""Of each vector that are looked at: a picture with more near copies than this is grouped with the nearest of them."""


@dataclass(frozen=True, eq=False)
class Links:
    """Pairs of rows that are alike. kind: how; first, second: (m,) int64 rows, first < second, each pair once; alike: (m,)
    float64, the higher the more alike: 1 for the same bytes, 1 - bits / 256 of hashes, the cosine of vectors."""

    kind: str
    first: Array
    second: Array
    alike: Array

    def __len__(self) -> int:
        return len(self.first)


def by_content(content: pa.Array) -> Links:
    """The first row of each content with every other of it: a star, so that a thousand copies are a thousand links.

    content: (n,) strings, null where there is no image.
    """
    codes = content.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(codes >= 0)
    order = rows[np.argsort(codes[rows], kind="stable")]
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    first = np.repeat(order[starts], np.diff(starts, append=len(order)))
    other = first != order
    return _pairs(IDENTICAL, first[other], order[other], np.ones(int(other.sum())))


def by_hash(records: Array, known: Array, bits: int) -> Links:
    """Rows that look the same by their perceptual hashes (see :func:`near_hashes`), which differ in at most ``bits`` of 256.

    records: (n,) of :data:`biocosmos.discover.duplicates.hashing.RECORD`; known: (n,) bool.
    """
    first, second, apart = near_hashes(records, known, bits)
    return _pairs(PERCEPTUAL, first, second, 1 - apart / FINE_BITS)


def by_vectors(vectors: Array, cosine: float, *, rows: Array | None = None, graph: Neighbours | None = None) -> Links:
    """Rows whose vectors have a cosine of at least ``cosine``, among the :data:`NEIGHBOURS` nearest of each.

    vectors: (m, d) float32 unit rows; rows: (m,) what they are called in the links; graph: their neighbours, where known.
    """
    if not 0 < cosine <= 1:
        raise BiocosmosError(f"a cosine of {cosine:g} makes no duplicates: choose one above 0 and at most 1")
    if graph is None:
        graph = neighbour_graph(vectors, NEIGHBOURS)
    near = (graph.rows >= 0) & (graph.scores >= cosine - 1e-6)
    one, place = np.nonzero(near)
    other = graph.rows[one, place].astype(np.int64)
    alike = graph.scores[one, place].astype(np.float64)
    names = np.arange(len(vectors)) if rows is None else rows
    return _pairs(EMBEDDING, names[one], names[other], alike)


def _pairs(kind: str, one: Array, other: Array, alike: Array) -> Links:
    """Each pair once, the lower row first, in order."""
    first, second = np.minimum(one, other).astype(np.int64), np.maximum(one, other).astype(np.int64)
    order = np.lexsort((-alike, second, first))
    first, second, alike = first[order], second[order], alike[order]
    new = np.ones(len(first), bool)
    new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return Links(kind, first[new], second[new], alike[new])
