"""The gate: what every request passes before a route sees it, and every answer on its way out."""

from __future__ import annotations

from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from biocosmos.serve.access.admission import Access
from biocosmos.serve.access.answers import fault, here, refused, unknown_user
from biocosmos.serve.access.cookies import session_of, set_cookie
from biocosmos.serve.access.headers import protect
from biocosmos.serve.access.hosts import is_same_origin
from biocosmos.serve.access.limits import Body, content_length
from biocosmos.serve.access.roles import User

READING = frozenset({"GET", "HEAD", "OPTIONS"})
FOR_ALL = frozenset({"/login", "/api/login", "/health"})
"""Paths for people who are not known yet; files below /static/ are too."""
STATIC = "/static/"


class Gate:
    """ASGI middleware around the whole application; ``access`` knows who may come in.

    It refuses hosts that are not this server, strangers, writes from other sites, and whatever is too long or takes too long; it
    sets ``request.state.user`` and the headers that protect every page, and answers what a route did not foresee by one line.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Passage(self._app, self._access, scope, receive, send).go()


class _Passage:
    """One request on its way."""

    def __init__(self, app: ASGIApp, access: Access, scope: Scope, receive: Receive, send: Send) -> None:
        self.app, self.access, self.scope = app, access, scope
        scope.setdefault("state", {})["user"] = None
        self.request = Request(scope)
        self.path: str = scope["path"]
        self.is_static = self.path.startswith(STATIC)
        self.for_all = self.path in FOR_ALL or self.is_static
        self.user: User | None = None
        self.by_cookie = False
        self.started = False
        self.to_client = send
        limits = access.limits
        self.receive_raw = receive
        self.body = Body(receive, limits.stranger, limits.body_seconds, limits.idle_seconds)

    async def go(self) -> None:
        answer = self.malformed()
        if answer is None:
            self.user, self.by_cookie = self.find_user()
            self.scope["state"]["user"] = self.user
            answer = self.entering() or self.stranger() or self.foreign() or self.oversized()
        if answer is not None:
            await self.refuse(answer)
            return
        try:
            await self.app(self.scope, self.body, self.send)
        except ClientDisconnect:
            return
        except Exception as error:
            if self.body.refusal is None:
                answer = fault(self.request, error)
        if self.body.refusal is not None:
            answer = self.answer(self.body.refusal.status_code, str(self.body.refusal.detail))
        if answer is not None and not self.started:
            await self.refuse(answer)

    # ------------------------------------------------------------------ what is refused

    def malformed(self) -> Response | None:
        """Of any request: a host that is not ours, too long an address, too many headers, a path that leads out."""
        scope, limits = self.scope, self.access.limits
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not self.access.hosts.known(hosts[0].decode("latin-1")):
            line = "this server does not answer to this host name: use the address that it printed, or start it with --name"
            return PlainTextResponse(line, 421)
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > limits.url:
            return self.answer(414, f"the address is longer than {limits.url:,} bytes: use a smaller selection")
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if len(scope["headers"]) > limits.headers or size > limits.header_bytes:
            return self.answer(431, f"more than {limits.headers} headers, or {limits.header_bytes:,} bytes of them")
        if ".." in self.path.split("/") or any(c in self.path for c in "\\\0\r\n"):
            return self.answer(404, "there is nothing at this address")
        return None

    def entering(self) -> Response | None:
        """An address with a token becomes a cookie, and the same address without it."""
        if self.request.method != "GET" or self.path.startswith(("/api/", STATIC)) or self.access.named:
            return None
        given = [value for name, value in parse_qsl(self.request.url.query) if name == "token"]
        if not given:
            return None
        entered = self.access.enter(given[0])
        if entered is None:
            if self.user is not None:  # a parameter of a route's own
                return None
            return self.answer(401, "this address has expired: open the one that the server printed when it was last started")
        answer = RedirectResponse(here(self.request), 303)
        set_cookie(self.request, answer, entered)
        return answer

    def stranger(self) -> Response | None:
        """Nobody who is known."""
        if self.user is not None or self.for_all:
            return None
        return unknown_user(self.request, named=self.access.named)

    def foreign(self) -> Response | None:
        """A write that a page of another site may have sent: the browser adds the cookie, and says where it came from."""
        if self.request.method in READING or (self.user is not None and not self.by_cookie):
            return None
        headers = self.request.headers
        origins, site = headers.getlist("origin"), headers.get("sec-fetch-site")
        if origins:
            is_ours = len(origins) == 1 and is_same_origin(origins[0], headers["host"])
        elif site is not None:
            is_ours = site == "same-origin"
        else:  # no browser of today; without a cookie there is nothing to abuse, with one it is refused
            is_ours = not self.by_cookie and self.path == "/api/login"
        return None if is_ours else self.answer(403, "this write does not come from a page of this server: nothing was done")

    def oversized(self) -> Response | None:
        """More than may come, by what is announced; what comes is counted besides."""
        limits = self.access.limits
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        most, seconds = limits.body, limits.body_seconds
        if kind == "multipart/form-data":
            most, seconds = limits.upload, limits.upload_seconds
        if self.user is None:
            most, seconds = min(most, limits.stranger), min(seconds, limits.body_seconds)
        self.body = Body(self.receive_raw, most, seconds, limits.idle_seconds)
        announced = content_length(self.scope["headers"])
        if announced is not None and announced < 0:
            return self.answer(400, "Content-Length is no number")
        if announced is not None and announced > most:
            refusal = self.body.too_long()
            return self.answer(refusal.status_code, str(refusal.detail))
        return None

    def answer(self, status: int, line: str) -> Response:
        return refused(self.request, status, line)

    # ------------------------------------------------------------------ who asks

    def find_user(self) -> tuple[User | None, bool]:
        """Who asks, and whether a cookie said so."""
        headers = self.request.headers
        if "authorization" in headers:
            return self.access.of_authorization(headers["authorization"]), False
        session = session_of(self.request)
        user = None if session is None else self.access.of_session(session)
        return user, user is not None

    # ------------------------------------------------------------------ on the way out

    async def send(self, message: Message) -> None:
        """Pass on what the application answers, with the headers that protect it; nothing of it once the request is refused."""
        if self.body.refusal is not None and not self.started:
            return
        if message["type"] == "http.response.start":
            self.started = True
            query = self.scope["query_string"]
            has_mark = message["status"] == 200 and (query.startswith(b"v=") or b"&v=" in query)
            served = self.is_static and message["status"] < 400
            protect(MutableHeaders(scope=message), is_static=served, has_mark=has_mark)
        await self.to_client(message)

    async def refuse(self, answer: Response) -> None:
        """Send an answer of our own, and take no more of the request."""
        if self.body.refusal is not None:
            if "expect" not in self.request.headers:  # whoever waits for a word before sending gets this one
                await self.body.drain()
            answer.headers["Connection"] = "close"
        self.body.refusal = None
        await answer(self.scope, self.receive_raw, self.send)
