"""Pictures: thumbnails, and the whole image as a browser can show it. What cannot be shown is a drawing, never an error."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import Future
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Query, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from biocosmos.barcodes.stripes import PREFIX, stripes, stripes_mark
from biocosmos.errors import ImageError
from biocosmos.serve.access import Viewer
from biocosmos.serve.desk import Here
from biocosmos.serve.pages import STATIC
from biocosmos.serve.thumbnails import SIZES, NoSpecimen
from biocosmos.serve.thumbnails.pictures import NO_IMAGE

pages = APIRouter(prefix="/image", include_in_schema=False)

FOR_GOOD = "private, max-age=31536000, immutable"
ASK_AGAIN = "private, no-cache"
_TAG = re.compile(r'"([^"]*)"')

Id = Annotated[str, Query(alias="id", max_length=4096)]
Mark = Annotated[str, Query(max_length=256)]
Known = Annotated[str, Header(alias="if-none-match", max_length=1024)]


@pages.get("/thumb")
async def thumb(desk: Here, _: Viewer, id_: Id, size: int = SIZES[0], v: Mark = "", known: Known = "") -> Response:
    """A thumbnail. ``v``: the mark of what is wanted; where it is right the browser never asks again."""
    if size not in SIZES:
        raise HTTPException(400, f"thumbnails have {' or '.join(map(str, SIZES))} pixels a side")
    found = await _waited(desk.thumbnails.ask(id_, size, "" if v.startswith(PREFIX) else v))
    if found.jpeg is None:
        barcode = await run_in_threadpool(desk.thumbnails.barcode, id_) if found.reason == NO_IMAGE else None
        return _stripes(barcode, size, v, known) if barcode else drawn(found.reason)
    tag = f"{found.mark}-{size}"
    headers = _headers(tag, v == found.mark)
    if tag in _TAG.findall(known):
        return Response(status_code=304, headers=headers)
    return Response(found.jpeg, media_type="image/jpeg", headers=headers)


@pages.get("/full")
async def full(desk: Here, _: Viewer, id_: Id, v: Mark = "", known: Known = "") -> Response:
    """The whole image: the file as it is where every browser shows it, else a JPEG of at most 4096 pixels a side."""
    try:
        found = await _waited(desk.thumbnails.full(id_))
    except ImageError as error:
        return drawn(str(error))
    tag = f"{found.mark}-full"
    headers = _headers(tag, v == found.mark)
    if tag in _TAG.findall(known):
        found.close()
        return Response(status_code=304, headers=headers)
    headers["Content-Length"] = str(found.size)
    return StreamingResponse(found.pieces(), media_type=found.kind, headers=headers)


def _stripes(barcode: str, size: int, v: str, known: str) -> Response:
    """The barcode as a picture, where there is no other."""
    mark = stripes_mark(barcode) or ""
    tag = f"{mark}-{size}"
    headers = _headers(tag, v == mark)
    if tag in _TAG.findall(known):
        return Response(status_code=304, headers=headers)
    return Response(stripes(barcode, size), media_type="image/png", headers=headers)


def drawn(reason: str) -> Response:
    """What stands where there is no picture; the specimen's page says why."""
    name = "none.svg" if reason == NO_IMAGE else "broken.svg"
    return Response(_drawing(name), media_type="image/svg+xml", headers={"Cache-Control": ASK_AGAIN, **SAFE})


SAFE = {"X-Content-Type-Options": "nosniff"}


def _headers(tag: str, for_good: bool) -> dict[str, str]:
    return {"ETag": f'"{tag}"', "Cache-Control": FOR_GOOD if for_good else ASK_AGAIN, **SAFE}


@cache
def _drawing(name: str) -> bytes:
    return (STATIC / "pictures" / name).read_bytes()


async def _waited(future: Future[Any]) -> Any:
    """What a thread makes, without a thread that waits; one who goes away takes it from nobody else."""
    try:
        return await asyncio.shield(asyncio.wrap_future(future))
    except NoSpecimen as error:
        raise HTTPException(404, str(error)) from error
