"""What a head fitted on the names so far says of the specimens that have none, and the page most worth looking at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover.growing.costs import SUGGESTIONS, Costs
from biocosmos.identify.namers.linear import LinearHead

Array = npt.NDArray[Any]
MOST_EACH, ITERATIONS, L2 = 200, 30, 0.01
"""Specimens of a taxon that a head is fitted on, and its iterations: more change it little and cost time. On 256 principal
axes of PlanktonSet a weight decay of 0.01 names 67.3 % of others from 8,000, the usual 0.03 65.1 %."""
BLOCK = 1 << 14


@dataclass(frozen=True)
class Suggested:
    """rows: (m,) int64 without a name; taxa: (m,) int32 the likeliest; p: (m,) float32 its probability; margin: (m,) float32 by
    which it leads the second; nearest: (m, 9) int32 the likeliest taxa, fewer where there are fewer."""

    rows: Array
    taxa: Array
    p: Array
    margin: Array
    nearest: Array


def suggest(x: Array, taxa: Array, rows: Array, *, seed: int = 0) -> Suggested | None:
    """Fit a head on the rows of x (n, d) float32 whose ``taxa`` (n,) are 0 or more and ask it about ``rows``.

    None where fewer than two taxa have names. Of each taxon at most 200 specimens, drawn at random, are fitted on.
    """
    named = np.flatnonzero(taxa >= 0)
    if len(named) == 0 or len(np.unique(taxa[named])) < 2:
        return None
    random = np.random.default_rng(seed)
    shuffled = named[random.permutation(len(named))]
    order = shuffled[np.argsort(taxa[shuffled], kind="stable")]
    _, first, counts = np.unique(taxa[order], return_index=True, return_counts=True)
    place = np.arange(len(order)) - np.repeat(first, counts)
    known = np.sort(order[place < MOST_EACH])
    head = LinearHead.fit(x[known], taxa[known].astype(np.int32), l2=L2, iterations=ITERATIONS)
    best, p, margin = np.empty(len(rows), np.int32), np.empty(len(rows), np.float32), np.empty(len(rows), np.float32)
    nearest = np.empty((len(rows), min(SUGGESTIONS, len(head.candidates))), np.int32)
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        z = head.scores(x[rows[part]])
        z = np.exp(z - z.max(axis=1, keepdims=True))
        z /= z.sum(axis=1, keepdims=True)
        two = np.argpartition(-z, 1, axis=1)[:, :2]
        values = np.take_along_axis(z, two, 1)
        best[part] = head.candidates[z.argmax(axis=1)]
        p[part], margin[part] = values.max(axis=1), np.abs(values[:, 0] - values[:, 1])
        nearest[part] = head.candidates[np.argsort(-z, axis=1, kind="stable")[:, : nearest.shape[1]]]
    return Suggested(rows, best, p, margin, nearest)


def best_page(found: Suggested, open_: Array, costs: Costs, *, page: int, sure: float = 2.0) -> tuple[int, Array, float]:
    """(taxon, rows, expected pictures named a second) of the page that promises most names a second.

    open_: (m,) bool, which of ``found`` may still be shown; pictures above the probability ``sure`` are not: they are to be
    accepted unseen. Of each taxon the likeliest fill a page; what it gives is the sum of their probabilities.
    """
    able = np.flatnonzero(open_ & (found.p <= sure))
    if not len(able):
        return -1, np.empty(0, np.int64), 0.0
    order = able[np.lexsort((found.rows[able], -found.p[able], found.taxa[able]))]
    taxa, first, counts = np.unique(found.taxa[order], return_index=True, return_counts=True)
    best = (-1, np.empty(0, np.int64), 0.0)
    for taxon, start, count in zip(taxa, first, counts):
        part = order[start : start + min(count, page)]
        gives = float(found.p[part].sum())
        rate = gives / costs.page(len(part), round(len(part) - gives))
        if rate > best[2]:
            best = int(taxon), part, rate
    return best
