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

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
import torch

from biocosmos import machine
from biocosmos.errors import BiocosmosError
from biocosmos.search.bounded import BoundedSearch, Found
from biocosmos.search.candidates import CANDIDATES_AT_ONCE, Scorer
from biocosmos.search.kernel.compiler import threads as kernel_threads
from biocosmos.search.kernel.instructions import GROUP
from biocosmos.search.kernel.packed_scan import PackedScan, SingleScan
from biocosmos.search.kernel.plan import BATCHES, PRECISIONS, Plan, batch_kind
from biocosmos.search.kernel.scan import DenseScan, Scan
from biocosmos.search.row_file import RowFile, Rows
from biocosmos.search.vectors import as_matrix, unit_rows

__all__ = ["ExactIndex", "Found"]

QUERY_BLOCK = 256
BOUNDS_AT_ONCE = 1 << 26
SMALL_ROWS = 1 << 15  # so few rows are scored whole, without groups; a mask that allows so few is searched through a copy
GATHER_SHARE = 1 / 4  # of the rows in question, beyond which the copy does not pay,
LIST_SHARE = 1 / 8  # or looking at the allowed rows one by one,
LIST_QUERIES = 32  # which does for so many queries
PREPARE_QUERIES = 256  # building the compact copy costs about as much as this many plain queries of a batch,
PREPARE_SINGLES = 64  # or so many asked alone
PREPARE_ROWS = 16384
ESTIMATED_ROWS = 1 << 17

Array = np.ndarray[Any, np.dtype[Any]]


class ExactIndex:
    """Cosine top-k over unit vectors, exactly as if all rows were sorted by (score descending, row ascending).

    vectors: (n, d) float32 unit rows, array or tensor, not copied, or a :class:`RowFile` of them, which is not checked;
    precision: of the scan, "auto" (what this machine does fastest, timed), "float32", "bfloat16", "int8" or "int4" (for a query
    alone; 8 bits for batches); the answers are the same; device: where to search, "auto" for a GPU if there is one, None for
    where the vectors are. The compact copies that the scans read are built when enough queries have come to
    pay for them, or by :meth:`prepare`. Raises BiocosmosError naming the rows that are not finite.
    """

    def __init__(self, vectors: Any, *, precision: str = "auto", device: str | torch.device | None = None) -> None:
        if precision not in PRECISIONS:
            raise BiocosmosError(f"unknown precision {precision!r} of the search: choose one of {', '.join(PRECISIONS)}")
        self.vectors: Rows = vectors if isinstance(vectors, RowFile) else as_matrix(vectors, what="gallery")
        if isinstance(self.vectors, torch.Tensor) and not bool(
            torch.isfinite(self.vectors.sum())
        ):  # one sum shows whether any is not
            unit_rows(self.vectors, what="gallery")
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = self.vectors.device if device is None else torch.device(device)
        self.precision = precision
        self.vectors = self.vectors.to(self.device)
        self._plain: Scan = DenseScan(self.vectors, None, torch.float32)
        self._plan: Plan | None = None
        self._scans: dict[str, Scan | SingleScan] = {}
        self._scorer = Scorer(self.vectors)
        self._seen = 0.0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self.vectors)

    def prepare(self, *kinds: str) -> ExactIndex:
        """Build the compact copies now, for batches of the given kinds ("one", "small" and "large" queries; all of them without
        any); returns self."""
        with self._lock:
            self._plan = self._plan or Plan(self.vectors, self.precision, self._plain)
            for kind in kinds or BATCHES:
                if kind not in self._scans:
                    self._scans[kind] = self._plan.scan(kind)
            if self._plan.kernel is not None:
                self._scorer.use(self._plan.kernel)
        return self

    @property
    def scan(self) -> str:
        """What is scanned at present, in words: for a large batch, and for one query where that differs."""
        names = list(dict.fromkeys(scan.name for kind in reversed(BATCHES) if (scan := self._scans.get(kind))))
        return ", ".join(names) or self._plain.name

    @property
    def provenance(self) -> dict[str, Any]:
        """How the answers were found: the scan of each kind of batch with the dims it keeps, the kernel, and what was timed to
        choose them (see :func:`biocosmos.machine.choices`). The answers do not depend on it."""
        used = {kind: scan for kind in BATCHES if (scan := self._scans.get(kind))} or {"all": self._plain}
        dims = {kind: self.vectors.shape[1] if scan is self._plain else scan.basis.kept for kind, scan in used.items()}
        kernel = self._plan.kernel if self._plan else None
        return {
            "precision": self.precision,
            "device": str(self.device),
            "scans": {kind: {"scan": scan.name, "dims": dims[kind]} for kind, scan in used.items()},
            "kernel": kernel.name if kernel else None,
            "choices": {question: made for question, made in machine.choices().items() if question.startswith("search.")},
        }

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
            few = self._search_few(q, k, allowed, stop - start)
            if few is not None:
                return few
        if start >= stop or not len(q):
            return Found(rows, scores, certified)
        scan = self._choose(len(q))
        search = BoundedSearch(self._scorer, self.vectors, min(k, stop - start), start, stop, allowed)
        if isinstance(scan, SingleScan):
            answer: Callable[[torch.Tensor], Found] = partial(search.by_rows, scan)
        else:
            answer = search.whole if scan is self._plain and stop - start <= SMALL_ROWS else partial(search.by_groups, scan)
        step = 1 if isinstance(scan, SingleScan) else max(1, min(QUERY_BLOCK, BOUNDS_AT_ONCE * GROUP // (stop - start)))
        with _kernel_threads_alone(isinstance(scan, PackedScan | SingleScan)):
            for i in range(0, len(q), step):
                part = answer(q[i : i + step])
                at = slice(i, i + len(part.rows))
                rows[at, : search.k], scores[at, : search.k], certified[at] = part.rows, part.scores, part.certified
        return Found(rows, scores, certified)

    def estimates(self, query: Any) -> Array:
        """(n,) float32 cosines of all rows with one query (dim,), as exact as the 8-bit copy where there is one."""
        q = unit_rows(as_matrix(query, what="query"), what="query").to(self.device)
        out = np.empty(len(self), np.float32)
        codes = self._scorer.codes
        for i in range(0, len(self), ESTIMATED_ROWS):
            at = slice(i, min(i + ESTIMATED_ROWS, len(self)))
            if codes is None:
                out[at] = (self.vectors[at] @ q[0]).cpu().numpy()
            else:
                rows = torch.arange(at.start, at.stop)
                out[at] = (codes.bounds(q, rows, torch.zeros_like(rows)) - codes.error[at]).numpy()
        return out

    def _choose(self, queries: int) -> Scan | SingleScan:
        kind = batch_kind(queries)
        self._seen += PREPARE_QUERIES / PREPARE_SINGLES if queries == 1 else queries
        pays = self._seen >= PREPARE_QUERIES and (len(self) >= PREPARE_ROWS or self.precision != "auto")
        if kind not in self._scans and (pays or self._scans):
            self.prepare(kind)
        return self._scans.get(kind, self._plain)

    def _search_few(self, q: torch.Tensor, k: int, allowed: torch.Tensor, among: int) -> Found | None:
        """The search where a mask allows few rows: each is looked at, or a copy of them searched. None where they are many."""
        count = int(allowed.sum())
        listed = self._scorer.codes is not None and len(q) <= LIST_QUERIES and count <= LIST_SHARE * among
        if not listed and count > min(SMALL_ROWS, GATHER_SHARE * among):
            return None
        rows = torch.nonzero(allowed)[:, 0]
        if not listed or count < k:
            found = ExactIndex(self.vectors[rows]).search(q, k)
            return (
                Found(np.where(found.rows < 0, -1, rows.cpu().numpy()[found.rows]), found.scores, found.certified)
                if count
                else found
            )
        search = BoundedSearch(self._scorer, self.vectors, k, 0, len(self), None)
        step = max(1, CANDIDATES_AT_ONCE // count)
        with _kernel_threads_alone(True):
            parts = [search.by_list(q[i : i + step], rows) for i in range(0, len(q), step)]
        return Found(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("rows", "scores", "certified")))


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
        with kernel_threads(threads):
            torch.set_num_threads(1)
            yield
    finally:
        torch.set_num_threads(threads)
        _quiet.release()
