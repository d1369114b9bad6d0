"""The k nearest other rows of every row of a few thousand, exactly; each pair is looked at once and serves both of its rows.

Searching a gallery for its own rows computes every cosine twice. Here the similarity matrix is walked in square blocks of its
upper half, the diagonal first: rows stand in taxonomy order, so a row's nearest neighbours are mostly found there, and from
then on only the few cosines of a block that beat those a row has are looked at. No more than one block exists at a time.

Where the vectors lie near a plane of few dimensions, as embeddings do, blocks off the diagonal are bounds instead of cosines:
with z the coordinates on the first principal axes and r the length of the rest, x.y <= z_x.z_y + r_x r_y (Cauchy and
Schwarz), and only pairs whose bound beats a row's neighbours are multiplied out.

Blocks are float32 products; the answer is exact all the same. Of every row k + SLACK candidates are kept, those too close to
tell apart in float32 are scored again in float64, and a row is certified when no row left out can reach its k-th score:
cosines in float32 are off by at most dim * 2^-24 (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1).
The others must be searched again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biocosmos.progress import progress

Array = npt.NDArray[Any]
BLOCK = 2048
SLACK = 6
FLOAT32_UNIT = 2.0**-24
RESCORED_ROWS = 512
# Rounding of a bound in float32, and of the squared length that is left of a unit vector.
BOUND_SLACK, REST_SLACK = 1e-4, 1e-6
# A pair multiplied out by itself costs about as much as this many in a block of full products; bounds are used when the
# estimated cost is under this share of full products.
PAIR_COST, ENOUGH = 30.0, 0.7
SAMPLE, PAIRS = 2048, 8192


def all_pairs(vectors: Array, k: int) -> tuple[Array, Array, Array]:
    """((n, k) int64 rows, (n, k) float32 cosines, best first, equal ones by row, -1 and -inf where there are none; (m,) rows that
    float32 could not decide and that must be searched again). vectors: (n, d) float32 unit rows, n at least 2."""
    n = len(vectors)
    rows, scores = np.full((n, k), -1, dtype=np.int64), np.full((n, k), -np.inf, dtype=np.float32)
    kept = min(k + SLACK, n - 1)
    error = vectors.shape[1] * FLOAT32_UNIT
    best, near = _candidates(vectors, kept)
    cosines, order = _ordered(vectors, best, near, error)
    shown = min(k, n - 1)
    rows[:, :shown], scores[:, :shown] = order[:, :shown], cosines[:, :shown]
    if kept == n - 1:
        return rows, scores, np.empty(0, np.int64)
    return rows, scores, np.flatnonzero(best.min(axis=1) + 2 * error >= cosines[:, k - 1])


def _candidates(x: Array, kept: int) -> tuple[Array, Array]:
    """(n, kept) float32 cosines, in no order, and int64 rows of the best other rows by float32 products; -inf and -1 where there
    are none."""
    n = len(x)
    tensor = bounding = torch.from_numpy(x)
    best, rows = np.full((n, kept), -np.inf, dtype=np.float32), np.full((n, kept), -1, dtype=np.int64)
    floor = best.min(axis=1)
    starts = range(0, n, BLOCK)
    room, beats = torch.empty(BLOCK * BLOCK), np.empty(BLOCK * BLOCK, dtype=bool)
    with progress("compare", total=len(starts) * (len(starts) + 1) // 2, unit="blocks") as bar:
        for distance in range(len(starts)):
            offers: list[tuple[Array, Array, Array]] = []
            for left, right in zip(starts, starts[distance:]):
                a, b = bounding[left : left + BLOCK], bounding[right : right + BLOCK]
                shape = len(a), len(b)
                block = torch.mm(a, b.T, out=room[: shape[0] * shape[1]].view(shape))
                if not distance:
                    block.fill_diagonal_(-torch.inf)
                    top, place = torch.topk(block, min(kept, shape[1]), dim=1)
                    part = slice(left, left + shape[0])
                    best[part, : top.shape[1]], rows[part, : top.shape[1]] = top.numpy(), place.numpy() + left
                    rows[part][np.isneginf(best[part])] = -1
                else:
                    bounds, better = block.numpy(), beats[: shape[0] * shape[1]].reshape(shape)
                    for across in (False, True):
                        limit = floor[right : right + shape[1]] if across else floor[left : left + shape[0], None]
                        np.greater(bounds, limit if bounding is tensor else limit - BOUND_SLACK, out=better)
                        i, j = np.divmod(np.flatnonzero(better), shape[1])
                        value = bounds[i, j] if bounding is tensor else _cosines(x, i + left, j + right)
                        offers.append((j + right, i + left, value) if across else (i + left, j + right, value))
                bar.advance()
            _take(best, rows, offers)
            floor = best.min(axis=1)
            if not distance and len(starts) > 1:
                bounding = _bounding(tensor, floor)
    return best, rows


def _bounding(x: torch.Tensor, floor: Array) -> torch.Tensor:
    """(n, p + 1) float32 whose products bound the cosines of x (n, d) from above, or x itself where that would not pay.

    floor: (n,) cosine that a neighbour of each row must beat. The cost of p is estimated on pairs of evenly spaced rows.
    """
    some = torch.linspace(0, len(x) - 1, min(len(x), SAMPLE)).long()
    sample = x[some].double()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a problem waits for its threads longer than it computes
    try:
        axes = torch.linalg.eigh(sample.T @ sample)[1].flip(1).float()
    finally:
        torch.set_num_threads(threads)
    limit = torch.from_numpy(floor)[some]
    least, chosen = ENOUGH, x
    turned = x @ axes
    for p in (x.shape[1] // 8, x.shape[1] // 4, x.shape[1] // 2):
        rest = torch.sqrt((1 - turned[:, :p].double().square().sum(1)).clamp(min=0) + REST_SLACK).float()
        bound = torch.cat([turned[:, :p], rest[:, None]], 1)
        share = (bound[some] @ bound[some].T > torch.minimum(limit[:, None], limit) - BOUND_SLACK).float().mean().item()
        cost = (p + 1) / x.shape[1] + share * PAIR_COST
        if cost < least:
            least, chosen = cost, bound
    return chosen


def _cosines(x: Array, i: Array, j: Array) -> Array:
    """(m,) float32 products of rows i (m,) and j (m,)."""
    out = np.empty(len(i), dtype=np.float32)
    for start in range(0, len(i), PAIRS):
        part = slice(start, start + PAIRS)
        out[part] = np.einsum("nd,nd->n", x[i[part]], x[j[part]])
    return out


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


def _ordered(x: Array, best: Array, rows: Array, error: float) -> tuple[Array, Array]:
    """Candidates (n, c) best first, equal cosines by row; -inf and -1 at the end.

    Rows whose candidates all lie further apart than float32 products can be wrong by are in order as they are; the others are
    ordered by their float64 cosines, rounded to float32.
    """
    sort = np.argsort(-best, axis=1, kind="stable")
    scores, order = np.take_along_axis(best, sort, 1), np.take_along_axis(rows, sort, 1)
    with np.errstate(invalid="ignore"):
        close = scores[:, :-1] - scores[:, 1:] <= 2 * error
    tensor = torch.from_numpy(x)
    unsure = np.flatnonzero(close.any(axis=1))
    for start in range(0, len(unsure), RESCORED_ROWS):
        part = unsure[start : start + RESCORED_ROWS]
        near = tensor[torch.from_numpy(np.maximum(order[part], 0))].double()
        exact = torch.bmm(near, tensor[torch.from_numpy(part)].double()[:, :, None]).squeeze(2).float().numpy()
        exact[order[part] < 0] = -np.inf
        sort = np.lexsort((order[part], -exact), axis=1)
        scores[part], order[part] = np.take_along_axis(exact, sort, 1), np.take_along_axis(order[part], sort, 1)
    return scores, order
