"""A tiny application behind the gate, for tests of who may come in."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, File, Request, Response, UploadFile
from fastapi.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from fastapi.testclient import TestClient
from pydantic import BaseModel

from biocosmos.errors import BiocosmosError
from biocosmos.serve.access import OWN_PAGES, Access, Admin, Annotator, Gate, Limits, Viewer, install_errors
from biocosmos.serve.access.accounts import changed_account
from biocosmos.serve.access.hosts import Hosts
from biocosmos.serve.pages import STATIC
from biocosmos.serve.routes import entrance, operations

TOKEN = "tests-may-know-this-token"
HERE = "http://127.0.0.1:8765"
PASSWORDS = {"ada": "difference engine", "grace": "nanosecond wire", "vera": "dark matter halo"}
ROLES = {"ada": "annotator", "grace": "admin", "vera": "viewer"}
SECRET = "a secret of the inner works"


class Clock:
    """Seconds since 1970, as a test wants them."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Named(BaseModel):
    ids: list[str]
    taxon: str = ""


def application(access: Access) -> FastAPI:
    """Routes of every kind, and the ones of coming in."""
    app = FastAPI(title="tests", openapi_url="/api/openapi.json", **OWN_PAGES)
    app.state.access = access
    install_errors(app)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for module in (entrance, operations):
        for name in ("pages", "api"):
            if hasattr(module, name):
                app.include_router(getattr(module, name), include_in_schema=name == "api")

    @app.get("/", include_in_schema=False)
    def page(user: Viewer) -> PlainTextResponse:
        return PlainTextResponse(f"hello {user.name}")

    @app.get("/image", include_in_schema=False)
    def image(user: Viewer) -> Response:
        return Response(b"picture", media_type="image/jpeg", headers={"Cache-Control": "private, max-age=31536000"})

    @app.get("/api/read", summary="Read")
    def read(user: Viewer, k: int = 5) -> dict[str, Any]:
        """Read something."""
        return {"user": user.name, "k": k}

    @app.post("/api/write")
    def write(user: Annotator, given: Named) -> dict[str, Any]:
        return {"by": user.name, "count": len(given.ids)}

    @app.post("/api/jobs")
    def run(user: Admin) -> dict[str, Any]:
        app.state.runs = getattr(app.state, "runs", 0) + 1
        return {"by": user.name}

    @app.post("/api/upload")
    def upload(user: Viewer, images: Annotated[list[UploadFile], File()]) -> dict[str, Any]:
        return {"sizes": [len(each.file.read()) for each in images]}

    @app.post("/api/raw")
    async def raw(user: Annotator, request: Request) -> dict[str, Any]:
        return {"size": len(await request.body())}

    @app.get("/api/mend")
    def mend(user: Viewer) -> None:
        raise BiocosmosError("the box lies nowhere: give west, south, east, north\nTraceback of a stranger")

    @app.get("/api/fault")
    def fault(user: Viewer) -> None:
        raise RuntimeError(SECRET)

    @app.get("/api/full")
    def full(user: Viewer) -> None:
        raise OSError(28, "No space left on device")

    @app.get("/fault", include_in_schema=False)
    def fault_of_a_page(user: Viewer) -> None:
        raise RuntimeError(SECRET)

    @app.get("/mend", include_in_schema=False)
    def mend_of_a_page(user: Viewer) -> None:
        raise BiocosmosError("there is no <script>alert(1)</script> here")

    @app.get("/form", include_in_schema=False)
    def form(user: Viewer) -> HTMLResponse:
        """A page that is asked to do what its policy forbids."""
        return HTMLResponse(
            f'<!doctype html><html lang="en"><title>{user.name}</title><p id="who">{user.name}</p>'
            "<script>document.title = 'inline'</script><p style='color: red' id='red'>a</p>"
            '<img src="x" onerror="document.title = \'handler\'">'
            '<form method="post" action="/logout"><button>out</button></form></html>'
        )

    @app.get("/api/late")
    def late(user: Viewer) -> StreamingResponse:
        def pieces() -> Any:
            yield b"begun"
            raise RuntimeError(SECRET)

        return StreamingResponse(pieces())

    app.add_middleware(Gate, access=access)
    return app


def with_token(limits: Limits | None = None, clock: Clock | None = None, hosts: Hosts | None = None) -> Access:
    """As a server without users."""
    return Access(token=TOKEN, limits=limits, hosts=hosts, clock=clock or Clock())


def users_file(folder: Path) -> Path:
    """A file of three users."""
    path = folder / "users.toml"
    for name, password in PASSWORDS.items():
        changed_account(path, name, role=ROLES[name], password=password)  # type: ignore[arg-type]
    return path


def client(access: Access, **given: Any) -> TestClient:
    """A browser without a cookie, or whoever ``headers`` says."""
    return TestClient(application(access), base_url=given.pop("base_url", HERE), follow_redirects=False, **given)


def bearer(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def browser(access: Access) -> TestClient:
    """A browser that came in by the address with the token."""
    made = client(access)
    assert made.get(f"/?token={TOKEN}").status_code == 303
    return made


class Live:
    """The application on a port of this machine, in a thread of this process."""

    def __init__(self, access: Access) -> None:
        import uvicorn

        self.app = application(access)
        config = uvicorn.Config(self.app, port=0, log_level="warning", access_log=False, server_header=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self.address = ""

    def __enter__(self) -> Live:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
