"""What takes seconds to import is imported while the first pages are shown."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

import biocosmos as bc
from biocosmos.serve.late import Late, Patience

HEAVY = ("torch", "sklearn", "scipy.optimize", "timm", "pandas")
SCRIPT = """
import sys
import biocosmos as bc
from biocosmos.serve.access import Access
from biocosmos.serve.app import make_app
from biocosmos.serve.desk import Desk
desk = Desk(bc.Collection.open(sys.argv[1]))
make_app(desk, Access.from_settings(users=None, token="tests-may-know-this-token", host="127.0.0.1"))
desk.open()
print([name for name in sys.argv[2:] if name in sys.modules])
"""


def test_the_first_page_needs_no_torch(tmp_path: Path) -> None:
    path = bc.Collection.create(tmp_path / "a.cosmos").path
    said = subprocess.run([sys.executable, "-c", SCRIPT, str(path), *HEAVY], capture_output=True, text=True, check=True)
    assert said.stdout.strip() in ("[]", "['pandas']")  # pyarrow takes pandas where it is installed


def test_a_route_that_is_to_come_is_waited_for() -> None:
    app, go = FastAPI(openapi_url="/api/openapi.json"), threading.Event()
    router = APIRouter()
    router.add_api_route("/later", lambda: "there")

    def work() -> None:
        go.wait(20)
        app.include_router(router)

    late = Late(app, work)
    app.add_middleware(Patience, late=late)
    app.add_api_route("/now", lambda: "here")
    client = TestClient(app)
    late.start()
    assert client.get("/now").json() == "here" and not go.is_set()
    threading.Timer(0.1, go.set).start()
    assert client.get("/later").json() == "there"
    assert "/later" in client.get("/api/openapi.json").json()["paths"]
    assert client.get("/never").status_code == 404


def test_what_fails_late_is_told_and_the_rest_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    app = FastAPI()

    def work() -> None:
        late.wait()  # of itself: does not hang
        raise RuntimeError("no disk")

    late = Late(app, work)
    app.add_middleware(Patience, late=late)
    app.add_api_route("/now", lambda: "here")
    client = TestClient(app)
    assert client.get("/later").status_code == 404 and client.get("/now").json() == "here"
    assert "no disk" in capsys.readouterr().err
