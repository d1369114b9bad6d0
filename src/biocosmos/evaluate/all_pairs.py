"""The k nearest other rows of every row: each pair's product is computed once and serves both of its rows.

Searching a gallery for its own rows computes every cosine twice. Here the similarity matrix is walked in square blocks of its
upper half, the diagonal first: rows stand in taxonomy order, so a row's nearest neighbours are mostly found there, and from
then on a block is passed over for every row whose best cosine in it does not reach those it has. No more than one block exists
at a time.

Blocks are float32 products; the answer is exact all the same. Of every row k + SLACK candidates are kept and scored again in
float64, and a row is certified when no row left out can reach its k-th score: cosines in float32 are off by at most
dim * 2^-24 (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1). The others are searched by the gallery.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.evaluate.neighbours import Neighbours
from biocosmos.progress import progress
from biocosmos.search.gallery import Gallery

Array = npt.NDArray[Any]
BLOCK = 2048
SLACK = 6
FLOAT32_UNIT = 2.0**-24
RESCORED_ROWS = 512


def nearest_others(gallery: Gallery, k: int) -> Neighbours:
    """The ``k`` nearest rows of every row but itself, by cosine, equal scores in row order.

    As Gallery.search with its own ids excluded, which must be unique.
    """
    n = len(gallery)
    kept = min(k + SLACK, max(n - 1, 1))
    floor, rows = _candidates(gallery.vectors, kept)
    scores, order = _rescored(gallery.vectors, rows)
    found = Neighbours(np.full((n, k), -1, dtype=np.int32), np.full((n, k), -np.inf, dtype=np.float32))
    shown = min(k, n - 1)
    found.rows[:, :shown], found.scores[:, :shown] = order[:, :shown], scores[:, :shown]
    if kept < n - 1:
        error = 2 * gallery.dim * FLOAT32_UNIT
        unsure = np.flatnonzero(floor + error >= scores[:, k - 1])
        if len(unsure):
            hits = gallery.search(gallery.vectors[unsure], k, exclude=gallery.ids[unsure])
            found.rows[unsure], found.scores[unsure] = hits.rows, hits.scores
    return found


def _candidates(x: Array, kept: int) -> tuple[Array, Array]:
    """(n,) float32 score that no row left out exceeds, and (n, kept) int64 best other rows by float32 products, -1 where there
    are none."""
    n = len(x)
    tensor = torch.from_numpy(x)
    best, rows = np.full((n, kept), -np.inf, dtype=np.float32), np.full((n, kept), -1, dtype=np.int64)
    floor = best.min(axis=1)
    starts = range(0, n, BLOCK)
    room, beats = torch.empty(BLOCK * BLOCK), np.empty(BLOCK * BLOCK, dtype=bool)
    with progress("compare", total=len(starts) * (len(starts) + 1) // 2, unit="blocks") as bar:
        for distance in range(len(starts)):
            offers: list[tuple[Array, Array, Array]] = []
            for left, right in zip(starts, starts[distance:]):
                a, b = tensor[left : left + BLOCK], tensor[right : right + BLOCK]
                shape = len(a), len(b)
                block = torch.mm(a, b.T, out=room[: shape[0] * shape[1]].view(shape))
                if not distance:
                    block.fill_diagonal_(-torch.inf)
                    value, place = torch.topk(block, min(kept, shape[1]), dim=1)
                    part = slice(left, left + shape[0])
                    best[part, : value.shape[1]], rows[part, : value.shape[1]] = value.numpy(), place.numpy() + left
                    rows[part][np.isneginf(best[part])] = -1
                else:
                    cosine, better = block.numpy(), beats[: shape[0] * shape[1]].reshape(shape)
                    for across in (False, True):
                        np.greater(
                            cosine, floor[right : right + shape[1]] if across else floor[left : left + shape[0], None], out=better
                        )
                        i, j = np.divmod(np.flatnonzero(better), shape[1])
                        offers.append((j + right, i + left, cosine[i, j]) if across else (i + left, j + right, cosine[i, j]))
                bar.advance()
            _take(best, rows, offers)
            floor = best.min(axis=1)
    return floor, rows


def _take(best: Array, rows: Array, offers: list[tuple[Array, Array, Array]]) -> None:
    """Let offers (takers, candidates, cosines) compete for the kept places of their takers."""
    taker, candidate, value = (np.concatenate(column) for column in zip(*offers)) if offers else [np.empty(0)] * 3
    if not len(taker):
        return
    kept = best.shape[1]
    order = np.lexsort((-value, taker))
    taker, candidate, value = taker[order], candidate[order], value[order]
    takers, first, count = np.unique(taker, return_index=True, return_counts=True)
    line = np.repeat(np.arange(len(takers)), count)
    place = np.arange(len(taker)) - first[line]
    able = place < kept
    wide = np.full((len(takers), kept + min(int(count.max()), kept)), -np.inf, dtype=np.float32)
    names = np.full(wide.shape, -1, dtype=np.int64)
    wide[:, :kept], names[:, :kept] = best[takers], rows[takers]
    wide[line[able], kept + place[able]], names[line[able], kept + place[able]] = value[able], candidate[able]
    winner = np.argpartition(-wide, kept - 1, axis=1)[:, :kept]
    best[takers], rows[takers] = np.take_along_axis(wide, winner, 1), np.take_along_axis(names, winner, 1)


def _rescored(x: Array, rows: Array) -> tuple[Array, Array]:
    """Candidates (n, c) in order of their float64 cosines rounded to float32, equal ones by row.

    Returns scores (n, c) float32 and rows (n, c) int64, -inf and -1 at the end.
    """
    scores, order = np.full(rows.shape, -np.inf, dtype=np.float32), np.full(rows.shape, -1, dtype=np.int64)
    tensor = torch.from_numpy(x)
    for start in range(0, len(x), RESCORED_ROWS):
        part = slice(start, start + RESCORED_ROWS)
        near = tensor[torch.from_numpy(np.maximum(rows[part], 0))].double()
        exact = torch.bmm(near, tensor[part].double()[:, :, None]).squeeze(2).float().numpy()
        exact[rows[part] < 0] = -np.inf
        sort = np.lexsort((rows[part], -exact), axis=1)
        scores[part], order[part] = np.take_along_axis(exact, sort, 1), np.take_along_axis(rows[part], sort, 1)
    return scores, order
