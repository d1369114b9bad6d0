"""Identify: names for images and barcodes from outside, as far down the tree as the promise allows."""

from __future__ import annotations

import asyncio
import shutil
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from biocosmos.errors import BiocosmosError
from biocosmos.jobs.models import promoted
from biocosmos.serve.access import User, Viewer
from biocosmos.serve.asking import limits, shown
from biocosmos.serve.asking.barcodes import how_many, pasted
from biocosmos.serve.asking.forms import Form, described, received
from biocosmos.serve.asking.namers import PROMISES, HowToName, models_of, too_large
from biocosmos.serve.asking.naming import Naming
from biocosmos.serve.asking.uploads import Uploads
from biocosmos.serve.desk import Desk, Here
from biocosmos.serve.pages import page

pages = APIRouter()
api = APIRouter(prefix="/api")
LOOK_SECONDS = 0.1
FORM = described(
    {
        "promise": {
            "type": "string",
            "enum": list(PROMISES),
            "description": "Of the answers, at most so many percent are wrong; none: nothing is promised.",
        },
        "model": {"type": "string", "description": "A trained head of the collection; its vectors unasked."},
        "encoder": {"type": "string", "description": "By which vectors; the default ones unasked."},
        "dna": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Barcodes: letters, or FASTA; so do FASTA files among images.",
        },
        "wait": {"type": "string", "description": "0: answer at once with a token to ask for the rows by."},
    },
)


@pages.get("/identify")
def identify_page(request: Request, desk: Here, _: Viewer) -> HTMLResponse:
    """The page."""
    missing = None
    try:
        desk.asking.encoder()
    except BiocosmosError as error:
        missing = str(error)
    if missing is None and not desk.collection.ranks:
        missing = "nobody can be named yet, as no specimen has a name: name some in Explore or Review first"
    chosen = promoted(desk.collection)
    return page(
        request,
        "identify.html.j2",
        in_use=None if chosen is None else chosen.name,
        missing=missing,
        promises=PROMISES,
        models=models_of(desk.collection),
        encoders=desk.asking.encoders,
        takes={"images": bool(desk.asking.of_modality("image")), "dna": bool(desk.asking.of_modality("dna"))},
        at_once=limits.AT_ONCE,
        barcodes_at_once=limits.BARCODES_AT_ONCE,
        most=limits.FILES,
        megabytes=limits.UPLOAD_BYTES // limits.MB,
    )


@pages.get("/identify/{token}/results", include_in_schema=False)
def results(request: Request, desk: Here, user: Viewer, token: str) -> HTMLResponse:
    """The answers as a piece of the page."""
    one = desk.asking.namings.get(token, user.name)
    rows = shown.rows(one)
    for row, picture in zip(rows, one.pictures, strict=True):
        row["picture"] = picture
    return page(request, "parts/identify_results.html.j2", naming=one, rows=rows)


@api.post("/identify", openapi_extra=FORM)
async def identify(request: Request, desk: Here, user: Viewer) -> Response:
    """Name images or barcodes: a row for each, with the answer at the lowest rank that the promise allows, a confidence at
    every rank, novelty and the nearest known specimens. More than 200 images or 2,000 barcodes become a job: then its id is
    the answer."""
    async with received(request) as form:
        started = await run_in_threadpool(_start, desk, form, user)
    if not isinstance(started, Naming):
        return JSONResponse(started, 202)
    if form.one("wait", "1") == "0":
        return JSONResponse(shown.naming(started), 202)
    while not started.over.is_set():
        await asyncio.sleep(LOOK_SECONDS)
    if started.error:
        raise BiocosmosError(started.error)
    return JSONResponse(shown.naming(started))


@api.get("/identify/{token}.csv")
def table(desk: Here, user: Viewer, token: str) -> Response:
    """The names as 'biocosmos identify' writes them, for a spreadsheet."""
    text = desk.asking.namings.get(token, user.name).csv()
    headers = {"Content-Disposition": 'attachment; filename="names.csv"'}
    return Response(text.encode(), media_type="text/csv; charset=utf-8", headers=headers)


@api.get("/identify/{token}")
def progress(desk: Here, user: Viewer, token: str) -> dict[str, Any]:
    """How far an upload is named; its rows once it is."""
    return shown.naming(desk.asking.namings.get(token, user.name))


def _start(desk: Desk, form: Form, user: User) -> Naming | dict[str, Any]:
    """Begin to name an upload here, or as a job where it is large."""
    how = HowToName(form.one("promise"), form.one("model") or None, form.one("encoder") or None)
    how.settings(desk.collection)  # refused before anything is unpacked
    if how.model is None:
        desk.asking.encoder(how.encoder)
    pasted_ones = pasted(form.all("dna"))
    uploads = Uploads.of(form.files)
    uploads.paste(pasted_ones)
    barcodes = bool(uploads.sequences)
    if barcodes == bool(uploads.images):  # nothing, or both
        return desk.asking.namings.start(uploads, how, user.name)
    if how.model is None and how.encoder is None and not desk.asking.of_modality("dna" if barcodes else "image"):
        uploads.close()
        have = "nothing by which barcodes are known: start “Compute vectors” with kmer:7" if barcodes else "barcodes alone"
        raise BiocosmosError(f"this collection has {have}")
    count, most = (how_many(uploads.sequences), limits.BARCODES_AT_ONCE) if barcodes else (len(uploads.images), limits.AT_ONCE)
    if count <= most and not too_large(desk.collection, how, barcodes=barcodes):
        return desk.asking.namings.start(uploads, how, user.name)
    with uploads:
        what = "barcodes" if barcodes else "images"
        if not user.may("annotator"):
            raise BiocosmosError(f"{count:,} {what} need a job, which a viewer cannot start: send at most {most}")
        id_, folder = desk.work.prepare()
        files, names = (uploads.sequences, uploads.sequence_names()) if barcodes else (uploads.images, uploads.file_names())
        for file, name in zip(files, names, strict=True):
            shutil.move(file.path, folder / "upload" / name)
        settings = {"promise": how.promise or None, "model": how.model, "encoder": how.encoder}
        job = desk.work.start("name", settings, user.name, id=id_)
    refused = [{"name": name, "reason": reason} for name, reason in uploads.refused]
    return {"job": job.id, "images": count, "state": "job", "failures": refused}
