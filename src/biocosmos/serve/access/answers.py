"""What goes wrong, told in one line: as JSON under /api, as a page elsewhere, as a piece of a page to htmx."""

from __future__ import annotations

import os
import secrets
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from html import escape
from pathlib import Path
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException as AnyHTTPException

from biocosmos.errors import BiocosmosError, first_line, one_line
from biocosmos.serve.pages import page
from biocosmos.unfinished import is_full

TRACEBACK = "BIOCOSMOS_TRACEBACK"
"""With this variable set to 1 the whole trace goes to standard error too."""
SHOWN_PROBLEMS = 3
TITLES = {
    400: "That does not fit",
    401: "Please log in",
    403: "That is not allowed",
    404: "There is no such page",
    405: "That is not possible here",
    408: "That took too long",
    413: "That is too much at once",
    414: "The address is too long",
    422: "That does not fit",
    429: "Please wait",
    431: "The request is too long",
    500: "Something went wrong",
    503: "The server is busy",
    507: "The disk is full",
}


def is_api(path: str) -> bool:
    """Whether a path is answered as JSON."""
    return path.startswith("/api/")


def refused(
    request: Request, status: int, line: str, *, headers: Mapping[str, str] | None = None, reference: str | None = None
) -> Response:
    """An answer that says why there is none."""
    line, given = one_line(line), dict(headers or {})
    if is_api(request.url.path):
        content = {"error": line} | ({"reference": reference} if reference else {})
        return JSONResponse(content, status, given)
    if request.headers.get("hx-request") == "true":
        return HTMLResponse(f'<p class="error" role="alert" data-test="error">{escape(line)}</p>', status, given)
    title = TITLES.get(status, "That could not be done")
    shown = page(request, "error.html.j2", status=status, title=title, message=line)
    shown.headers.update(given)
    return shown


def unknown_user(request: Request, *, named: bool) -> Response:
    """The answer to somebody who is not known. named: there are users with passwords, so that one can log in."""
    path = request.url.path
    if is_api(path):
        how = "POST /api/login gives a session token" if named else "the server printed its token when it started"
        line = f"nobody is logged in: send 'Authorization: Bearer TOKEN' ({how})"
        if "sec-fetch-site" in request.headers:  # a page that is still open
            line = "you are logged out: reload this page to log in again; what was saved before is kept"
        return refused(request, 401, line, headers={"WWW-Authenticate": "Bearer"})
    login = "/login?next=" + quote(here(request), safe="")
    if request.headers.get("hx-request") == "true":
        return refused(request, 401, "you are logged out: reload this page", headers={"HX-Redirect": login})
    if request.method not in ("GET", "HEAD") or request.headers.get("sec-fetch-mode", "navigate") != "navigate":
        return refused(request, 401, "nobody is logged in")
    if request.headers.get("sec-fetch-site") == "cross-site":  # a link from elsewhere: the cookie comes once it is followed here
        again = escape(here(request))
        return HTMLResponse(
            f'<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={again}">'
            f'<title>biocosmos</title><p><a href="{again}">Go on</a></p></html>'
        )
    return RedirectResponse(login, 303)


def here(request: Request) -> str:
    """Path and query string of what was asked for, as an address within this server, without a token."""
    query = "&".join(part for part in request.url.query.split("&") if part and part.partition("=")[0] != "token")
    return within(quote(request.url.path, safe="/:@!$&'()*+,;=-._~") + (f"?{query}" if query else ""))


def within(address: str | None) -> str:
    """An address of this server, whatever was asked for: never one of another ("//elsewhere"), never one with a line break."""
    address = address or "/"
    if not address.startswith("/") or address[1:2] in ("/", "\\") or any(ord(c) <= 32 or ord(c) == 127 for c in address):
        return "/"
    return address


def fault(request: Request, error: BaseException) -> Response:
    """The answer to what nobody foresaw: a reference, which stands with the error on standard error."""
    if is_full(error):
        return refused(request, 507, "the disk of the server is full: this was not kept; free some space and do it again")
    reference = secrets.token_hex(4)
    where = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(where[-1].filename).name}:{where[-1].lineno}" if where else ""
    what = f"{type(error).__name__}: {first_line(error)}{place}"
    with suppress(OSError, ValueError):  # standard error may be a file on a full disk, or closed
        print(one_line(f"fault {reference}: {request.method} {request.url.path}: {what}"), file=sys.stderr)
        if os.environ.get(TRACEBACK) == "1":
            traceback.print_exception(error)
    return refused(request, 500, f"something went wrong (reference {reference})", reference=reference)


def install_errors(app: FastAPI) -> None:
    """Have an application answer every error in one line. BiocosmosError is 400, what does not fit a route's parameters 422."""
    app.add_exception_handler(BiocosmosError, _mendable)
    app.add_exception_handler(RequestValidationError, _misfit)
    app.add_exception_handler(AnyHTTPException, _of_http)
    app.add_exception_handler(Exception, fault)


async def _mendable(request: Request, error: Exception) -> Response:
    return refused(request, 400, str(error))


async def _misfit(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = [f"{_place(each['loc'])}: {each['msg']}" for each in error.errors()]
    more = f" and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
    return refused(request, 422, "; ".join(problems[:SHOWN_PROBLEMS]) + more)


def _place(place: tuple[int | str, ...]) -> str:
    """ "k" of ("query", "k"), "ids[3]" of ("body", "ids", 3)."""
    words = place[1:] if len(place) > 1 and place[0] in ("query", "body", "path", "header", "cookie") else place
    return "".join(f"[{word}]" if isinstance(word, int) else f".{word}" for word in words).lstrip(".")


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    line = str(error.detail)
    if error.status_code == 404 and line == "Not Found":
        line = f"there is nothing at {request.url.path}"
    elif error.status_code == 405:
        line = f"{request.method} does nothing at {request.url.path}"
    return refused(request, error.status_code, line, headers=error.headers)


__all__ = ["fault", "here", "install_errors", "is_api", "refused", "unknown_user", "within"]
