"""One specimen: its page, the pieces of it that take longer, and the same as JSON."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from biocosmos.errors import BiocosmosError
from biocosmos.jobs.one_specimen import Candidates, Heat
from biocosmos.serve.access import Viewer
from biocosmos.serve.asking import NotReady
from biocosmos.serve.asking.across import with_both
from biocosmos.serve.catalogue import View
from biocosmos.serve.catalogue.cards import Card
from biocosmos.serve.desk import Desk, Here
from biocosmos.serve.pages import page
from biocosmos.serve.routes.images import SAFE, drawn
from biocosmos.serve.specimen.facts import about, index_in
from biocosmos.serve.specimen.history import Event, history
from biocosmos.serve.specimen.rivals import rivals
from biocosmos.serve.specimen.tiles import near_tiles

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api/specimen", tags=["specimens"])

NEAREST = 5
PIECE_SECONDS = 12.0
"""How long a piece of a page waits before it says that it is being worked out, and asks again by itself."""
API_SECONDS = 300.0

Id = Annotated[str, Query(alias="id", max_length=4096, description="Id of the specimen.")]
Taxon = Annotated[str, Query(max_length=4096, description="The other taxon, as a view takes it; by default the likeliest.")]
Encoder = Annotated[str | None, Query(max_length=4096, description="By which embedding; the default one unasked.")]
K = Annotated[int, Query(ge=1, le=500, description="How many.")]
Size = Annotated[int, Query(ge=1, le=1000, description="Specimens of a page.")]


# ---------------------------------------------------------------------- the page


@pages.get("/specimen")
def specimen(request: Request, desk: Here, user: Viewer, id_: Id) -> HTMLResponse:
    """The page of a specimen, in the view that it was opened from."""
    known(desk, id_)
    view = View.parse(request.query_params.multi_items())
    found = about(desk.catalogue, id_, view)
    return page(
        request,
        "specimen.html.j2",
        about=found,
        events=told(desk, id_),
        view=view.query(),
        reason=desk.thumbnails.reason(id_),
        by_barcode=bool(found.barcode) and _default_is_of_images(desk),
        asks_across=bool(with_both(desk.collection, desk.catalogue.now.stored, [id_])),
        may_name=user.may("annotator"),
    )


def _default_is_of_images(desk: Desk) -> bool:
    return desk.asking.encoders[:1] == desk.asking.of_modality("image")[:1] != []


@pages.get("/specimen/names")
def names(request: Request, desk: Here, _: Viewer, id_: Id) -> HTMLResponse:
    """What it is called now, and the history of it: read again after an act."""
    known(desk, id_)
    desk.catalogue.refresh()
    found = about(desk.catalogue, id_, View())
    return page(request, "specimen/names.html.j2", about=found, events=told(desk, id_))


@pages.get("/specimen/candidates")
async def candidates_piece(request: Request, desk: Here, _: Viewer, id_: Id) -> HTMLResponse:
    """What it may be, at every rank."""
    await run_in_threadpool(known, desk, id_)
    try:
        found = await _worked_out(desk.looking.candidates(id_), PIECE_SECONDS)
    except BiocosmosError as error:
        return page(request, "specimen/reason.html.j2", reason=str(error), kind="candidates")
    if found is None:
        return page(request, "specimen/waiting.html.j2", again=str(request.url.path), id=id_, what="the namer")
    return page(request, "specimen/candidates.html.j2", candidates=found, id=id_)


@pages.get("/specimen/nearest")
def nearest_piece(request: Request, desk: Here, _: Viewer, id_: Id) -> HTMLResponse:
    """The five specimens most like it."""
    return _piece(request, desk, id_, "nearest", lambda: {"near": _near(desk, id_, NEAREST, None)})


@pages.get("/specimen/barcodes")
def barcodes_piece(request: Request, desk: Here, _: Viewer, id_: Id) -> HTMLResponse:
    """The five specimens whose barcodes are most like its own, where its image is what others are found by."""

    def find() -> dict[str, Any]:
        encoder = next(iter(desk.asking.of_modality("dna")), None)
        if encoder is None:
            raise BiocosmosError("no barcode of this collection has a vector yet: start “Compute vectors” with kmer:7")
        return {"near": _near(desk, id_, NEAREST, None, encoder)}

    return _piece(request, desk, id_, "barcodes", find)


@pages.get("/specimen/against")
def against_piece(request: Request, desk: Here, _: Viewer, id_: Id, taxon: Taxon = "") -> HTMLResponse:
    """Two taxa side by side."""

    def find() -> dict[str, Any]:
        found = rivals(desk.catalogue, desk.asking, id_, taxon or None)
        return {"rivals": found, "pictured": not desk.thumbnails.reason(id_)}

    return _piece(request, desk, id_, "against", find)


def _piece(request: Request, desk: Desk, id_: str, kind: str, find: Callable[[], dict[str, Any]]) -> HTMLResponse:
    """A piece of the page by the template of its kind: what was found, that it is not ready yet, or why there is none."""
    known(desk, id_)
    try:
        found = find()
    except NotReady as error:
        return page(request, "specimen/waiting.html.j2", again=f"/specimen/{kind}", id=id_, what=str(error))
    except BiocosmosError as error:
        return page(request, "specimen/reason.html.j2", reason=str(error), kind=kind)
    return page(request, f"specimen/{kind}.html.j2", **found, id=id_)


@pages.get("/specimen/heat")
async def heat_piece(request: Request, desk: Here, _: Viewer, id_: Id, taxon: Taxon = "") -> HTMLResponse:
    """Where the namer looked: the picture, or why there is none."""
    await run_in_threadpool(known, desk, id_)
    try:
        found: Heat | None = await _worked_out(desk.looking.heat(id_, taxon or None), PIECE_SECONDS)
    except BiocosmosError as error:
        return page(request, "specimen/reason.html.j2", reason=str(error), kind="heat")
    if found is None:
        return page(request, "specimen/waiting.html.j2", again="/specimen/heat", id=id_, taxon=taxon, what="the model")
    return page(request, "specimen/heat.html.j2", heat=found, id=id_, taxon=taxon)


@pages.get("/image/heat")
async def heat(desk: Here, _: Viewer, id_: Id, taxon: Taxon = "") -> Response:
    """The heat map as a PNG; a drawing where there is none, and ``/specimen/heat`` says why."""
    await run_in_threadpool(known, desk, id_)
    try:
        found: Heat | None = await _worked_out(desk.looking.heat(id_, taxon or None), API_SECONDS)
    except BiocosmosError as error:
        return drawn(str(error))
    if found is None:
        return drawn("it takes too long")
    return Response(found.png, media_type="image/png", headers={"Cache-Control": "private, no-cache", **SAFE})


# ---------------------------------------------------------------------- JSON


@api.get("")
def specimen_json(request: Request, desk: Here, _: Viewer, id_: Id) -> dict[str, Any]:
    """One specimen: all its fields, its taxon, its history, and what comes before and after it in a view."""
    known(desk, id_)
    found = asdict(about(desk.catalogue, id_, View.parse(request.query_params.multi_items())))
    found |= {"fields": {field["name"]: field["value"] for field in found["fields"]}}
    return {
        **found.pop("tile"),
        **found,
        "history": [asdict(event) for event in told(desk, id_)],
    }


@api.get("/place")
def place_json(request: Request, desk: Here, _: Viewer, id_: Id, size: Size = 120) -> dict[str, Any]:
    """Where a specimen stands in a view, for a grid that is to begin there: its place from 0 (or where it would be: ``in_view``),
    how many there are, and the last ids of the full pages of ``size`` specimens before it."""
    row = known(desk, id_)
    given = [(name, value) for name, value in request.query_params.multi_items() if name not in ("id", "size")]
    moment, view = desk.catalogue.now, View.parse(given)
    rows = desk.catalogue.rows(view, moment)
    place, in_view = index_in(desk.catalogue, moment, row, view)
    place = max(0, min(place, len(rows) - 1))
    ends = desk.catalogue.ids_of(rows[size - 1 : place // size * size : size])
    return {"place": place, "in_view": in_view, "total": len(rows), "ends": ends}


@api.get("/nearest")
def nearest_json(request: Request, desk: Here, _: Viewer, id_: Id, k: K = NEAREST, encoder: Encoder = None) -> dict[str, Any]:
    """The specimens most like this one, without it, with their cosine, and by barcodes with percent identity, length and gaps of
    their overlap; a view says among which."""
    known(desk, id_)
    given = [(name, value) for name, value in request.query_params.multi_items() if name not in ("id", "k", "encoder")]
    view = View.parse(given) if given else None
    return {"id": id_, "nearest": _patient(lambda: _near(desk, id_, k, view, encoder))}


@api.get("/candidates")
async def candidates_json(desk: Here, _: Viewer, id_: Id) -> dict[str, Any]:
    """What this specimen may be at every rank, with calibrated confidence."""
    await run_in_threadpool(known, desk, id_)
    found: Candidates | None = await _worked_out(desk.looking.candidates(id_), API_SECONDS)
    if found is None:
        raise HTTPException(503, "the namer is still being fitted: ask again in a moment")
    ranks = [{"rank": rank, "taxa": [asdict(each) for each in taxa]} for rank, taxa in found.ranks]
    return {"id": id_, **asdict(found), "ranks": ranks}


@api.get("/against")
def against_json(desk: Here, _: Viewer, id_: Id, taxon: Taxon = "") -> dict[str, Any]:
    """The taxon of this specimen and one that it could be confused with, each with its specimens that are most like it."""
    known(desk, id_)
    found = _patient(lambda: rivals(desk.catalogue, desk.asking, id_, taxon or None))
    return {"id": id_, **asdict(found)}


# ---------------------------------------------------------------------- helpers


def known(desk: Desk, id_: str) -> int:
    """The row of a specimen; 404 where there is none."""
    try:
        return desk.catalogue.row_of(id_)
    except BiocosmosError as error:
        raise HTTPException(404, str(error)) from error


def told(desk: Desk, id_: str) -> list[Event]:
    """All that was said of a specimen, oldest first."""
    return history(desk.collection, id_, desk.annotations.history(id_))


def _near(desk: Desk, id_: str, k: int, view: View | None, encoder: str | None = None) -> list[Card]:
    return near_tiles(desk.catalogue.now, desk.asking.nearest(id_, k, view, encoder=encoder))


def _patient(ask: Callable[[], Any]) -> Any:
    """What is asked for, waiting while the gallery is read: a program that asks has nothing better to do."""
    until = time.monotonic() + API_SECONDS
    while True:
        try:
            return ask()
        except NotReady:
            if time.monotonic() > until:
                raise


async def _worked_out(future: Future[Any], seconds: float) -> Any | None:
    """What another thread works out; None where that takes longer, and the work goes on."""
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(future)), seconds)
    except TimeoutError:
        return None
    except asyncio.CancelledError:
        if future.cancelled():
            return None
        raise
