"""Routers that need what takes seconds to import (torch): included by a thread while the first pages are shown already."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable

import anyio.to_thread
from fastapi import FastAPI
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

LISTED = ("/api", "/api/openapi.json")
"""What lists all routes, and so waits for them."""
LONGEST = 120
"""Seconds that a request waits for a route that may still come."""
PAUSE = 1.5
"""Seconds after the start before it is begun unasked, so that the first page has the processor for itself."""


class Late:
    """Work that is done once the server answers, and what may be asked before it is done."""

    def __init__(self, app: FastAPI, work: Callable[[], None]) -> None:
        self._app, self._work = app, work
        self._done, self._wanted = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def start(self) -> None:
        """Begin, where nobody did."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="late")
                self._thread.start()

    def wait(self) -> None:
        """Until it is done; begins it where nobody did, and at once."""
        self._wanted.set()
        self.start()
        if threading.current_thread() is not self._thread:
            self._done.wait(LONGEST)

    def stop(self) -> None:
        """Until it is done, where it was begun; else it is left."""
        self._stopped = True
        self.wait()

    def _run(self) -> None:
        self._wanted.wait(PAUSE)
        try:
            if self._stopped:
                return
            self._work()
            self._app.openapi_schema = None
        except Exception:  # the pages that there are go on; whoever started the server sees why the others are missing
            traceback.print_exc()
        finally:
            self._done.set()

    def is_to_come(self, scope: Scope) -> bool:
        """Whether a request may be for a route that is not there yet."""
        if self._done.is_set() or scope["type"] != "http":
            return False
        if scope["path"] in LISTED:
            return True
        return not any(route.matches(scope)[0] is Match.FULL for route in self._app.router.routes)


class Patience:
    """Middleware: a request for a route that may still come waits for it."""

    def __init__(self, app: ASGIApp, late: Late) -> None:
        self._app, self._late = app, late

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._late.is_to_come(scope):
            await anyio.to_thread.run_sync(self._late.wait)
        await self._app(scope, receive, send)
