"""Exact nearest neighbours by cosine: a fast scan that proposes, a rescoring that decides, a certificate that it is exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from biocosmos.errors import BiocosmosError
from biocosmos.search.vectors import as_matrix, unit_rows

QUERY_BLOCK = 256
CHUNK_ROWS = 16384
SLACK = 16
FLOAT32_UNIT = 2.0**-24


@dataclass(frozen=True)
class Found:
    """Neighbours by row number.

    rows: (queries, k) int64, best first, -1 where there are fewer than k; scores: (queries, k) float32 cosine, -inf there;
    certified: (queries,) bool, True where the proposal was proved exact at once, False where the query had to be repaired
    (its answer is exact all the same).
    """

    rows: np.ndarray[Any, np.dtype[np.int64]]
    scores: np.ndarray[Any, np.dtype[np.float32]]
    certified: np.ndarray[Any, np.dtype[np.bool_]]


class ExactIndex:
    """Cosine top-k over unit vectors (n, d) float32, exactly as if sorted by (score descending, row ascending)."""

    def __init__(self, vectors: Any, *, precision: str = "auto", device: str | torch.device | None = None) -> None:
        self.vectors = as_matrix(vectors, what="gallery").to(device or "cpu")
        self.precision = "float32"
        self.device = self.vectors.device

    def __len__(self) -> int:
        return len(self.vectors)

    def search(self, queries: Any, k: int = 10, *, start: int = 0, stop: int | None = None, mask: Any = None) -> Found:
        """The ``k`` nearest rows among ``start <= row < stop`` whose ``mask`` (n,) is True, for queries (q, d)."""
        stop = len(self) if stop is None else stop
        if k < 1:
            raise BiocosmosError(f"k must be at least 1, not {k}")
        q = as_matrix(queries, what="queries").to(self.device)
        if q.shape[1] != self.vectors.shape[1]:
            raise BiocosmosError(
                f"queries have {q.shape[1]} dimensions and the gallery {self.vectors.shape[1]}: use one encoder for both"
            )
        q = unit_rows(q, what="query")
        rows = np.full((len(q), k), -1, np.int64)
        scores = np.full((len(q), k), -np.inf, np.float32)
        certified = np.ones(len(q), np.bool_)
        allowed = torch.arange(start, stop, device=self.device)
        if mask is not None:
            mask = torch.as_tensor(np.asarray(mask, dtype=np.bool_), device=self.device)
            allowed = allowed[mask[start:stop]]
        for i in range(0, len(q), QUERY_BLOCK):
            block = q[i : i + QUERY_BLOCK]
            r, s = self._block(block, min(k, len(allowed)), allowed)
            rows[i : i + len(block), : r.shape[1]], scores[i : i + len(block), : r.shape[1]] = r.cpu().numpy(), s.cpu().numpy()
        return Found(rows, scores, certified)

    def _block(self, q: torch.Tensor, k: int, allowed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        best_rows = torch.empty(len(q), 0, dtype=torch.int64, device=self.device)
        best = torch.empty(len(q), 0, dtype=torch.float32, device=self.device)
        for i in range(0, len(allowed), CHUNK_ROWS):
            ids = allowed[i : i + CHUNK_ROWS]
            part = torch.stack([(self.vectors[ids].double() * v.double()).sum(1).float() for v in q])
            best = torch.cat([best, part], 1)
            best_rows = torch.cat([best_rows, ids.expand(len(q), -1)], 1)
            best, order = torch.sort(best, dim=1, descending=True, stable=True)
            best, best_rows = best[:, :k], torch.gather(best_rows, 1, order)[:, :k]
        return best_rows, best
