"""Where, when and how deep over HTTP, against counts that are made here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mapped
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

import biocosmos as bc
from biocosmos.serve.access import Access
from biocosmos.serve.app import make_app
from biocosmos.serve.desk import Desk

TOKEN = "a-token-of-the-tests-of-where"
DEEP = [float(10 * (i % 7)) if i % 4 else None for i in range(mapped.ROWS)]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory, sample_table: pa.Table) -> bc.Collection:
    made = mapped.make(tmp_path_factory.mktemp("where"), sample_table, projection=False)
    made.change(pa.table({"id": made.table(["id"])["id"], "depth_min": pa.array(DEEP, pa.float64())}), verb="update")
    return made


@pytest.fixture(scope="module")
def client(collection: bc.Collection) -> Iterator[TestClient]:
    access = Access.from_settings(users=None, token=TOKEN, host="127.0.0.1")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with TestClient(make_app(Desk(collection), access), base_url="http://127.0.0.1:8765", headers=headers) as client:
        yield client


def rows_of(collection: bc.Collection, **only: str) -> list[int]:
    return [i for i, row in enumerate(collection.table([*only]).to_pylist()) if all(row[k] == v for k, v in only.items())]


@pytest.mark.parametrize("taxon", [None, "Copepoda"])
def test_numbers_are_those_of_the_specimens(client: TestClient, collection: bc.Collection, taxon: str | None) -> None:
    rows = range(mapped.ROWS) if taxon is None else rows_of(collection, **{"class": taxon})
    found = client.get("/api/where", params={} if taxon is None else {"taxon": taxon}).json()
    placed = [i for i in rows if i % 10 != 9]
    assert (found["specimens"], found["with_place"]) == (len(rows), len(placed))
    stations = {(float(b), float(a)): sum(i % 3 == k for i in placed) for k, (a, b) in enumerate(mapped.STATIONS)}
    assert {(at["latitude"], at["longitude"]): at["specimens"] for at in found["places"]} == stations
    assert found["months"] == [sum(i % 12 == month and i % 20 != 0 for i in rows) for month in range(12)], "a year is no month"
    deep = [DEEP[i] for i in rows if DEEP[i] is not None]
    layers = {(layer["top"], layer["bottom"]): layer["specimens"] for layer in found["layers"]}
    assert layers == {(10 * k, 10 * k + 10): sum(d // 10 == k or (k == 5 and d == 60) for d in deep) for k in range(6)}


def test_pieces_say_what_they_rest_on(client: TestClient, collection: bc.Collection) -> None:
    every = client.get("/explore/where").text
    assert [kind in every for kind in ("where-map", "where-season", "where-depth")] == [True] * 3
    assert "108 of 120 specimens have a place" in every and 'href="/places"' in every and "style=" not in every
    one = client.get("/explore/where", params={"taxon": "Copepoda"}).text
    assert "all that was collected" in one and 'href="/places?taxon=Copepoda"' in one
    assert "all that was collected" not in every
    assert "There are no specimens here" in client.get("/explore/where", params={"words": "nothing-is-called-so"}).text


def test_a_specimen_is_pointed_at_where_it_has_a_place_a_month_and_a_depth(client: TestClient, collection: bc.Collection) -> None:
    ids = collection.table(["id"])["id"].to_pylist()
    for i in (1, 9, 20, 40, 4):
        piece = client.get("/specimen/where", params={"id": ids[i]}).text
        has = [i % 10 != 9, i % 20 != 0, DEEP[i] is not None]
        assert [f"where-{kind}" in piece for kind in ("map", "season", "depth")] == has
        assert piece.count('class="here"') == 2 * sum(has), "a pointer and its key in each"
    assert client.get("/specimen/where", params={"id": "nobody"}).status_code == 404
    assert "Where and when" in client.get("/specimen", params={"id": ids[1]}).text


def test_a_collection_without_places_does_not_offer_them(tmp_path: Any, sample_table: pa.Table) -> None:
    bare = mapped.make(tmp_path, sample_table, projection=False, places=False)
    access = Access.from_settings(users=None, token=TOKEN, host="127.0.0.1")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with TestClient(make_app(Desk(bare), access), base_url="http://127.0.0.1:8765", headers=headers) as client:
        assert "Where and when" not in client.get("/explore").text
        assert "has a place, a month or a depth" in client.get("/explore/where").text
        id_ = bare.table(["id"])["id"][0].as_py()
        assert "Where and when" not in client.get("/specimen", params={"id": id_}).text
