"""Candidates and heat maps, worked out by one thread of their own while the page is looked at already."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from biocosmos.errors import BiocosmosError
from biocosmos.jobs.one_specimen import Candidates, CloseLook, Heat, kept_candidates
from biocosmos.specimens.collection import Collection

KEPT = 200
"""Answers that are kept: who goes back sees them at once."""
WAITING = 64
"""Questions that may wait; when there are more, the oldest is not answered."""


class Looking:
    """Of one server; thread-safe. Each question is worked on once, whoever asks."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self._look = CloseLook(collection)
        self._pool = ThreadPoolExecutor(1, "looking")
        self._lock = threading.Lock()
        self._answers: OrderedDict[Hashable, Future[Any]] = OrderedDict()

    def candidates(self, id_: str) -> Future[Candidates]:
        """What a specimen may be: as the latest kept identifications say with runners-up, else as the default namer says now. The
        future raises as :meth:`CloseLook.candidates`."""
        kept = tuple(sorted(path.name for path in (self.collection.path / "identifications").glob("*.parquet")))
        return self._ask(("candidates", id_, self._version(), kept), lambda: self._candidates(id_))

    def heat(self, id_: str, taxon: str | None) -> Future[Heat]:
        """Where in its image the default namer looked. The future raises as :meth:`CloseLook.heat`."""
        return self._ask(("heat", id_, taxon, self._version()), lambda: self._look.heat(id_, taxon))

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(cancel_futures=True)

    def _candidates(self, id_: str) -> Candidates:
        kept = kept_candidates(self.collection, id_)
        if kept is not None and any(len(taxa) > 1 for _, taxa in kept.ranks):
            return kept
        try:
            return self._look.candidates(id_)
        except BiocosmosError:
            if kept is not None:
                return kept
            raise

    def _version(self) -> int:
        return int(self.collection.dataset.version)

    def _ask(self, key: Hashable, work: Callable[[], Any]) -> Future[Any]:
        with self._lock:
            there = self._answers.get(key)
            if there is not None and not there.cancelled():
                self._answers.move_to_end(key)
                return there
            waiting = [each for each in self._answers.values() if not each.done()]
            if len(waiting) >= WAITING:
                waiting[0].cancel()
            future: Future[Any] = self._pool.submit(work)
            self._answers[key] = future
            while len(self._answers) > KEPT:
                self._answers.popitem(last=False)
        future.add_done_callback(lambda done: self._forget_failure(key, done))
        return future

    def _forget_failure(self, key: Hashable, done: Future[Any]) -> None:
        """What did not go is tried again when it is asked for again."""
        if done.cancelled() or done.exception() is not None:
            with self._lock:
                if self._answers.get(key) is done:
                    del self._answers[key]
