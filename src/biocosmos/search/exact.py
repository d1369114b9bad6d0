"""Exact nearest neighbours by cosine: a fast scan bounds, float64 products decide.

1. A scan (:mod:`biocosmos.search.kernel.scan`) gives every group of 64 rows an upper bound for every query.
2. The rows of the best few groups are scored in float64; the k-th score is the threshold.
3. No row of a group whose bound is under the threshold can be among the k nearest: that is the certificate. The queries for
   which further groups reach the threshold have those groups looked at too, so every answer is exact, and the cost follows
   the difficulty of the query.

A score is the float64 product of the float32 unit vectors rounded to float32; equal scores stand in row order. The answer is
therefore the same whatever scan proposed it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import torch

from biocosmos.errors import BiocosmosError
from biocosmos.search.kernel import avx2 as kernel_avx2
from biocosmos.search.kernel.basis import rounding
from biocosmos.search.kernel.plan import PRECISIONS, best_scan
from biocosmos.search.kernel.scan import GROUP, DenseScan, Encoded, PackedScan, Scan
from biocosmos.search.vectors import as_matrix, unit_rows

QUERY_BLOCK = 256
BOUNDS_AT_ONCE = 1 << 26
SUPER = 16  # groups are looked through sixteen at a time
FIRST_GROUPS = 16  # looked at for the threshold, and more for a larger k
FIRST_GROUPS_MOST = 64
FIRST_ROWS = 6  # rows scored beyond k to find the threshold
PAIRS_AT_ONCE = 1 << 16
CANDIDATES_AT_ONCE = 1 << 21
SCORE_UNIT = 2.0**-22  # scores this close may round to the same float32
SMALL_ROWS = 1 << 15  # so few rows are scored whole, without groups; a mask that allows so few is searched through a copy
GATHER_SHARE = 1 / 4  # of the rows in question, beyond which the copy does not pay
PREPARE_QUERIES = 256  # building the compact copy costs about as much as this many plain queries
PREPARE_ROWS = 16384

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Found:
    """Neighbours by row number.

    rows: (queries, k) int64, best first, -1 where there are fewer than k; scores: (queries, k) float32 cosine, -inf there;
    certified: (queries,) bool, True where the first groups were proved to hold the answer, False where more had to be looked
    at (the answer is exact all the same).
    """

    rows: Array
    scores: Array
    certified: Array


class ExactIndex:
    """Cosine top-k over unit vectors, exactly as if all rows were sorted by (score descending, row ascending).

    vectors: (n, d) float32 unit rows, array or tensor, not copied; precision: of the scan, "auto" (what the hardware does
    fastest), "float32", "bfloat16" or "int8"; the answers are the same; device: where to search, "auto" for a GPU if there is
    one, None for where the vectors are. The compact copy that the scan reads is built when
    enough queries have come to pay for it, or by :meth:`prepare`.
    """

    def __init__(self, vectors: Any, *, precision: str = "auto", device: str | torch.device | None = None) -> None:
        if precision not in PRECISIONS:
            raise BiocosmosError(f"unknown precision {precision!r} of the search: choose one of {', '.join(PRECISIONS)}")
        self.vectors = as_matrix(vectors, what="gallery")
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = self.vectors.device if device is None else torch.device(device)
        self.precision = precision
        self.vectors = self.vectors.to(self.device)
        self._plain: Scan = DenseScan(self.vectors, None, torch.float32)
        self._scan: Scan | None = None
        self._seen = 0
        self.score_device = torch.device("cpu") if self.device.type == "mps" else self.device
        self._score_vectors = self.vectors.to(self.score_device)

    def __len__(self) -> int:
        return len(self.vectors)

    def prepare(self) -> ExactIndex:
        """Build the compact copy now; returns self."""
        if self._scan is None:
            self._scan = best_scan(self.vectors, self.precision, self._plain)
        return self

    @property
    def scan(self) -> str:
        """What is scanned at present, in words."""
        return (self._scan or self._plain).name

    def search(self, queries: Any, k: int = 10, *, start: int = 0, stop: int | None = None, mask: Any = None) -> Found:
        """The ``k`` nearest rows among ``start <= row < stop`` whose ``mask`` (n,) bool is True, for queries (q, d).

        Raises BiocosmosError for queries that are zero, not finite or of another dimension.
        """
        if k < 1:
            raise BiocosmosError(f"k must be at least 1, not {k}")
        q = as_matrix(queries, what="queries")
        if q.shape[1] != self.vectors.shape[1] and len(self):
            raise BiocosmosError(
                f"queries have {q.shape[1]} dims and the gallery {self.vectors.shape[1]}: use one encoder for both"
            )
        q = unit_rows(q, what="query").to(self.device)
        stop = len(self) if stop is None else min(stop, len(self))
        rows = np.full((len(q), k), -1, np.int64)
        scores = np.full((len(q), k), -np.inf, np.float32)
        certified = np.ones(len(q), np.bool_)
        allowed = None
        if mask is not None:
            allowed = torch.zeros(len(self), dtype=torch.bool, device=self.device)
            allowed[start:stop] = torch.as_tensor(np.asarray(mask, dtype=np.bool_), device=self.device)[start:stop]
            count = int(allowed.sum())
            if count <= min(SMALL_ROWS, GATHER_SHARE * (stop - start)):
                return self._search_copy(q, k, torch.nonzero(allowed)[:, 0])
        if start >= stop or not len(q):
            return Found(rows, scores, certified)
        scan = self._choose(len(q))
        search = _Search(self, scan, min(k, stop - start), start, stop, allowed)
        answer = search.small_block if scan is self._plain and stop - start <= SMALL_ROWS else search.block
        step = max(1, min(QUERY_BLOCK, BOUNDS_AT_ONCE * GROUP // (stop - start)))
        with _kernel_threads_alone(isinstance(scan, PackedScan)):
            for i in range(0, len(q), step):
                part = answer(q[i : i + step])
                at = slice(i, i + len(part.rows))
                rows[at, : search.k], scores[at, : search.k], certified[at] = part.rows, part.scores, part.certified
        return Found(rows, scores, certified)

    def _choose(self, queries: int) -> Scan:
        self._seen += queries
        if self._scan is None and self._seen >= PREPARE_QUERIES and (len(self) >= PREPARE_ROWS or self.precision != "auto"):
            self.prepare()
        return self._scan or self._plain

    def _search_copy(self, q: torch.Tensor, k: int, rows: torch.Tensor) -> Found:
        found = ExactIndex(self.vectors[rows]).search(q, k)
        if not len(rows):
            return found
        return Found(np.where(found.rows < 0, -1, rows.cpu().numpy()[found.rows]), found.scores, found.certified)

    def scores(self, q: torch.Tensor, row_of: torch.Tensor, query_of: torch.Tensor) -> torch.Tensor:
        """(pairs,) float64 products of rows and queries, summed in the same order for every pair."""
        q, row_of, query_of = (t.to(self.score_device) for t in (q, row_of, query_of))
        out = torch.empty(len(row_of), dtype=torch.float64, device=self.score_device)
        kernel = kernel_avx2.load() if self.score_device.type == "cpu" and self._scan is not None else None
        if kernel is not None:
            kernel.dots(self._score_vectors, q.contiguous(), row_of.contiguous(), query_of.contiguous(), out)
        else:
            step = max(1, (1 << 22) // q.shape[1])
            for i in range(0, len(row_of), step):
                x = self._score_vectors[row_of[i : i + step]].double()
                torch.sum(x.mul_(q[query_of[i : i + step]]), 1, out=out[i : i + step])
        return out.to(self.device) if self.device.type != "mps" else out


_quiet = Lock()


@contextmanager
def _kernel_threads_alone(alone: bool) -> Iterator[None]:
    """Let only the compiled kernel use threads: torch's would spin, waiting, between the many small steps around it.

    The setting is the process's, so of searches at the same time only the first makes it and takes it back.
    """
    if not alone or not _quiet.acquire(blocking=False):
        yield
        return
    threads = torch.get_num_threads()
    try:
        with kernel_avx2.threads(threads):
            torch.set_num_threads(1)
            yield
    finally:
        torch.set_num_threads(threads)
        _quiet.release()


class _Search:
    """One search call: the allowed rows and k; :meth:`block` answers a block of queries."""

    def __init__(self, index: ExactIndex, scan: Scan, k: int, start: int, stop: int, allowed: torch.Tensor | None) -> None:
        self.index, self.scan, self.k, self.start, self.stop, self.allowed = index, scan, k, start, stop, allowed
        self.device = index.device
        self.first, self.last = start // GROUP, -(-stop // GROUP)
        self.inside = torch.arange(GROUP, device=self.device)
        self.empty_groups: torch.Tensor | None = None
        if allowed is not None:
            padded = torch.zeros(self.last * GROUP, dtype=torch.bool, device=self.device)
            padded[: min(len(padded), len(allowed))] = allowed[: len(padded)]
            self.empty_groups = ~padded[self.first * GROUP :].view(-1, GROUP).any(1)

    def small_block(self, q: torch.Tensor) -> Found:
        """All rows scored in float32 at once; those within its rounding of the k-th are scored again."""
        slack = 4 * rounding(q.shape[1])
        found = q @ self.index.vectors[self.start : self.stop].T
        if self.allowed is not None:
            found.masked_fill_(~self.allowed[self.start : self.stop], -torch.inf)
        least = found.topk(self.k, dim=1).values[:, -1:]
        where = torch.nonzero((found >= least - slack) & (found > -torch.inf))
        none = torch.full((len(q),), -torch.inf, dtype=torch.float32, device=self.index.score_device)
        pool = _Pool(self, q, none)
        pool.add(where[:, 1] + self.start, where[:, 0])
        return Found(*pool.best(), np.ones(len(q), np.bool_))

    def block(self, q: torch.Tensor) -> Found:
        """A block of queries by groups, as the module says."""
        code = self.scan.encode(q)
        b, groups = len(q), self.last - self.first
        supers = -(-groups // SUPER)
        bounds = torch.full((supers * SUPER, b), -torch.inf, device=self.device)
        bounds[:groups] = self.scan.groups(code, self.first, self.last)
        if self.empty_groups is not None:
            bounds[:groups][self.empty_groups] = -torch.inf
        stacked = bounds.view(supers, SUPER, b)
        tops = stacked.amax(1)
        columns = torch.arange(b, device=self.device)

        looked = min(groups, max(FIRST_GROUPS, min(2 * self.k, FIRST_GROUPS_MOST), -(-2 * self.k // GROUP)))
        best_supers = tops.topk(min(looked, supers), dim=0).indices
        near = stacked[best_supers, :, columns].transpose(1, 2).reshape(-1, b)
        picked = near.topk(looked, dim=0).indices
        group = best_supers.gather(0, picked // SUPER) * SUPER + picked % SUPER  # (looked, b)
        query_of = columns.expand(looked, b)
        # where a mask empties groups, the padding of the last super ties with them and may be picked: it has no rows
        padding = (group >= groups)[:, :, None]
        upper = self._rows(code, group.clamp_max(groups - 1).flatten(), query_of.flatten()).view(looked, b, GROUP)
        upper = upper.masked_fill(padding, -torch.inf)
        bounds.scatter_(0, group, -torch.inf)

        flat = upper.transpose(0, 1).reshape(b, -1)
        place = flat.topk(min(self.k + FIRST_ROWS, flat.shape[1]), dim=1)
        row = ((group.T.gather(1, place.indices // GROUP) + self.first) * GROUP + place.indices % GROUP).flatten()
        scored = self._scores(q, row, columns[:, None].expand_as(place.indices).flatten(), place.values.flatten() > -torch.inf)
        threshold = scored.view(b, -1).topk(self.k, dim=1).values[:, -1]
        limit = (threshold - SCORE_UNIT - code.constant.to(threshold.device)).float().nextafter(torch.tensor(-torch.inf))
        limit = limit.to(self.device)

        pool = _Pool(self, q, threshold - SCORE_UNIT)
        where = torch.nonzero((upper >= limit[:, None]) & (upper > -torch.inf))
        pool.add((group[where[:, 0], where[:, 1]] + self.first) * GROUP + where[:, 2], where[:, 1])
        certified = torch.ones(b, dtype=torch.bool)
        reach = torch.nonzero((tops >= limit) & (tops > -torch.inf))
        more = stacked[reach[:, 0], :, reach[:, 1]]
        hit = torch.nonzero((more >= limit[reach[:, 1], None]) & (more > -torch.inf))
        more_groups, more_queries = reach[hit[:, 0], 0] * SUPER + hit[:, 1], reach[hit[:, 0], 1]
        certified[more_queries.cpu()] = False
        more_groups, order = more_groups.sort()  # a group stays in the cache for all its queries
        more_queries = more_queries[order]
        for i in range(0, len(more_groups), PAIRS_AT_ONCE):
            groups_, queries_ = more_groups[i : i + PAIRS_AT_ONCE], more_queries[i : i + PAIRS_AT_ONCE]
            upper = self._rows(code, groups_, queries_)
            where = torch.nonzero((upper >= limit[queries_, None]) & (upper > -torch.inf))
            pool.add((groups_[where[:, 0]] + self.first) * GROUP + where[:, 1], queries_[where[:, 0]])
        rows, scores = pool.best()
        return Found(rows, scores, certified.numpy())

    def _rows(self, code: Encoded, group: torch.Tensor, query_of: torch.Tensor) -> torch.Tensor:
        """(pairs, 64) upper bounds, -inf for rows that may not be returned."""
        group = (group + self.first).contiguous()
        upper = self.scan.rows(code, group, query_of.contiguous())
        edge = torch.nonzero((group == self.first) | (group == self.last - 1))[:, 0] if self.allowed is None else None
        rows = (group if edge is None else group[edge])[:, None] * GROUP + self.inside
        barred = (rows < self.start) | (rows >= self.stop)
        if self.allowed is not None:
            return upper.masked_fill_(barred | ~self.allowed[rows.clamp_max(len(self.allowed) - 1)], -torch.inf)
        upper[edge] = upper[edge].masked_fill_(barred, -torch.inf)
        return upper

    def _scores(self, q: torch.Tensor, row: torch.Tensor, query_of: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        scores = self.index.scores(q, row.clamp_max(len(self.index) - 1), query_of)
        return scores.masked_fill_(~valid.to(scores.device), -torch.inf)


class _Pool:
    """Candidate rows of a block of queries; keeps the best k of each when it grows large."""

    def __init__(self, search: _Search, q: torch.Tensor, least: torch.Tensor) -> None:
        self.search, self.q, self.least, self.waiting = search, q, least, 0
        self.rows: list[torch.Tensor] = []
        self.queries: list[torch.Tensor] = []
        self.kept: tuple[Array, Array, Array] = (np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int64))

    def add(self, rows: torch.Tensor, queries: torch.Tensor) -> None:
        self.rows.append(rows)
        self.queries.append(queries)
        self.waiting += len(rows)
        if self.waiting > CANDIDATES_AT_ONCE:
            self._settle()

    def _settle(self) -> None:
        if not self.rows:
            return
        rows, queries = torch.cat(self.rows), torch.cat(self.queries)
        self.rows, self.queries, self.waiting = [], [], 0
        scores = self.search.index.scores(self.q, rows, queries)
        good = torch.nonzero(scores >= self.least[queries.to(scores.device)])[:, 0]
        rows, queries = rows[good.to(rows.device)], queries[good.to(rows.device)]
        all_rows = np.concatenate([self.kept[0], rows.cpu().numpy()])
        all_scores = np.concatenate([self.kept[1], scores[good].float().cpu().numpy()])
        all_queries = np.concatenate([self.kept[2], queries.cpu().numpy()])
        order = np.lexsort((all_rows, -all_scores, all_queries))
        place = np.arange(len(order)) - np.searchsorted(all_queries[order], all_queries[order])
        order = order[place < self.search.k]
        self.kept = (all_rows[order], all_scores[order], all_queries[order])

    def best(self) -> tuple[Array, Array]:
        """(b, k) rows and scores, padded with -1 and -inf."""
        self._settle()
        rows = np.full((len(self.q), self.search.k), -1, np.int64)
        scores = np.full((len(self.q), self.search.k), -np.inf, np.float32)
        kept_rows, kept_scores, queries = self.kept
        place = np.arange(len(queries)) - np.searchsorted(queries, queries)
        rows[queries, place], scores[queries, place] = kept_rows, kept_scores
        return rows, scores
