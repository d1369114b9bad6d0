"""Search: what is most like images, words, barcodes or a specimen."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from biocosmos.barcodes.stripes import stripes_uri
from biocosmos.errors import BiocosmosError
from biocosmos.serve.access import Viewer
from biocosmos.serve.asking import NotReady, Searched, limits, shown
from biocosmos.serve.asking.across import CALLED, choices, with_both
from biocosmos.serve.asking.barcodes import in_files, pasted
from biocosmos.serve.asking.forms import Form, described, number, received
from biocosmos.serve.asking.naming import picture
from biocosmos.serve.asking.uploads import Uploads
from biocosmos.serve.catalogue import View
from biocosmos.serve.catalogue.parts import DEFAULT
from biocosmos.serve.desk import Desk, Here
from biocosmos.serve.pages import page

pages = APIRouter()
api = APIRouter(prefix="/api")
OURS = ("images", "text", "texts", "ids", "dna", "k", "encoder", "like", "id", "view", "among", "ask_with")
"""Parameters of a search; the others are those of a view."""
TEXTS = {"type": "array", "items": {"type": "string"}}
FORM = described(
    {
        "text": {**TEXTS, "description": "Words, for encoders with a text tower."},
        "ids": {**TEXTS, "description": "Specimens of the collection."},
        "dna": {
            **TEXTS,
            "description": "Barcodes: letters, or FASTA. With an embedding of barcodes; so do FASTA files among images.",
        },
        "k": {"type": "integer", "description": "Neighbours of each.", "default": limits.NEIGHBOURS},
        "encoder": {"type": "string", "description": "Which embedding; the default one unasked."},
        "among": {
            "type": "string",
            "enum": list(CALLED),
            "description": "Whose vectors are looked at, whatever is asked about, where the collection has vectors of a space.",
        },
        "ask_with": {
            "type": "string",
            "enum": list(CALLED),
            "description": "Which vector of a specimen asks then; its first unasked.",
        },
    }
)


@pages.get("/search")
def search_page(request: Request, desk: Here, _: Viewer) -> HTMLResponse:
    """The page; an address with ``like`` or ``text`` is searched for at once."""
    given = Form(request.query_params.multi_items(), [])
    view, like = _view(desk, given), given.all("like", "id")
    number(given.one("k"), "k", limits.NEIGHBOURS)
    try:
        encoder, refusals, missing = given.one("encoder"), {}, None
        refusals = desk.asking.refusals(encoder or None)
        desk.asking.galleries.warm(desk.asking.encoder(encoder or None))
    except BiocosmosError as error:
        encoder, refusals, missing = "", {}, str(error)
    fields = {"taxon", "part", "box", "from", "to"}
    pairs = view.pairs()
    return page(
        request,
        "search.html.j2",
        missing=missing,
        encoder=encoder,
        encoders=desk.asking.encoders,
        refusals=refusals,
        mixed=len({desk.asking.modality(name) for name in desk.asking.encoders}) > 1,
        choices=choices(desk.collection),
        among=given.one("among"),
        ask_with=given.one("ask_with"),
        like=like,
        texts=given.all("text"),
        dna=given.one("dna"),
        k=number(given.one("k"), "k", limits.NEIGHBOURS),
        most=limits.NEIGHBOURS_MOST,
        restricted={name: value for name, value in pairs if name in fields},
        others=[(name, value) for name, value in pairs if name not in fields],
        parts=_parts(desk),
        image_limit=limits.SEARCH_IMAGES,
    )


@pages.post("/search/results", include_in_schema=False)
async def results(request: Request, desk: Here, _: Viewer) -> Response:
    """The answers as a piece of the page."""
    async with received(request) as form:
        try:
            found, pictures = await run_in_threadpool(_search, desk, form, True)
        except NotReady as error:
            return _getting_ready(error)
        except BiocosmosError as error:
            return JSONResponse({"error": str(error)}, 400)
    both = with_both(desk.collection, desk.catalogue.now.stored, [near.id for answer in found.answers for near in answer.near])
    answers = [
        {
            "answer": answer,
            "picture": pictures.get((answer.kind, answer.place), ""),
            "near": [{**tile, "both": tile["id"] in both} for tile in shown.tiles(desk.catalogue, answer.near)],
            "bars": shown.bars(answer),
        }
        for answer in found.answers
    ]
    return page(request, "parts/search_results.html.j2", found=found, answers=answers)


@api.post("/search", openapi_extra=FORM)
async def search(request: Request, desk: Here, _: Viewer) -> Response:
    """The nearest specimens of images, words, barcodes and specimens, with scores (cosine) and the vote per rank; of barcodes
    also with percent identity, length and gaps of their overlap. The parameters of a view in the address restrict what may be
    found. While vectors are read for the first time the answer is 503: ask again."""
    async with received(request) as form:
        try:
            found, _none = await run_in_threadpool(_search, desk, form, False)
        except NotReady as error:
            return _getting_ready(error)
    return JSONResponse(shown.searched(desk.catalogue, found))


@api.get("/search")
async def search_again(request: Request, desk: Here, _: Viewer) -> Response:
    """As POST, for ``id``, ``text``, ``dna``, ``among`` and ``ask_with`` in the address."""
    form = Form(request.query_params.multi_items(), [])
    try:
        found, _none = await run_in_threadpool(_search, desk, form, False)
    except NotReady as error:
        return _getting_ready(error)
    return JSONResponse(shown.searched(desk.catalogue, found))


def _search(desk: Desk, form: Form, with_pictures: bool) -> tuple[Searched, dict[tuple[str, int], str]]:
    with Uploads.of(form.files, most=limits.SEARCH_IMAGES) as uploads:
        texts, ids, dna = form.all("text", "texts"), form.all("like", "id", "ids"), pasted(form.all("dna"))
        dna += in_files(uploads.sequences, uploads.refused)
        k, view = number(form.one("k"), "k", limits.NEIGHBOURS), _view(desk, form)
        if uploads.refused and not uploads.images and not (texts or ids or dna):
            return Searched(desk.asking.encoder(form.one("encoder") or None), [], uploads.refused, 0), {}
        found = desk.asking.search(
            images=[(image.name, image.path) for image in uploads.images],
            texts=texts,
            ids=ids,
            dna=dna,
            k=k,
            view=view,
            encoder=form.one("encoder") or None,
            among=form.one("among") or None,
            ask_with=form.one("ask_with") or None,
        )
        found.refused[:0] = uploads.refused
        if not with_pictures:
            return found, {}
        pictures = {("image", place): picture(image.path) for place, image in enumerate(uploads.images)}
        return found, pictures | {("dna", place): stripes_uri(letters) for place, (_, letters) in enumerate(dna)}


def _view(desk: Desk, form: Form) -> View:
    return desk.catalogue.view([(name, text) for name, text in form.fields if name not in OURS])


def _parts(desk: Desk) -> list[str]:
    """Parts of splits as a view names them; those of the default one by their name alone."""
    parts, stored = desk.catalogue.parts, desk.catalogue.now.stored
    splits = [(split, parts.split(stored, split).names) for split in parts.splits]
    return [name if split == DEFAULT else f"{split}:{name}" for split, names in splits for name in names]


def _getting_ready(error: NotReady) -> Response:
    return JSONResponse({"error": str(error), "ready": False}, 503, {"Retry-After": "2"})
