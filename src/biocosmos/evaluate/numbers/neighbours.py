"""Nearest neighbours of queries, streamed, and where the first right one stands for each target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.evaluate.numbers.metrics import first_right
from biocosmos.evaluate.numbers.targets import Target
from biocosmos.progress import progress
from biocosmos.search.gallery import Gallery
from biocosmos.search.graph import Neighbours, neighbour_graph

Array = npt.NDArray[Any]
# Queries searched at once: keeps memory at block x k whatever the collection's size, and the search kernel busy.
QUERY_BLOCK = 4096
# Cosine above which two images are taken for copies of each other.
SAME_IMAGE = 0.99999


def same_image(neighbours: Neighbours) -> Array:
    """(q,) bool: the nearest neighbour is, as far as the encoder can tell, the same picture."""
    found = neighbours.scores
    return found[:, 0] >= SAME_IMAGE if found.shape[1] else np.zeros(len(found), dtype=bool)


def nearest(gallery: Gallery, queries: Gallery, k: int, *, without_self: bool) -> Neighbours:
    """The ``k`` nearest gallery rows of every query; with ``without_self`` never a row that carries the query's own id."""
    if without_self and queries is gallery and len(gallery) > 1 and len(set(gallery.ids.tolist())) == len(gallery):
        return neighbour_graph(gallery.vectors, k)
    rows = np.full((len(queries), k), -1, dtype=np.int32)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    if not len(gallery):
        return Neighbours(rows, scores)
    with progress("search", total=len(queries), unit="queries") as bar:
        for start in range(0, len(queries), QUERY_BLOCK):
            part = slice(start, min(start + QUERY_BLOCK, len(queries)))
            hits = gallery.search(queries.vectors[part], k, exclude=queries.ids[part] if without_self else None)
            rows[part, : hits.rows.shape[1]], scores[part, : hits.scores.shape[1]] = hits.rows, hits.scores
            bar.advance(part.stop - part.start)
    return Neighbours(rows, scores)


def first_places(neighbours: Neighbours, targets: Sequence[Target]) -> list[Array]:
    """For each target (q,) int64: place of the first right neighbour from 0, k where none is."""
    return [first_right(neighbours.rows, target) for target in targets]
