"""Coming in and going out: /login, /logout, POST /api/login; /health for whoever watches the server."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from biocosmos.serve.access.admission import Access, Denied, Entered, bearer_of
from biocosmos.serve.access.answers import within
from biocosmos.serve.access.cookies import drop_cookie, session_of, set_cookie
from biocosmos.serve.access.roles import Viewer
from biocosmos.serve.pages import page

pages = APIRouter()
api = APIRouter(prefix="/api", tags=["access"])
AT_ONCE = 2
"""Passwords that are checked at the same time: each takes 64 MB and 50 ms."""
_CHECKS = anyio.CapacityLimiter(AT_ONCE)


class Login(BaseModel):
    """A user of the file that the server was started with."""

    user: str = Field(max_length=64)
    password: str = Field(max_length=1024)


class LoggedIn(BaseModel):
    """token: to be sent as 'Authorization: Bearer TOKEN'; expires: seconds since 1970."""

    token: str
    user: str
    role: str
    expires: int


class Known(BaseModel):
    """Who asks."""

    user: str
    role: str


@pages.get("/health")
def health() -> JSONResponse:
    """That the server answers; nothing else is said."""
    return JSONResponse({"status": "ok"})


@pages.get("/login")
def ask(request: Request, next: str = "/") -> Response:
    """The page that asks who one is."""
    if getattr(request.state, "user", None) is not None:
        return RedirectResponse(within(next), 303)
    return _form(request, next)


@pages.post("/login")
async def come_in(
    request: Request,
    user: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    token: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",
) -> Response:
    """Log in by name and password, or by the token of this start."""
    access: Access = request.app.state.access
    try:
        entered = await _login(request, user, password) if access.named else access.enter(token.strip())
    except Denied as denied:
        return _form(request, next, str(denied), user, denied)
    if entered is None:
        return _form(request, next, "this is not the token of this start: the server printed it in its address", status=401)
    answer = RedirectResponse(within(next), 303)
    set_cookie(request, answer, entered)
    return answer


@pages.post("/logout")
def go_out(request: Request, user: Viewer) -> Response:
    """End the session, of a cookie or of a token."""
    access: Access = request.app.state.access
    session = session_of(request) or bearer_of(request.headers.get("authorization", ""))
    if session is not None:
        access.logout(session)
    answer = RedirectResponse("/login", 303)
    drop_cookie(request, answer)
    return answer


@api.post("/login", summary="Get a session token")
async def login(request: Request, given: Login) -> LoggedIn:
    """For a server with named users: a session token, good for as long as a session in the browser."""
    try:
        entered = await _login(request, given.user, given.password)
    except Denied as denied:
        headers = {"Retry-After": str(denied.seconds)} if denied.seconds else None
        raise HTTPException(denied.status, str(denied), headers) from denied
    return LoggedIn(token=entered.session, user=entered.user.name, role=entered.user.role, expires=int(entered.until))


@api.get("/me", summary="Who asks")
def me(user: Viewer) -> Known:
    """The user that the token or the cookie stands for, and the role."""
    return Known(user=user.name, role=user.role)


async def _login(request: Request, name: str, password: str) -> Entered:
    access: Access = request.app.state.access
    address = request.client.host if request.client is not None else ""
    return await anyio.to_thread.run_sync(partial(access.login, name, password, address), limiter=_CHECKS)


def _form(
    request: Request, next: str, problem: str = "", name: str = "", denied: Denied | None = None, *, status: int = 200
) -> Response:
    named = request.app.state.access.named
    status = status if denied is None else denied.status
    shown = page(request, "login.html.j2", status=status, named=named, next=within(next), problem=problem, name=name[:64])
    if denied is not None and denied.seconds:
        shown.headers["Retry-After"] = str(denied.seconds)
    return shown
