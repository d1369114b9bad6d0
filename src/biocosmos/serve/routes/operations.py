"""/api: every operation of the API, with an example of each."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from biocosmos.serve.access.roles import Viewer
from biocosmos.serve.operations import operations
from biocosmos.serve.pages import page

pages = APIRouter()


@pages.get("/api")
def operations_page(request: Request, user: Viewer) -> Response:
    """The page of the API."""
    base = f"{request.url.scheme}://{request.url.netloc}"
    named = request.app.state.access.named
    return page(request, "operations.html.j2", groups=operations(request.app.openapi(), base), base=base, named=named)
