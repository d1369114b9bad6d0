"""Pages as HTML: one environment of templates in which everything is escaped."""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup, escape

from biocosmos.provenance import package_version

HERE = Path(__file__).parent
STATIC = HERE / "static"
NAVIGATION = (
    ("/explore", "Explore"),
    ("/search", "Search"),
    ("/identify", "Identify"),
    ("/review", "Review"),
    ("/likeness", "Likeness"),
    ("/places", "Places"),
    ("/clusters", "Clusters"),
    ("/jobs", "Jobs"),
    ("/reports", "Reports"),
)


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """A template of ``views/`` as a page, or as a piece of one.

    The template knows besides: ``request``, ``user``, ``collection`` (its name), ``navigation``, ``static(path)``,
    ``address(path, **parameters)`` and ``thumb(specimen, size)``.
    """
    desk, user = getattr(request.app.state, "desk", None), getattr(request.state, "user", None)
    shared = {
        "request": request,
        "user": user,
        "collection": "" if desk is None or user is None else desk.collection.path.stem,  # strangers do not even see its name
        "here": request.url.path,
    }
    return HTMLResponse(environment().get_template(template).render(**shared, **context), status_code=status)


@cache
def environment() -> jinja2.Environment:
    """The templates of this room; every value is escaped."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "views"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.globals |= {
        "navigation": NAVIGATION,
        "static": static,
        "address": address,
        "thumb": thumb,
        "version": package_version(),
    }
    made.filters["breakable"] = lambda name: Markup(str(escape(name)).replace("_", "_<wbr>"))
    made.filters["count"] = lambda number: f"{number:,}"
    return made


def address(path: str, **parameters: Any) -> str:
    """``path`` with a query string; parameters that are None are left out."""
    given = {name: value for name, value in parameters.items() if value is not None}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def thumb(specimen: Any, size: int = 128) -> str:
    """Where the thumbnail of a specimen is, from its ``id`` and, where it has one, ``hash`` (of its image's content)."""
    if specimen.get("hash") == "none":  # no image: one drawing for all of them, and no request for each
        return static("pictures/none.svg")
    return address("/image/thumb", id=specimen["id"], size=size, v=specimen.get("hash"))


def static(path: str) -> str:
    """Where a file of ``static/`` is, with a mark that changes with its content."""
    file = STATIC / path
    return f"/static/{path}?v={_mark(path, file.stat().st_mtime_ns)}"


@lru_cache(256)
def _mark(path: str, _: int) -> str:
    return hashlib.sha256((STATIC / path).read_bytes()).hexdigest()[:10]
