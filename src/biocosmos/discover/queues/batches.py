"""Batches: specimens that differ from one another, so that ten names do not say the same thing ten times."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover.clusters.representatives import typicality
from biocosmos.search.kmeans import kmeans

Array = npt.NDArray[Any]
AMONG = 8
"""A batch is spread among so many times as many of the highest scores."""
MOST_PARTS = 500
"""Parts that typicality looks for, as in the paper: beyond it, parts are of single specimens."""
ROUNDS = 20


def spread(vectors: Array, scores: Array, count: int, how: str, *, seed: int = 0) -> Array:
    """(count,) int64 rows, best first, of the highest ``scores`` (n,); NaN is never taken.

    how: "none" the highest; "kmeans" the highest of each of ``count`` parts of the eight times as many highest (Zhdanov 2019,
    arXiv:1901.05954); "k-centre" those of them farthest from one another. vectors: (n, d) float32 unit. Ties by the lowest row.
    """
    able = np.flatnonzero(np.isfinite(scores))
    order = able[np.lexsort((able, -scores[able]))]
    if how == "none" or len(order) <= count:
        return order[:count]
    top = order[: count * AMONG]
    if how == "k-centre":
        chosen = top[farthest_first(vectors[top], np.empty((0, vectors.shape[1]), np.float32), count)[0]]
    else:
        parts = kmeans(np.ascontiguousarray(vectors[top]), count, iterations=ROUNDS, seed=seed).labels
        _, first = np.unique(parts, return_index=True)  # top stands best first
        chosen = top[np.sort(first)]
        chosen = np.concatenate([chosen, top[~np.isin(top, chosen)][: count - len(chosen)]])  # parts that came out empty
    return np.asarray(chosen[np.lexsort((chosen, -scores[chosen]))], np.int64)


def of_each(taxa: Array, p: Array, count: int, known: int, *, seed: int = 0) -> Array:
    """(k,) int64 rows: ``count`` of each suggested taxon, evenly from its surest to its least sure; then any, drawn by the seed,
    until there are ``count`` times the number of ``known`` taxa. taxa: (n,) suggested nodes; p: (n,) of these."""
    chosen: list[int] = []
    for taxon in np.unique(taxa):
        mine = np.flatnonzero(taxa == taxon)
        order = mine[np.lexsort((mine, -p[mine]))]
        places = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).astype(np.int64))
        chosen += order[places].tolist()
    others = np.setdiff1d(np.arange(len(taxa)), chosen)
    more = np.random.default_rng(seed).permutation(others)[: max(count * known - len(chosen), 0)]
    return np.array([*chosen, *more.tolist()], np.int64)


def farthest_first(vectors: Array, known: Array, count: int) -> tuple[Array, Array]:
    """((k,) int64 rows, (k,) float64 distance when chosen): each time the row farthest from ``known`` and from those chosen.

    Greedy k-centre, within a factor of two of the best cover (Gonzalez 1985; Sener and Savarese 2018, arXiv:1708.00489); distance
    is 1 - cosine. vectors: (n, d), known: (m, d) float32 unit rows; without any known the first is the row nearest to the mean
    of all. Ties by the lowest row.
    """
    count = min(count, len(vectors))
    if not count:
        return np.empty(0, np.int64), np.empty(0)
    nearest = np.full(len(vectors), np.inf)
    for start in range(0, len(known), 1024):
        nearest = np.minimum(nearest, 1 - (vectors @ known[start : start + 1024].T).max(axis=1))
    rows, far = np.empty(count, np.int64), np.empty(count)
    for place in range(count):
        if place == 0 and not len(known):
            row = int((vectors @ vectors.mean(axis=0)).argmax())
            far[0] = 2.0
        else:
            row = int(nearest.argmax())
            far[place] = nearest[row]
        rows[place] = row
        nearest = np.minimum(nearest, 1 - vectors @ vectors[row])
        nearest[row] = -np.inf
    return rows, far


def typical(vectors: Array, known: Array, count: int, *, seed: int = 0) -> tuple[Array, Array]:
    """((k,) int64 rows, (k,) float64 typicality): the most typical of the largest parts in which least is named.

    TypiClust (Hacohen et al. 2022, arXiv:2202.02794): everything is cut into as many parts as there will be names, at most 500;
    each time the part with the fewest names, the larger of equals, gives its most typical specimen. Typicality is the cosine
    to the part's mean, where the paper has the mean distance to 20 neighbours: the order is nearly the same and nothing is
    searched. vectors: (n, d), known: (m, d) float32 unit rows.
    """
    count = min(count, len(vectors))
    if not count:
        return np.empty(0, np.int64), np.empty(0)
    both = np.ascontiguousarray(np.concatenate([vectors, known])) if len(known) else vectors
    parts = kmeans(both, min(len(known) + count, MOST_PARTS, len(both)), iterations=ROUNDS, seed=seed).labels
    typicalities = typicality(both, parts)[: len(vectors)]
    size = np.bincount(parts)
    named = np.bincount(parts[len(vectors) :], minlength=len(size))
    waiting = {
        part: list(rows[np.lexsort((rows, -typicalities[rows]))])
        for part in np.unique(parts[: len(vectors)])
        for rows in [np.flatnonzero(parts[: len(vectors)] == part)]
    }
    rows = np.empty(count, np.int64)
    for place in range(count):
        part = min((each for each in waiting if waiting[each]), key=lambda each: (named[each], -size[each], each))
        rows[place] = waiting[part].pop(0)
        named[part] += 1
    return rows, typicalities[rows].astype(np.float64)
