"""The application: every router of ``routes/`` behind one gate."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool

from biocosmos.provenance import package_version
from biocosmos.serve import routes
from biocosmos.serve.access import OWN_PAGES, Access, Gate, install_errors
from biocosmos.serve.desk import Desk
from biocosmos.serve.late import Late, Patience
from biocosmos.serve.pages import STATIC

LATE = ("clusters", "identify", "models", "search", "specimen", "where")
"""Modules of ``routes/`` that import torch."""


def make_app(desk: Desk, access: Access) -> FastAPI:
    """The application of one collection; ``access`` knows who may do what."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(desk.open)
        desk.catalogue.warm_aside()
        desk.catalogue.plugs.wait = late.wait
        late.start()
        yield
        await run_in_threadpool(late.stop)
        await run_in_threadpool(desk.close)

    app = FastAPI(
        title="biocosmos",
        version=package_version(),
        openapi_url="/api/openapi.json",
        lifespan=life,
        **OWN_PAGES,
    )
    app.state.desk, app.state.access = desk, access
    install_errors(app)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    names = [module.name for module in pkgutil.iter_modules(routes.__path__)]
    _include(app, [name for name in names if name not in LATE])

    def later() -> None:
        desk.open_late()
        _include(app, LATE)

    late = Late(app, later)

    @app.get("/", include_in_schema=False)
    def first() -> RedirectResponse:
        return RedirectResponse("/explore", status_code=303)

    app.add_middleware(Patience, late=late)
    app.add_middleware(Gate, access=access)
    return app


def _include(app: FastAPI, modules: Sequence[str]) -> None:
    """Every router of some modules of ``routes/``."""
    for module in modules:
        found = importlib.import_module(f"{routes.__name__}.{module}")
        for name in ("pages", "api"):
            if hasattr(found, name):
                app.include_router(getattr(found, name), include_in_schema=name == "api")
