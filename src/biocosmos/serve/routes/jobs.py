"""Long work: started, followed, cancelled; and what it made."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Header, HTTPException, Query, Request, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel, Field

from biocosmos.serve.access import Annotator, User, Viewer
from biocosmos.serve.desk import Desk, Here
from biocosmos.serve.pages import page
from biocosmos.serve.work.kinds import KINDS, Kind, kind_of
from biocosmos.serve.work.states import Job
from biocosmos.serve.work.uploads import receive
from biocosmos.serve.work.work import Event, NoJob
from biocosmos.settings import SettingError

pages = APIRouter()
api = APIRouter(prefix="/api", tags=["jobs"])

RETRY_MS = 1500
"""After which a browser that lost the stream asks again."""


class Wanted(BaseModel):
    """What a job is to do. settings: as ``GET /api/jobs/kinds`` describes them."""

    kind: str = Field(max_length=40)
    settings: dict[str, Any] = {}


def job_of(desk: Desk, id: str) -> Job:
    """A job by its id, else 404."""
    try:
        return desk.work.job(id)
    except NoJob as error:
        raise HTTPException(404, str(error)) from error


def allowed(user: User, kind: str) -> Kind:
    """The kind of job, if this user may start it, else 403."""
    found = kind_of(kind)
    if not user.may(found.role):
        raise HTTPException(
            403, f"'{found.title}' needs an {found.role}, and {user.name} is {user.role}: ask who runs this server"
        )
    return found


@pages.get("/jobs")
def jobs_page(request: Request, desk: Here, user: Viewer) -> Response:
    """The page of long work."""
    offered = desk.work.offered()
    forms = [{"kind": kind, "fields": kind.form(offered), "allowed": user.may(kind.role)} for kind in KINDS.values()]
    return page(request, "jobs.html.j2", forms=forms, embedded=bool(offered.embeddings))


@api.get("/jobs")
def jobs(desk: Here, _: Viewer, active: Annotated[bool, Query()] = False) -> dict[str, Any]:
    """All jobs, the latest first; active: those that wait or run."""
    found = [job.to_json() for job in desk.work.jobs() if not (active and job.is_over)]
    return {"jobs": found}


@api.get("/jobs/kinds")
def kinds(desk: Here, user: Viewer) -> dict[str, Any]:
    """The kinds of jobs, and what each may be told."""
    offered = desk.work.offered()
    return {
        "kinds": [
            {"kind": kind.name, "title": kind.title, "about": kind.about, "role": kind.role, "uploads": kind.uploads}
            | {"settings": kind.form(offered), "allowed": user.may(kind.role)}
            for kind in KINDS.values()
        ]
    }


@api.post("/jobs")
def start(wanted: Wanted, desk: Here, user: Annotator) -> dict[str, Any]:
    """Start a job: a verb of the command line as a process of its own."""
    allowed(user, wanted.kind)
    return desk.work.start(wanted.kind, wanted.settings, user.name).to_json()


@api.post("/jobs/upload")
def upload(
    desk: Here,
    user: Annotator,
    files: Annotated[list[UploadFile], File()],
    settings: Annotated[str, Form(max_length=10_000)] = "{}",
    kind: Annotated[str, Form(max_length=40)] = "ingest",
) -> dict[str, Any]:
    """Start a job that reads the files that come with it; settings: as JSON."""
    if not allowed(user, kind).uploads:
        raise SettingError(f"a job {kind!r} takes no files: POST /api/jobs starts it")
    try:
        told = json.loads(settings)
    except (ValueError, RecursionError):
        raise SettingError("settings is no JSON") from None
    id_, folder = desk.work.prepare()
    try:
        receive(((file.filename or "", file.file) for file in files), folder / "upload")
        return desk.work.start(kind, told, user.name, id=id_).to_json()
    except BaseException:
        desk.work.discard(id_)
        raise


@api.get("/jobs/{id}")
def job(id: str, desk: Here, _: Viewer) -> dict[str, Any]:
    """One job as it stands."""
    return job_of(desk, id).to_json()


@api.get("/jobs/{id}/log")
def log(id: str, desk: Here, _: Viewer, at: Annotated[int | None, Query(ge=0)] = None) -> dict[str, Any]:
    """The end of what it said, or what it said from byte ``at`` on, 64 kB at most; ``at``: where to go on."""
    job_of(desk, id)
    text, end = desk.work.log(id, at)
    return {"text": text, "at": end}


@api.get("/jobs/{id}/events", response_class=StreamingResponse)
async def events(
    id: str, desk: Here, _: Viewer, last_event_id: Annotated[str | None, Header(max_length=40)] = None
) -> StreamingResponse:
    """Follow a job by server-sent events: ``job`` (it changed), ``log`` (more of it), ``end``. It goes on after Last-Event-ID."""
    await run_in_threadpool(job_of, desk, id)
    after = int(last_event_id) if last_event_id and last_event_id.isascii() and last_event_id.isdigit() else None
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_lines(desk.work.events(id, after)), media_type="text/event-stream", headers=headers)


@api.post("/jobs/{id}/cancel")
def cancel(id: str, desk: Here, user: Annotator) -> dict[str, Any]:
    """Ask a job to end; who did not start it must be an admin."""
    found = job_of(desk, id)
    if found.by != user.name and not user.may("admin"):
        raise HTTPException(403, f"{found.by} started this job: ask them, or an admin, to cancel it")
    return desk.work.cancel(id, user.name).to_json()


@api.get("/jobs/{id}/files/{name}", response_class=FileResponse)
def file(id: str, name: str, desk: Here, _: Viewer) -> FileResponse:
    """A file that the job made, to be saved."""
    try:
        path = desk.work.file(id, name)
    except NoJob as error:
        raise HTTPException(404, str(error)) from error
    return FileResponse(path, filename=name, media_type="application/octet-stream", content_disposition_type="attachment")


async def _lines(found: AsyncIterator[Event]) -> AsyncIterator[str]:
    """Events as text/event-stream."""
    yield f"retry: {RETRY_MS}\n\n"
    async for event in found:
        if event.name == "beat":
            yield ": still there\n\n"
        else:
            yield f"id: {event.id}\nevent: {event.name}\ndata: {json.dumps(event.data)}\n\n"
