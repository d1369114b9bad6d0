"""Who is let in: whoever has the token of this start, or named users with passwords."""

from __future__ import annotations

import hmac
import math
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from biocosmos.errors import BiocosmosError
from biocosmos.serve.access.accounts import Accounts
from biocosmos.serve.access.hosts import Hosts
from biocosmos.serve.access.limits import Limits
from biocosmos.serve.access.roles import User
from biocosmos.serve.access.sessions import LIFE_SECONDS, Sessions
from biocosmos.serve.access.throttle import Throttle
from biocosmos.specimens.care.entry import who

TICKET_SECONDS = 60.0
WRONG = "the user or the password is wrong"
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/=-]{1,512})", re.IGNORECASE)


class Denied(BiocosmosError):
    """A login that failed. status: 401, or 429 with ``seconds`` to wait before the next try."""

    def __init__(self, line: str, status: int = 401, seconds: int = 0) -> None:
        super().__init__(line)
        self.status, self.seconds = status, seconds


@dataclass(frozen=True)
class Entered:
    """A login that succeeded: the id of its session, its user, and when it ends at the latest (seconds since 1970)."""

    session: str
    user: User
    until: float


class Access:
    """Decides who may come in; made once for a server, used by many threads.

    users: the file of named users; token: what opens everything, where there are none. clock: seconds since 1970.
    """

    def __init__(
        self,
        *,
        users: Path | None = None,
        token: str | None = None,
        hosts: Hosts | None = None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if (users is None) == (token is None):
            raise ValueError("a server is opened by a file of users or by a token, and by one of them")
        self.accounts = None if users is None else Accounts(users)
        self.hosts, self.limits = hosts or Hosts(), limits or Limits()
        self.sessions, self.throttle = Sessions(clock), Throttle(clock)
        self._token, self._clock = token, clock
        self._owner = User(who(), "admin")
        self._tickets: dict[str, float] = {}
        self._lock = threading.Lock()

    @classmethod
    def from_settings(
        cls, *, users: Path | None, token: str | None, host: str = "127.0.0.1", names: Iterable[str] = ()
    ) -> Access:
        """Of a server that listens on ``host``; names: further host names that it is asked for under, as by a proxy.

        Raises BiocosmosError, one line, for a file of users that does not hold.
        """
        return cls(users=users, token=token, hosts=Hosts(host, names))

    @property
    def named(self) -> bool:
        """Whether there are users with passwords."""
        return self.accounts is not None

    # ------------------------------------------------------------------ coming in

    def ticket(self) -> str:
        """What stands for the token once, within a minute: other accounts of a machine see the address that a browser is told to
        open."""
        made = secrets.token_urlsafe(24)
        with self._lock:
            self._tickets[made] = self._clock() + TICKET_SECONDS
        return made

    def enter(self, token: str) -> Entered | None:
        """A new session for whoever has the token of this start, or a ticket; None for another token."""
        if self.accounts is not None:
            return None
        if not self._is_token(token):
            with self._lock:
                until = self._tickets.pop(token, 0.0)
            if self._clock() >= until:
                return None
        return self._begin(self._owner, "")

    def login(self, name: str, password: str, address: str) -> Entered:
        """A new session for a user with a password; it takes some 50 ms, whoever is asked about.

        address: of the client. Raises Denied, in the same words for a user who is not there and for a wrong password.
        """
        wait = self.throttle.wait(name, address)
        if wait > 0:
            seconds = math.ceil(wait)
            raise Denied(f"too many failed logins: try again in {seconds} s", 429, seconds)
        if self.accounts is None:
            raise Denied("this server has no users: open the address that it printed when it started")
        account = self.accounts.check(name, password)
        if account is None:
            raise Denied(WRONG)
        self.throttle.succeeded(name, address)
        return self._begin(account.user, account.hash)

    def logout(self, session: str) -> None:
        """End a session."""
        self.sessions.end(session)

    # ------------------------------------------------------------------ being known

    def of_session(self, id_: str) -> User | None:
        """The user of a session, with the role of now; None once the session is over, or the user's password another."""
        session = self.sessions.find(id_)
        if session is None:
            return None
        if self.accounts is None:
            return self._owner
        account = self.accounts.find(session.name)
        if account is None or account.hash != session.stamp:
            self.sessions.end(id_)
            return None
        return account.user

    def of_authorization(self, header: str) -> User | None:
        """The user of an Authorization header: Bearer and the token of this start, or that of a session."""
        token = bearer_of(header)
        if token is None:
            return None
        return self._owner if self._is_token(token) else self.of_session(token)

    def _begin(self, user: User, stamp: str) -> Entered:
        return Entered(self.sessions.begin(user.name, stamp), user, self._clock() + LIFE_SECONDS)

    def _is_token(self, token: str) -> bool:
        if self._token is None:
            return False
        return hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self._token.encode())


def bearer_of(header: str) -> str | None:
    """The token of an Authorization header; None where it says anything else."""
    found = _BEARER.fullmatch(header.strip())
    return None if found is None else found[1]
