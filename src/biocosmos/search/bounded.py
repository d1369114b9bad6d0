"""One search call: bounds of groups or rows, the threshold they lead to, and everything that reaches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from biocosmos.search.candidates import Pool, Scorer
from biocosmos.search.kernel.basis import rounding
from biocosmos.search.kernel.instructions import GROUP
from biocosmos.search.kernel.packed_scan import SingleScan
from biocosmos.search.kernel.scan import Encoded, Scan
from biocosmos.search.row_file import Rows

SUPER = 16  # groups are looked through sixteen at a time
FIRST_GROUPS = 16  # looked at for the threshold, and more for a larger k
FIRST_GROUPS_MOST = 64
FIRST_ROWS = 6  # rows scored beyond k to find the threshold
PAIRS_AT_ONCE = 1 << 16
SCORE_UNIT = 2.0**-22  # scores this close may round to the same float32

_LEAST = torch.tensor(-torch.inf)
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


class BoundedSearch:
    """The ``k`` best of the rows start..stop - 1 that are ``allowed``, for a block of queries: one method for each way."""

    def __init__(self, scorer: Scorer, vectors: Rows, k: int, start: int, stop: int, allowed: torch.Tensor | None) -> None:
        self.scorer, self.vectors, self.k, self.start, self.stop, self.allowed = scorer, vectors, k, start, stop, allowed
        self.device = vectors.device
        self.first, self.last = start // GROUP, -(-stop // GROUP)
        self.inside = torch.arange(GROUP, device=self.device)
        self.empty_groups: torch.Tensor | None = None
        if allowed is not None:
            padded = torch.zeros(self.last * GROUP, dtype=torch.bool, device=self.device)
            padded[: min(len(padded), len(allowed))] = allowed[: len(padded)]
            self.empty_groups = ~padded[self.first * GROUP :].view(-1, GROUP).any(1)

    def whole(self, q: torch.Tensor) -> Found:
        """All rows scored in float32 at once; those within its rounding of the k-th are scored again."""
        slack = 4 * rounding(q.shape[1])
        found = q @ self.vectors[self.start : self.stop].T
        if self.allowed is not None:
            found.masked_fill_(~self.allowed[self.start : self.stop], -torch.inf)
        least = found.topk(self.k, dim=1).values[:, -1:]
        where = torch.nonzero((found >= least - slack) & (found > -torch.inf))
        none = torch.full((len(q),), -torch.inf, dtype=torch.float32, device=self.scorer.device)
        pool = Pool(self.scorer, q, self.k, none)
        pool.add(where[:, 1] + self.start, where[:, 0])
        return Found(*pool.best(), np.ones(len(q), np.bool_))

    def by_groups(self, scan: Scan, q: torch.Tensor) -> Found:
        """A block of queries by groups, as the module says."""
        code = scan.encode(q)
        b, groups = len(q), self.last - self.first
        supers = -(-groups // SUPER)
        bounds = torch.full((supers * SUPER, b), -torch.inf, device=self.device)
        bounds[:groups] = scan.groups(code, self.first, self.last)
        if self.empty_groups is not None:
            bounds[:groups][self.empty_groups] = -torch.inf
        stacked = bounds.view(supers, SUPER, b)
        tops = stacked.amax(1)
        columns = torch.arange(b, device=self.device)

        looked = min(groups, self._looked())
        best_supers = tops.topk(min(looked, supers), dim=0).indices
        near = stacked[best_supers, :, columns].transpose(1, 2).reshape(-1, b)
        picked = near.topk(looked, dim=0).indices
        group = best_supers.gather(0, picked // SUPER) * SUPER + picked % SUPER  # (looked, b)
        query_of = columns.expand(looked, b)
        # where a mask empties groups, the padding of the last super ties with them and may be picked: it has no rows
        padding = (group >= groups)[:, :, None]
        upper = self._rows(scan, code, group.clamp_max(groups - 1).flatten(), query_of.flatten()).view(looked, b, GROUP)
        upper = upper.masked_fill(padding, -torch.inf)
        bounds.scatter_(0, group, -torch.inf)

        flat = upper.transpose(0, 1).reshape(b, -1)
        place = flat.topk(min(self.k + FIRST_ROWS, flat.shape[1]), dim=1)
        row = ((group.T.gather(1, place.indices // GROUP) + self.first) * GROUP + place.indices % GROUP).flatten()
        scored = self._scores(q, row, columns[:, None].expand_as(place.indices).flatten(), place.values.flatten() > -torch.inf)
        threshold = scored.view(b, -1).topk(self.k, dim=1).values[:, -1]
        limit = (threshold - SCORE_UNIT - code.constant.to(threshold.device)).float().nextafter(_LEAST)
        limit = limit.to(self.device)

        pool = Pool(self.scorer, q, self.k, threshold - SCORE_UNIT)
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
            upper = self._rows(scan, code, groups_, queries_)
            where = torch.nonzero((upper >= limit[queries_, None]) & (upper > -torch.inf))
            pool.add((groups_[where[:, 0]] + self.first) * GROUP + where[:, 1], queries_[where[:, 0]])
        rows, scores = pool.best()
        return Found(rows, scores, certified.numpy())

    def by_rows(self, scan: SingleScan, q: torch.Tensor) -> Found:
        """One query, by bounds of all rows."""
        with scan.space() as space:
            return self._by_rows(q, *scan.bounds(q, self.first, self.last, space))

    def _by_rows(self, q: torch.Tensor, bounds: torch.Tensor, tops: torch.Tensor, constant: torch.Tensor) -> Found:
        grouped = bounds.view(-1, GROUP)
        if self.allowed is not None:
            bounds[: len(self.allowed) - self.first * GROUP].masked_fill_(
                ~self.allowed[self.first * GROUP : self.last * GROUP], -torch.inf
            )
        bounds[: self.start - self.first * GROUP] = -torch.inf
        bounds[self.stop - self.first * GROUP :] = -torch.inf
        tops = grouped.amax(1) if self.allowed is not None else tops
        tops[[0, -1]] = grouped[[0, -1]].amax(1)

        looked = min(len(tops), self._looked())
        group = tops.topk(looked).indices
        place = grouped[group].flatten().topk(min(self.k + FIRST_ROWS, looked * GROUP))
        row = (group[place.indices // GROUP] + self.first) * GROUP + place.indices % GROUP
        scored = self._scores(q, row, torch.zeros_like(row), place.values > -torch.inf)
        threshold = scored.topk(self.k).values[-1:]
        limit = (threshold - SCORE_UNIT - constant).float().nextafter(_LEAST)
        limit = limit.clamp_min(torch.finfo(torch.float32).min)  # what may not be returned has a bound of -inf
        reach = torch.nonzero(tops >= limit)[:, 0]
        first = torch.zeros(len(tops), dtype=torch.bool)
        first[group] = True
        certified = bool(first[reach].all())
        if len(reach) > len(tops) / 4:
            row = torch.from_numpy(np.flatnonzero(bounds.numpy() >= limit.numpy())) + self.first * GROUP
        else:
            where = torch.nonzero(grouped[reach] >= limit)
            row = (reach[where[:, 0]] + self.first) * GROUP + where[:, 1]
        pool = Pool(self.scorer, q, self.k, threshold - SCORE_UNIT)
        pool.add(row, torch.zeros_like(row))
        return Found(*pool.best(), np.array([certified]))

    def by_list(self, q: torch.Tensor, rows: torch.Tensor) -> Found:
        """Every one of some ascending ``rows``, at least k, by its 8-bit copy."""
        assert self.scorer.codes is not None
        b, count = len(q), len(rows)
        pairs = rows.repeat(b), torch.arange(b).repeat_interleave(count)
        upper = self.scorer.codes.bounds(q, *pairs)
        place = upper.view(b, count).topk(min(self.k + FIRST_ROWS, count), dim=1).indices
        scored = self.scorer.scores(q, rows[place].flatten(), torch.arange(b).repeat_interleave(place.shape[1]))
        least = scored.view(b, -1).topk(self.k, dim=1).values[:, -1] - SCORE_UNIT
        pool = Pool(self.scorer, q, self.k, least)
        near = torch.nonzero(upper >= least.float().nextafter(_LEAST)[pairs[1]])[:, 0]
        pool.add(pairs[0][near], pairs[1][near])
        return Found(*pool.best(), np.ones(b, np.bool_))

    def _looked(self) -> int:
        """Groups looked at for the threshold."""
        return max(FIRST_GROUPS, min(2 * self.k, FIRST_GROUPS_MOST), -(-2 * self.k // GROUP))

    def _rows(self, scan: Scan, code: Encoded, group: torch.Tensor, query_of: torch.Tensor) -> torch.Tensor:
        """(pairs, 64) upper bounds, -inf for rows that may not be returned."""
        group = (group + self.first).contiguous()
        upper = scan.rows(code, group, query_of.contiguous())
        edge = torch.nonzero((group == self.first) | (group == self.last - 1))[:, 0] if self.allowed is None else None
        rows = (group if edge is None else group[edge])[:, None] * GROUP + self.inside
        barred = (rows < self.start) | (rows >= self.stop)
        if self.allowed is not None:
            return upper.masked_fill_(barred | ~self.allowed[rows.clamp_max(len(self.allowed) - 1)], -torch.inf)
        upper[edge] = upper[edge].masked_fill_(barred, -torch.inf)
        return upper

    def _scores(self, q: torch.Tensor, row: torch.Tensor, query_of: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        scores = self.scorer.scores(q, row.clamp_max(len(self.vectors) - 1), query_of)
        return scores.masked_fill_(~valid.to(scores.device), -torch.inf)
