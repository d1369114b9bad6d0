"""Specimens as files: a download of what is selected, or a job where it is much."""

from __future__ import annotations

import json
import shutil
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask

from biocosmos.errors import BiocosmosError
from biocosmos.jobs.export_current import export_current
from biocosmos.serve.access import User, Viewer
from biocosmos.serve.desk import Desk, Here
from biocosmos.serve.work.kinds import CHOSEN, EXPORTS
from biocosmos.tables import file_stem

api = APIRouter(prefix="/api", tags=["export"])

AT_ONCE = 50_000
"""Specimens that are written while one waits; more, or with pictures, are a job."""
MOST = 10_000_000
KINDS = {".csv": "text/csv; charset=utf-8", ".parquet": "application/vnd.apache.parquet", ".zip": "application/zip"}


class Exporting(BaseModel):
    """Which specimens, by ``ids`` or by the query string of a ``view``. images: with their pictures. spreadsheet: a CSV in which
    no spreadsheet takes a cell for a formula."""

    ids: Annotated[list[Annotated[str, Field(max_length=4096)]], Field(max_length=50_000)] | None = None
    view: Annotated[str, Field(max_length=8000)] | None = None
    format: Literal["csv", "parquet", "darwin-core", "ecotaxa"] = "csv"
    images: bool = False
    spreadsheet: bool = True


@api.post("/export", response_class=Response, responses={202: {"description": "A job does it: {job}"}})
def export(wanted: Exporting, desk: Here, user: Viewer) -> Response:
    """Write specimens as CSV, Parquet, Darwin Core Archive or EcoTaxa zip, with the names of people and of machines told apart.

    Up to 50,000 without pictures are the answer itself; for more, and with pictures, the answer is ``{"job": ...}`` with status
    202, and the file is among those that the job made."""
    ids = desk.ids_of(wanted.ids, wanted.view, most=MOST)
    if not ids:
        raise BiocosmosError("the selection is empty: select specimens, or widen the view")
    if wanted.format == "csv" and wanted.images:
        raise BiocosmosError("a CSV has no pictures: choose Parquet, Darwin Core or EcoTaxa, or leave the pictures out")
    if wanted.images or wanted.format == "ecotaxa" or len(ids) > AT_ONCE:
        return JSONResponse({"job": as_a_job(desk, user, wanted, ids), "count": len(ids)}, 202)
    suffix = EXPORTS[wanted.format]
    folder = Path(tempfile.mkdtemp(prefix="biocosmos-export-"))
    try:
        path = folder / f"export{suffix}"
        spreadsheet = wanted.spreadsheet and wanted.format == "csv"
        export_current(desk.collection, path, ids=ids, format=wanted.format, images=False, spreadsheet=spreadsheet)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    name = f"{file_stem(desk.collection.path.stem)}-{wanted.format}-{datetime.now(timezone.utc):%Y%m%dT%H%M%S}{suffix}"
    gone = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Specimens": str(len(ids))}
    return FileResponse(
        path, filename=name, media_type=KINDS[suffix], content_disposition_type="attachment", headers=headers, background=gone
    )


def as_a_job(desk: Desk, user: User, wanted: Exporting, ids: list[str]) -> dict[str, Any]:
    """The job that writes these specimens."""
    if not user.may("annotator"):
        raise BiocosmosError(
            f"{len(ids):,} specimens{' with pictures' if wanted.images else ''} are written by a job, which needs an annotator: "
            f"choose at most {AT_ONCE:,} without pictures, or ask who runs this server"
        )
    id_, folder = desk.work.prepare()
    try:
        (folder / CHOSEN).write_text(json.dumps(ids), encoding="utf-8")
        pictures = wanted.images or wanted.format == "ecotaxa"
        told = {"format": wanted.format, "names": "now", "without_images": not pictures}
        return desk.work.start("export", told, user.name, id=id_).to_json()
    except BaseException:
        desk.work.discard(id_)
        raise
