"""The map of places and the time bar: their page, points as binaries, boxes and dates."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from biocosmos.serve.access import Viewer
from biocosmos.serve.desk import Here
from biocosmos.serve.likeness.binary import BINARY, answer
from biocosmos.serve.routes.likeness import LONGEST_QUERY, MESSAGE, At, asked_view, listed, map_page

pages = APIRouter()
api = APIRouter(prefix="/api", tags=["maps"])


@pages.get("/places")
def places_page(request: Request, desk: Here, user: Viewer) -> Response:
    """The map of places."""
    return map_page(request, desk, user, "places.html.j2")


@api.get("/places/points", response_class=Response, responses=MESSAGE)
def points(request: Request, desk: Here, _: Viewer) -> Response:
    """Longitude and latitude (float32, degrees) of all specimens that have them."""
    return answer(request, desk.places.spots().mark, desk.places.points)


@api.get("/places/mask", response_class=Response, responses=MESSAGE)
def mask(request: Request, desk: Here, _: Viewer) -> Response:
    """Which of these points a view has, a bit each; the parameters are those of a view."""
    view, more = asked_view(request, desk)
    return Response(desk.places.mask(view, more), media_type=BINARY)


@api.get("/places/specimens")
def specimens(desk: Here, _: Viewer, mark: Annotated[str, Query(max_length=200)], at: At) -> dict[str, Any]:
    """Which specimens points are. mark: as the header of the points has it."""
    return listed(desk, desk.places.ids(mark, at))


@api.get("/places/times")
def times(request: Request, desk: Here, _: Viewer) -> dict[str, Any]:
    """Specimens by days, months, years or more: all, and those of a view whatever its dates."""
    return desk.places.times(desk.catalogue.view(request.query_params))


class Selected(BaseModel):
    """view: the query of a view; box: west, south, east, north in degrees; dates: first and last. Null takes one away; what is
    left out stays as it is."""

    view: str = Field("", max_length=LONGEST_QUERY)
    box: list[float] | None = Field(None, min_length=4, max_length=4)
    dates: tuple[str | None, str | None] | None = None


@api.post("/places/select")
def select(asked: Selected, desk: Here, _: Viewer) -> dict[str, Any]:
    """A view with another box or other dates, and how many specimens it has."""
    changes: dict[str, Any] = {name: getattr(asked, name) for name in ("box", "dates") if name in asked.model_fields_set}
    if changes.get("dates", ()) is None:
        changes["dates"] = (None, None)
    view, count = desk.places.select(desk.catalogue.view(asked.view), changes)
    return {"view": view.query(), "count": count}
