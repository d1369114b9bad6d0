"""The map of likeness: its page, its points as binaries, lassos."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from biocosmos.serve.access import User, Viewer
from biocosmos.serve.catalogue import STATES, View
from biocosmos.serve.desk import Desk, Here
from biocosmos.serve.likeness.binary import BINARY, answer, etag
from biocosmos.serve.likeness.colours import choices, first_choice
from biocosmos.serve.pages import page, thumb
from biocosmos.serve.routes.explore import chips

pages = APIRouter()
api = APIRouter(prefix="/api", tags=["maps"])

OWN = ("by", "flat")
"""Parameters of the pages of maps beside those of a view."""
MOST_LISTED = 24
LONGEST_QUERY = 20_000
MESSAGE: dict[int | str, dict[str, Any]] = {
    200: {"content": {BINARY: {}}, "description": "uint32 length of the header, header (JSON), arrays as it lists them"},
    304: {"description": "it has not changed"},
}

By = Annotated[str, Query(max_length=200, description="rank:NAME, state, part, cluster, tag, novelty or confidence")]
At = Annotated[list[int], Query(max_length=MOST_LISTED, description="places of points in the message of points")]


@pages.get("/likeness")
def likeness_page(request: Request, desk: Here, user: Viewer) -> Response:
    """The map of likeness."""
    return map_page(request, desk, user, "likeness.html.j2")


def map_page(request: Request, desk: Desk, user: User, template: str) -> Response:
    """A page with a map, or both. What it needs to know: the view, what there is to show, and what lacks."""
    desk.catalogue.refresh()
    view = desk.catalogue.view(request.query_params, also=OWN)
    plane = desk.likeness.plane()
    spots = desk.places.spots()
    offered = choices(desk)
    asked = request.query_params.get("by")
    by = asked if asked in dict(offered) else first_choice(desk)
    return page(
        request,
        template,
        query=view.query(),
        by=by,
        choices=offered,
        mapped=plane is not None,
        placed=len(spots.rows),
        specimens=len(desk.catalogue.ids),
        encoders=list(desk.collection.encoders),
        may_name=user.may("annotator"),
        may_start=user.may("annotator" if desk.collection.encoders else "admin"),
    )


def asked_view(request: Request, desk: Desk) -> tuple[View, dict[str, Any]]:
    """The view of an address, and its filters in words, each with the view that is left without it."""
    desk.catalogue.refresh()
    view = desk.catalogue.view(request.query_params)
    found = chips(desk.catalogue.now, view)
    words = [{"says": f"{what} {says}", "without": path.partition("?")[2]} for what, says, path in found]
    return view, {"chips": words}


def listed(desk: Desk, ids: list[str]) -> dict[str, Any]:
    """What is shown of specimens that are pointed at."""
    moment = desk.catalogue.now
    rows = desk.catalogue.rows_of_ids(ids)
    found = []
    for id_, row in zip(ids, rows.tolist()):
        node = int(moment.nodes[row])
        name = str(moment.taxonomy.names[node]) if node > 0 else None
        state = STATES[int(moment.states[row])]
        found.append({"id": id_, "name": name, "state": state, "thumb": thumb({"id": id_}, 128)})
    return {"specimens": found}


@api.get("/likeness/points", response_class=Response, responses=MESSAGE)
def points(request: Request, desk: Here, _: Viewer, by: By) -> Response:
    """Where all specimens lie on the map of likeness (x, y: uint16) and the class of each (uint16), with the legend."""
    return answer(request, desk.likeness.mark(by), lambda: desk.likeness.points(by))


@api.get("/likeness/colours", response_class=Response, responses=MESSAGE)
def colours(request: Request, desk: Here, _: Viewer, by: By) -> Response:
    """The classes of the points alone, for another colour."""
    return answer(request, etag("colours", desk.likeness.mark(by)), lambda: desk.likeness.colours(by))


@api.get("/likeness/mask", response_class=Response, responses=MESSAGE)
def mask(request: Request, desk: Here, _: Viewer) -> Response:
    """Which points a view has, a bit each; the parameters are those of a view."""
    view, more = asked_view(request, desk)
    return Response(desk.likeness.mask(view, more), media_type=BINARY)


@api.get("/likeness/specimens")
def specimens(desk: Here, _: Viewer, plane: Annotated[str, Query(max_length=200)], at: At) -> dict[str, Any]:
    """Which specimens points are. plane: the name of the projection, as the header of the points has it."""
    return listed(desk, desk.likeness.ids(plane, at))


class Lasso(BaseModel):
    """view: the query of a view; polygon: pairs of x and y in units of the map, or null to take the lasso away."""

    view: str = Field("", max_length=LONGEST_QUERY)
    polygon: list[Any] | None = None


@api.post("/likeness/lasso")
def lasso(asked: Lasso, desk: Here, _: Viewer) -> dict[str, Any]:
    """What of a view lies within a polygon: that view, with the polygon as its region, and how many specimens it has."""
    found = desk.likeness.lasso(desk.catalogue.view(asked.view), asked.polygon)
    return {"view": found.view.query(), "count": found.count}
