"""Scoring: the float64 products that decide, and the pool of candidate rows they are asked about."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from biocosmos.search.kernel.packed import Kernel
from biocosmos.search.kernel.packed_scan import RowCodes
from biocosmos.search.row_file import RowFile, Rows

CANDIDATES_AT_ONCE = 1 << 21
READ_AT_ONCE = 1 << 14  # rows of a file

_LEAST = torch.tensor(-torch.inf)

Array = np.ndarray[Any, np.dtype[Any]]


class Scorer:
    """Scores rows of ``vectors`` (n, dim) in float64; with the compiled ``kernel`` and the 8-bit ``codes`` once there are any."""

    def __init__(self, vectors: Rows) -> None:
        self.device = torch.device("cpu") if vectors.device.type == "mps" else vectors.device
        self.home = vectors.device
        self.vectors = vectors.to(self.device)
        self.kernel: Kernel | None = None
        self.codes: RowCodes | None = None

    def use(self, kernel: Kernel) -> None:
        """From now on score with ``kernel``, and leave out rows by an 8-bit copy before."""
        self.kernel = kernel
        if self.codes is None:
            self.codes = RowCodes(self.vectors, kernel)

    def scores(self, q: torch.Tensor, row_of: torch.Tensor, query_of: torch.Tensor) -> torch.Tensor:
        """(pairs,) float64 products of rows and queries, summed in the same order for every pair."""
        q, row_of, query_of = (t.to(self.device) for t in (q, row_of, query_of))
        out = torch.empty(len(row_of), dtype=torch.float64, device=self.device)
        if isinstance(self.vectors, RowFile):
            self._read_and_score(self.vectors, q, row_of, query_of, out)
        elif self.kernel is not None:
            self.kernel.dots(self.vectors, q.contiguous(), row_of.contiguous(), query_of.contiguous(), out)
        else:
            step = max(1, (1 << 22) // q.shape[1])
            for i in range(0, len(row_of), step):
                x = self.vectors[row_of[i : i + step]].double()
                torch.sum(x.mul_(q[query_of[i : i + step]]), 1, out=out[i : i + step])
        return out.to(self.home) if self.home.type != "mps" else out

    def _read_and_score(
        self, vectors: RowFile, q: torch.Tensor, row_of: torch.Tensor, query_of: torch.Tensor, out: torch.Tensor
    ) -> None:
        for i in range(0, len(row_of), READ_AT_ONCE):
            at = slice(i, i + READ_AT_ONCE)
            distinct, place = torch.unique(row_of[at], return_inverse=True)
            part = Scorer(vectors[distinct])
            part.kernel = self.kernel
            out[at] = part.scores(q, place, query_of[at])


class Pool:
    """Candidate rows of a block of queries; keeps the best k of each when it grows large."""

    def __init__(self, scorer: Scorer, q: torch.Tensor, k: int, least: torch.Tensor) -> None:
        self.scorer, self.q, self.k, self.least, self.waiting = scorer, q, k, least, 0
        self.rows: list[torch.Tensor] = []
        self.queries: list[torch.Tensor] = []
        self.kept: tuple[Array, Array, Array] = (np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int64))

    def add(self, rows: torch.Tensor, queries: torch.Tensor) -> None:
        """Rows that may reach ``least`` of their queries."""
        if self.scorer.codes is not None:
            upper = self.scorer.codes.bounds(self.q, rows.contiguous(), queries.contiguous())
            near = torch.nonzero(upper >= self.least.float().nextafter(_LEAST)[queries])[:, 0]
            rows, queries = rows[near], queries[near]
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
        scores = self.scorer.scores(self.q, rows, queries)
        good = torch.nonzero(scores >= self.least[queries.to(scores.device)])[:, 0]
        rows, queries = rows[good.to(rows.device)], queries[good.to(rows.device)]
        all_rows = np.concatenate([self.kept[0], rows.cpu().numpy()])
        all_scores = np.concatenate([self.kept[1], scores[good].float().cpu().numpy()])
        all_queries = np.concatenate([self.kept[2], queries.cpu().numpy()])
        order = np.lexsort((all_rows, -all_scores, all_queries))
        place = np.arange(len(order)) - np.searchsorted(all_queries[order], all_queries[order])
        order = order[place < self.k]
        self.kept = (all_rows[order], all_scores[order], all_queries[order])

    def best(self) -> tuple[Array, Array]:
        """(b, k) rows and scores, padded with -1 and -inf."""
        self._settle()
        rows = np.full((len(self.q), self.k), -1, np.int64)
        scores = np.full((len(self.q), self.k), -np.inf, np.float32)
        kept_rows, kept_scores, queries = self.kept
        place = np.arange(len(queries)) - np.searchsorted(queries, queries)
        rows[queries, place], scores[queries, place] = kept_rows, kept_scores
        return rows, scores
