"""Every route that is served asks who is there, and what they may: a new one that forgets fails here."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

import biocosmos as bc
from biocosmos.serve import routes
from biocosmos.serve.access import Access
from biocosmos.serve.app import make_app
from biocosmos.serve.desk import Desk
from doors import HERE, PASSWORDS, bearer, users_file

FOR_ALL = {"/login", "/api/login", "/health"}
ASKING = re.compile(r"/logout|(/api)?/(search|identify|export|likeness|places)(/.*)?")
"""Paths at which a POST changes nothing that others see: a viewer may."""
READING = {"GET", "HEAD"}


@dataclass(frozen=True)
class Served:
    method: str
    path: str
    role: str | None

    @property
    def address(self) -> str:
        return re.sub(r"\{[^}]*\}", "x", self.path)


def served() -> Iterator[Served]:
    for module in pkgutil.iter_modules(routes.__path__):
        found = importlib.import_module(f"{routes.__name__}.{module.name}")
        for name in ("pages", "api"):
            for route in getattr(getattr(found, name, None), "routes", ()):
                assert isinstance(route, APIRoute), f"{route} of routes/{module.name}.py is no plain route"
                for method in route.methods or ():
                    yield Served(method, route.path, role_of(route.dependant))


def role_of(dependant: Dependant) -> str | None:
    """The role that a route needs; None where it asks for none."""
    for inner in dependant.dependencies:
        role: Any = getattr(inner.call, "role", None) or role_of(inner)
        if role is not None:
            return str(role)
    return None


SERVED = sorted(set(served()), key=lambda each: (each.path, each.method))
NAMES = [f"{each.method} {each.path}" for each in SERVED]


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> tuple[TestClient, dict[str, str]]:
    """A browser of nobody's, and a token of a session for each role. Nothing is started: who is refused reaches nothing."""
    folder = tmp_path_factory.mktemp("routes")
    access = Access(users=users_file(folder))
    client = TestClient(
        make_app(Desk(bc.Collection.create(Path(folder) / "a.cosmos")), access), base_url=HERE, follow_redirects=False
    )
    tokens = {name: access.login(name, password, "1").session for name, password in PASSWORDS.items()}
    return client, tokens


@pytest.mark.parametrize("route", SERVED, ids=NAMES)
def test_a_route_asks_for_a_user_and_writes_for_more(route: Served) -> None:
    if route.path in FOR_ALL:
        return
    assert route.role is not None, "it takes neither Viewer nor Annotator nor Admin"
    if route.method not in READING and not ASKING.fullmatch(route.path):
        assert route.role in ("annotator", "admin"), "a viewer may write by it"


@pytest.mark.parametrize("route", SERVED, ids=NAMES)
def test_nobody_reaches_a_route(doors: tuple[TestClient, dict[str, str]], route: Served) -> None:
    if route.path in FOR_ALL:
        return
    client, _ = doors
    for headers in ({}, bearer("wrong"), {"cookie": "biocosmos-8765=wrong"}):
        answer = client.request(route.method, route.address, headers={**headers, "origin": HERE, "sec-fetch-mode": "navigate"})
        assert answer.status_code in (401, 303), answer.text
        assert answer.status_code == 401 or answer.headers["location"].startswith("/login?next=")


@pytest.mark.parametrize(
    "route", [each for each in SERVED if each.role in ("annotator", "admin")], ids=lambda each: f"{each.method} {each.path}"
)
def test_who_may_less_does_not_get_through(doors: tuple[TestClient, dict[str, str]], route: Served) -> None:
    client, tokens = doors
    for name in ("vera", "ada") if route.role == "admin" else ("vera",):
        for body in ({"json": {}}, {"data": {"a": "b"}}, {"files": {"a": ("a.jpg", b"x")}}):
            answer = client.request(route.method, route.address, headers=bearer(tokens[name]), **body)
            assert answer.status_code == 403, f"{name}: {answer.status_code} {answer.text[:200]}"
