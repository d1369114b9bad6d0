"""Review: queues of specimens that want a judgement, one by one or a grid of one proposed taxon."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from biocosmos.serve.access import Annotator, Viewer
from biocosmos.serve.annotating import KINDS
from biocosmos.serve.annotating.shown import as_json
from biocosmos.serve.catalogue import View
from biocosmos.serve.catalogue.taxa import resolve
from biocosmos.serve.desk import Desk, Here
from biocosmos.serve.pages import page

pages = APIRouter()
api = APIRouter(prefix="/api", tags=["review"])
OWN = ("kind", "mode", "proposed", "order", "more", "ids")
DEFAULT = "unsure"


@pages.get("/review")
def review(desk: Here, user: Viewer, request: Request, kind: str = DEFAULT, mode: str = "one") -> Response:
    """The page; what it shows is fetched."""
    view = _view(desk, request)
    return page(
        request,
        "review.html.j2",
        kinds=KINDS,
        kind=kind if kind in KINDS else DEFAULT,
        mode="grid" if mode == "grid" else "one",
        query=view.query(),
        filters=view.filters,
        may_name=user.may("annotator"),
        may_take_over=user.may("admin"),
    )


@api.get("/queue")
def queue(
    desk: Here,
    user: Annotator,
    request: Request,
    kind: str = DEFAULT,
    count: Annotated[int, Query(ge=1, le=500)] = 60,
    proposed: str | None = None,
    order: Literal["usual", "surest"] = "usual",
    more: bool = False,
) -> dict[str, Any]:
    """The next specimens of a queue within a view; nobody else gets the same for a few minutes, as long as there are others.

    ``proposed``: the address of a taxon, only those that are proposed to be it; ``more``: none of those you hold already.
    """
    node = None if proposed is None else resolve(desk.catalogue.taxonomy, proposed)
    found = desk.queues.page(
        kind, _view(desk, request), user.name, count, proposed=node, surest_first=order == "surest", more=more
    )
    return as_json(found, desk.annotations.ledger)


@api.get("/queue/counts")
def counts(desk: Here, user: Viewer, request: Request) -> dict[str, Any]:
    """How many specimens each queue has left for you within a view."""
    return {"counts": desk.queues.counts(_view(desk, request), user.name)}


@api.get("/queue/specimens")
def specimens(desk: Here, user: Viewer, ids: Annotated[list[str], Query(max_length=200)], kind: str = DEFAULT) -> dict[str, Any]:
    """Given specimens as a queue shows them; those that are not there are left out."""
    rows = desk.catalogue.rows_of_ids(ids)
    return as_json(desk.queues.describe(kind, View(), user.name, rows[rows >= 0]), desk.annotations.ledger)


def _view(desk: Desk, request: Request) -> View:
    return desk.catalogue.view(request.query_params, also=OWN)
