"""Sessions: a random id that only the browser knows, and who it stands for, in the memory of the server."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

IDLE_SECONDS = 12 * 3600
"""A session that nobody used for so long is over."""
LIFE_SECONDS = 7 * 86_400
"""However much it is used, a session is over after this."""
MOST = 10_000
"""Sessions that are kept; the one that was longest not used goes first."""


@dataclass
class Session:
    """Who a session stands for. stamp: what must still hold for the user (the hash of the password at login)."""

    name: str
    stamp: str
    begun: float
    used: float


class Sessions:
    """All sessions of one server; safe to use from threads. The ids themselves are not kept, only their digests."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, name: str, stamp: str = "") -> str:
        """A new session of this user: its id, 256 random bits."""
        id_ = secrets.token_urlsafe(32)
        now = self._clock()
        with self._lock:
            self._sessions[_digest(id_)] = Session(name, stamp, now, now)
            while len(self._sessions) > MOST:
                self._sessions.popitem(last=False)
        return id_

    def find(self, id_: str) -> Session | None:
        """The session of this id, which counts as used; None where it is over or never was."""
        key, now = _digest(id_), self._clock()
        with self._lock:
            found = self._sessions.get(key)
            if found is None:
                return None
            if not (0 <= now - found.used < IDLE_SECONDS and now - found.begun < LIFE_SECONDS):
                del self._sessions[key]
                return None
            found.used = now
            self._sessions.move_to_end(key)
            return found

    def end(self, id_: str) -> None:
        """End a session; nothing happens where there is none."""
        with self._lock:
            self._sessions.pop(_digest(id_), None)


def _digest(id_: str) -> bytes:
    """By which a session is found: how long it takes says nothing of an id."""
    return hashlib.sha256(id_.encode("utf-8", "surrogatepass")).digest()
