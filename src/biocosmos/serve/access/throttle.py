"""Failed logins are slowed down: by who tries, by who is tried, and by both together."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

LONGEST = 300.0
"""Seconds that a further try waits at most."""
FORGOTTEN = 3600.0
"""Seconds after the last failure when all is forgotten."""
FREE = {"both": 5, "address": 30, "name": 100}
"""Failures without a wait: of one name from one address; from one address; of one name from anywhere."""
MOST = 10_000


class Throttle:
    """Counts tries by key. A try counts as failed until :meth:`succeeded`, so that many at once are no way around it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failed: OrderedDict[tuple[str, ...], tuple[int, float]] = OrderedDict()

    def wait(self, name: str, address: str) -> float:
        """Begin a try: 0, or the seconds to wait before one; a try that has to wait does not count."""
        keys, now = _keys(name, address), self._clock()
        with self._lock:
            waits = [self._wait(key, now) for key in keys]
            if max(waits) > 0:
                return max(waits)
            for key in keys:
                count, _ = self._failed.pop(key, (0, 0.0))
                self._failed[key] = count + 1, now
            while len(self._failed) > MOST:
                self._failed.popitem(last=False)
        return 0.0

    def succeeded(self, name: str, address: str) -> None:
        """The try that was begun was none of somebody who guesses."""
        with self._lock:
            for key in _keys(name, address):
                if key[0] == "both":
                    self._failed.pop(key, None)
                elif key in self._failed:
                    count, last = self._failed[key]
                    self._failed[key] = max(0, count - 1), last

    def _wait(self, key: tuple[str, ...], now: float) -> float:
        count, last = self._failed.get(key, (0, now))
        if now - last > FORGOTTEN:
            del self._failed[key]
            return 0.0
        beyond = count - FREE[key[0]]
        return 0.0 if beyond < 0 else max(0.0, last + min(2.0 ** min(beyond, 20), LONGEST) - now)


def _keys(name: str, address: str) -> tuple[tuple[str, ...], ...]:
    name = name[:200].casefold()
    return ("both", name, address), ("address", address), ("name", name)
