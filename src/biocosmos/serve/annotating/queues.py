"""Queues of review: what to look at next, within a view, for a person who is not alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.serve.annotating.annotations import Annotations
from biocosmos.serve.annotating.scores import KINDS, Listed, Wanted, listed_in, wanted
from biocosmos.serve.catalogue import Moment, View

Int32 = npt.NDArray[np.int32]
LEASE_SECONDS = 180.0
"""For so long what one person was given is given to nobody else, as long as there is something else."""
MOST, TAXA = 500, 80
HOW = "review: "
"""Before the kind of a queue in ``how`` of its acts."""
_TABLES: dict[str, Any] = {"against": "suspects", "chosen": "queue"}


@dataclass(frozen=True)
class QueuePage:
    """What to look at next. rows: (m,) int32, in order; score: (m,); proposed: (m,) int32 nodes, 0 for none; left: specimens that
    the queue has for this person, those on the page included; taxa: (node, specimens) of the proposed taxa, the most frequent
    first; missing: why nothing can be shown, and the page and the name of what changes that."""

    kind: str
    moment: Moment
    rows: Int32
    score: npt.NDArray[np.float32]
    proposed: Int32
    left: int
    taxa: list[tuple[int, int]]
    missing: tuple[str, str, str] | None = None


class Queues:
    """The queues of one server. Leases are in memory: after a restart nothing is held for anybody."""

    def __init__(self, annotations: Annotations, clock: Callable[[], float] = time.monotonic) -> None:
        self.annotations, self.catalogue, self._clock = annotations, annotations.catalogue, clock
        self._lock = threading.Lock()
        self._until, self._holder = np.zeros(0, np.float64), np.zeros(0, np.int32)
        self._users: dict[str, int] = {}
        self._of: object = None
        self._subjects: tuple[object, Int32] = (None, np.empty(0, np.int32))
        self._listed: dict[str, tuple[Any, Listed | None]] = {}

    def page(
        self,
        kind: str,
        view: View,
        by: str,
        count: int = 60,
        *,
        proposed: int | None = None,
        surest_first: bool = False,
        more: bool = False,
    ) -> QueuePage:
        """The next ``count`` specimens of a queue for a person, who holds them for a while.

        proposed: only those for which this node is proposed; surest_first: from the other end; more: none of those that the
        person holds already. Raises BiocosmosError for an unknown queue or count.
        """
        if kind not in KINDS:
            raise BiocosmosError(f"there is no queue {kind[:40]!r}: it is one of {', '.join(KINDS)}")
        if not 1 <= count <= MOST:
            raise BiocosmosError(f"a page of a queue has from 1 to {MOST} specimens, not {count}")
        self.annotations.refresh()
        moment = self.catalogue.now
        found = self._wanted(kind, moment, view, by)
        able = found.able & self.catalogue.mask(view, moment)
        able[self._judged(kind, moment, by)] = False
        taxa = _counted(found.proposed[able], len(moment.taxonomy))
        if proposed is not None:
            able &= found.proposed == proposed
        left = int(np.count_nonzero(able))
        with self._lock:
            rows = self._free(np.flatnonzero(able), moment, by, count, more)
            rows = _first(rows, found.score[rows] * (-1 if surest_first else 1), count)
            self._until[rows], self._holder[rows] = self._clock() + LEASE_SECONDS, self._user(by)
        return QueuePage(kind, moment, rows, found.score[rows], found.proposed[rows], left, taxa, found.missing)

    def describe(self, kind: str, view: View, by: str, rows: Int32) -> QueuePage:
        """Given specimens as the queue would show them, in their order."""
        if kind not in KINDS:
            raise BiocosmosError(f"there is no queue {kind[:40]!r}: it is one of {', '.join(KINDS)}")
        moment = self.catalogue.now
        found = self._wanted(kind, moment, view, by)
        return QueuePage(kind, moment, rows, found.score[rows], found.proposed[rows], len(rows), [])

    def counts(self, view: View, by: str) -> dict[str, int]:
        """Kind -> specimens that it has left for a person within a view."""
        self.annotations.refresh()
        moment = self.catalogue.now
        mask, counts = self.catalogue.mask(view, moment), {}
        for kind in KINDS:
            able = self._wanted(kind, moment, view, by).able & mask
            able[self._judged(kind, moment, by)] = False
            counts[kind] = int(np.count_nonzero(able))
        return counts

    def _wanted(self, kind: str, moment: Moment, view: View, by: str) -> Wanted:
        return wanted(kind, moment, view, self.annotations.ledger, self._rows_of_subjects(moment), by, self._table(kind, moment))

    def _judged(self, kind: str, moment: Moment, by: str) -> Int32:
        """Rows that this person has judged: anywhere, but where two disagree in that queue itself."""
        rows = self._rows_of_subjects(moment)
        subjects = self.annotations.ledger.judged(by, [HOW + kind] if kind == "disagree" else None)
        found = rows[subjects[subjects < len(rows)]]
        return np.asarray(found[found >= 0], np.int32)

    def _rows_of_subjects(self, moment: Moment) -> Int32:
        words = self.annotations.ledger.subjects.words
        with self._lock:
            of, rows = self._subjects
            if of is not moment.stored:
                rows = np.empty(0, np.int32)
            if len(rows) < len(words):
                rows = np.concatenate([rows, moment.stored.rows_of_ids(words[len(rows) :])])
            self._subjects = (moment.stored, rows)
            return rows

    def _table(self, kind: str, moment: Moment) -> Listed | None:
        if kind not in _TABLES:
            return None
        folder = self.catalogue.collection.path / "discoveries" / _TABLES[kind]
        mark = (moment.stored, moment.taxonomy, folder.stat().st_mtime_ns if folder.is_dir() else 0)
        known = self._listed.get(kind)
        if known is None or known[0][0] is not mark[0] or known[0][1] is not mark[1] or known[0][2] != mark[2]:
            known = self._listed[kind] = (mark, listed_in(self.catalogue, _TABLES[kind], moment))
        return known[1]

    def _user(self, by: str) -> int:
        return self._users.setdefault(by, len(self._users) + 1)

    def _free(self, rows: Any, moment: Moment, by: str, count: int, more: bool) -> Any:
        """Those of ``rows`` that nobody else holds; of all where that are fewer than asked for."""
        if self._of is not moment.stored:
            self._until, self._holder, self._of = np.zeros(len(moment)), np.zeros(len(moment), np.int32), moment.stored
        held, mine = self._until[rows] > self._clock(), self._holder[rows] == self._user(by)
        if more:
            rows, held, mine = (each[~(held & mine)] for each in (rows, held, mine))
        free = rows[~held | mine]
        return free if len(free) else rows


def _first(rows: Any, score: Any, count: int) -> Int32:
    """The ``count`` rows of the highest score, highest first, of equals the lowest row."""
    if len(rows) > count:
        edge = np.partition(score, len(score) - count)[len(score) - count]
        kept = np.flatnonzero(score >= edge)
        rows, score = rows[kept], score[kept]
    order = np.lexsort((rows, -score))[:count]
    return np.asarray(rows[order], np.int32)


def _counted(nodes: Int32, count: int) -> list[tuple[int, int]]:
    counts = np.bincount(nodes, minlength=count) if len(nodes) else np.zeros(max(count, 1), np.int64)
    counts[0] = 0
    most = np.argsort(-counts, kind="stable")[:TAXA]
    return [(int(node), int(counts[node])) for node in most if counts[node]]


__all__ = ["HOW", "KINDS", "QueuePage", "Queues"]
