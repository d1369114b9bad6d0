"""Reports of the collection: pages that evaluations made, listed, and opened in place without a script of theirs running."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from html import unescape
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import FileResponse

from biocosmos.outputs import REPORTS
from biocosmos.serve.access import Viewer
from biocosmos.serve.access.headers import REPORT_POLICY
from biocosmos.serve.desk import Desk, Here
from biocosmos.serve.pages import page

pages = APIRouter()
api = APIRouter(prefix="/api", tags=["reports"])

MOST = 500
"""Reports that are listed, the latest."""
_HEAD = 1 << 14
_TITLE = re.compile(rb"<title>(.{1,2000}?)</title>", re.DOTALL | re.IGNORECASE)


def listed(desk: Desk) -> list[dict[str, Any]]:
    """What there is, the latest first: name, title, made (ISO, UTC), bytes."""
    return [{**about, "title": _title(desk.collection.path / REPORTS / str(about["name"]))} for about in _there(desk)]


def _there(desk: Desk) -> list[dict[str, Any]]:
    """What there is, without the titles, which stand in the files."""
    folder = desk.collection.path / REPORTS
    found = []
    for path in folder.glob("*.html") if folder.is_dir() and not folder.is_symlink() else ():
        if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
            facts = path.stat()
            made = datetime.fromtimestamp(facts.st_mtime, timezone.utc).isoformat(timespec="seconds")
            found.append((facts.st_mtime_ns, {"name": path.name, "made": made, "bytes": facts.st_size}))
    return [about for _, about in sorted(found, key=lambda pair: (-pair[0], pair[1]["name"]))[:MOST]]


def report_at(desk: Desk, name: str) -> Path:
    """The page of this name; 404 unless it is listed."""
    if name not in {about["name"] for about in _there(desk)}:
        raise HTTPException(404, f"there is no report {name[:80]!r}: see the list of reports")
    return desk.collection.path / REPORTS / name


@pages.get("/reports")
def reports_page(request: Request, desk: Here, _: Viewer, open: str | None = None) -> Response:
    """The list, and the report that is open."""
    found = listed(desk)
    shown = next((about for about in found if about["name"] == open), None)
    if open is not None and shown is None:
        raise HTTPException(404, f"there is no report {open[:80]!r}: see the list of reports")
    return page(request, "reports.html.j2", reports=found, shown=shown)


@pages.get("/reports/file/{name}")
def report(name: str, desk: Here, _: Viewer) -> FileResponse:
    """A report's own page, for the frame: its styles are within, and no script of it runs."""
    headers = {"Content-Security-Policy": REPORT_POLICY, "Content-Disposition": "inline"}
    return FileResponse(report_at(desk, name), media_type="text/html; charset=utf-8", headers=headers)


@api.get("/reports")
def reports(desk: Here, _: Viewer) -> dict[str, Any]:
    """The reports of the collection, the latest first."""
    return {"reports": listed(desk)}


def _title(path: Path) -> str:
    with path.open("rb") as file:
        found = _TITLE.search(file.read(_HEAD))
    text = unescape(found.group(1).decode("utf-8", "replace")).strip() if found else ""
    return " ".join(text.split())[:200] or path.stem
