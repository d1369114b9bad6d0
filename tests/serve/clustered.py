"""A collection most of which has no name, and clients of several users, for tests of clusters, tags and exports."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from fastapi.testclient import TestClient

import biocosmos as bc
from biocosmos.serve.access import Access, User, gate
from biocosmos.serve.app import make_app
from biocosmos.serve.desk import Desk
from browsing import copy_of

TOKEN = "a-token-of-the-tests"
KEPT = 40
"""Specimens that keep their labels."""


def unnamed(embedded: bc.Collection, folder: Path) -> Path:
    """A copy in which only the first specimens have labels."""
    path = copy_of(embedded, folder)
    collection = bc.Collection.open(path)
    ids = collection.table(["id"])["id"].to_pylist()[KEPT:]
    names = list(dict.fromkeys(["label", *collection.ranks]))
    none = pa.nulls(len(ids), pa.string())
    collection.change(pa.table([pa.array(ids), *[none] * len(names)], ["id", *names]), verb="update", clear=True)
    return path


class Site:
    """The application over a collection, for whoever asks: ``site("ada", "annotator").get(...)``."""

    def __init__(self, path: Path, monkeypatch) -> None:
        self.desk = Desk(bc.Collection.open(path))
        access = Access.from_settings(users=None, token=TOKEN, host="127.0.0.1")
        self.app = make_app(self.desk, access)
        self._who: dict[str, User] = {}
        monkeypatch.setattr(gate._Passage, "find_user", lambda own: (self._who[own.request.headers["x-test-user"]], False))
        _ = self.desk.annotations, self.desk.curation, self.desk.clusters

    def __call__(self, name: str = "ada", role: str = "annotator") -> TestClient:
        self._who[name] = User(name, role)  # type: ignore[arg-type]
        headers = {"Authorization": f"Bearer {TOKEN}", "X-Test-User": name}
        return TestClient(self.app, base_url="http://127.0.0.1:8765", headers=headers)

    def ids(self, count: int) -> list[str]:
        return self.desk.catalogue.ids.slice(0, count).to_pylist()

    def close(self) -> None:
        self.desk.close()
