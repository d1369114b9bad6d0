"""The cookie that holds the id of a session."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import Response

from biocosmos.serve.access.admission import Entered
from biocosmos.serve.access.hosts import split
from biocosmos.serve.access.sessions import LIFE_SECONDS


def cookie_name(request: Request) -> str:
    """By port, as the browser sees it: cookies are shared by all servers of a machine."""
    parts = split(request.headers.get("host", ""))
    port = parts[1] if parts is not None and parts[1] else ("443" if request.url.scheme == "https" else "80")
    return f"biocosmos-{port}"


def session_of(request: Request) -> str | None:
    """The id of the session that the cookie of a request says."""
    name = cookie_name(request)
    for header in request.headers.getlist("cookie"):
        for part in header.split(";"):
            key, _, value = part.strip().partition("=")
            if key == name and value:
                return value
    return None


def set_cookie(request: Request, answer: Response, entered: Entered) -> None:
    """Have the browser keep a session: no script sees it, and no other site sends it."""
    answer.set_cookie(
        cookie_name(request),
        entered.session,
        max_age=int(LIFE_SECONDS),
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def drop_cookie(request: Request, answer: Response) -> None:
    """Have the browser forget a session."""
    answer.delete_cookie(cookie_name(request), path="/", httponly=True, samesite="strict", secure=request.url.scheme == "https")
