"""Where, when and how deep: charts of a view and of a specimen, as pieces of pages, and their numbers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse

from biocosmos.errors import BiocosmosError
from biocosmos.serve.access import Viewer
from biocosmos.serve.desk import Here
from biocosmos.serve.pages import page
from biocosmos.serve.places.where import charts_around, charts_of, numbers_of
from biocosmos.serve.routes.explore import asked

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api", tags=["maps"])

Id = Annotated[str, Query(alias="id", max_length=4096, description="Id of the specimen.")]


@pages.get("/explore/where")
def where(request: Request, desk: Here, _: Viewer) -> HTMLResponse:
    """Map, season wheel and depth profile of a view."""
    view = asked(request, desk)
    charts, total = charts_of(desk.catalogue, view)
    return page(request, "parts/where.html.j2", charts=charts, total=total, query=view.query(), of="view")


@pages.get("/specimen/where")
def specimen_where(request: Request, desk: Here, _: Viewer, id_: Id) -> HTMLResponse:
    """The same for a specimen, among those that are called as it is."""
    try:
        row = desk.catalogue.row_of(id_)
    except BiocosmosError as error:
        raise HTTPException(404, str(error)) from error
    charts = charts_around(desk.catalogue, row)
    return page(request, "parts/where.html.j2", charts=charts, total=1, query="", of="specimen")


@api.get("/where", summary="Where, when and how deep the specimens of a view were found")
def numbers(request: Request, desk: Here, _: Viewer) -> dict[str, Any]:
    """``places``: the 200 with most specimens; ``months``: January first; ``layers``: of depth, in metres. The query is a
    view."""
    return numbers_of(desk.catalogue, asked(request, desk))
