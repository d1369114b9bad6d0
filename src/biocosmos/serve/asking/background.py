"""One thread for long work, that nobody waits for when the server ends."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from biocosmos.errors import BiocosmosError

T = TypeVar("T")


class Background:
    """Runs what it is given, one after another, in a daemon thread; what calls :meth:`go_on` now and then ends with it."""

    def __init__(self, name: str, first: Callable[[], None] = lambda: None) -> None:
        self._name, self._first = name, first
        self._waiting = queue.SimpleQueue[Callable[[], None] | None]()
        self._thread: threading.Thread | None = None
        self._lock, self._closed = threading.Lock(), False

    def submit(self, work: Callable[..., T], *given: Any) -> Future[T]:
        """Do ``work(*given)`` when it is its turn; the future is cancelled once this is closed."""
        future: Future[T] = Future()

        def run() -> None:
            if self._closed or not future.set_running_or_notify_cancel():
                future.cancel()
                return
            try:
                future.set_result(work(*given))
            except BaseException as error:
                future.set_exception(error)

        with self._lock:
            if self._closed:
                future.cancel()
                return future
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
        self._waiting.put(run)
        return future

    def go_on(self) -> None:
        """Called within long work. Raises BiocosmosError once this is closed."""
        if self._closed:
            raise BiocosmosError("the server is stopping")

    def close(self, seconds: float = 10.0) -> None:
        """Begin nothing more; what runs is given this long to notice."""
        with self._lock:
            self._closed = True
        self._waiting.put(None)
        if self._thread is not None:
            self._thread.join(seconds)

    def _work(self) -> None:
        self._first()
        while (run := self._waiting.get()) is not None:
            run()
