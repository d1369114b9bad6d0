"""Explore as JSON and as pieces of its page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from asked import error, site_of
from fastapi.testclient import TestClient

from biocosmos.serve.catalogue import STATES, View
from biocosmos.serve.desk import Desk
from biocosmos.serve.routes.explore import MOST_IDS
from brute import collection_of

EVIL = "<script>alert(1)</script>\"'"
ROWS: list[dict[str, Any]] = [
    {"id": f"a/{i:02d}", "kingdom": "Animalia", "genus": ["Calanus", "Prunella", EVIL, None][i % 4], "group": ["x", EVIL][i % 2]}
    for i in range(30)
] + [{"id": "none"}]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    rows = [{"date": "2019-05-31", "latitude": 1.0, "longitude": 2.0, **row} for row in ROWS]
    collection = collection_of(tmp_path_factory.mktemp("explore") / "a.cosmos", rows)
    collection.make_split("random")
    desk = Desk(collection)
    with site_of(desk) as client:
        yield client


def test_specimens_page_by_page(site: TestClient) -> None:
    found, after = [], None
    while True:
        asked = {"count": 7, "sort": "id", "reverse": 1} | ({} if after is None else {"after": after})
        answer = site.get("/api/specimens", params=asked).json()
        assert answer["total"] == 31 and answer["query"] == "sort=id&reverse=1"
        found += [each["id"] for each in answer["specimens"]]
        after = answer["next"]
        if after is None:
            break
    assert found == sorted((row["id"] for row in ROWS), reverse=True)
    first = site.get("/api/specimens", params={"count": 1}).json()["specimens"][0]
    assert first | {"hash": ""} == {
        "id": "a/00",
        "name": "Calanus",
        "rank": "genus",
        "taxon": "genus:Calanus",
        "state": "validated",
        "confidence": None,
        "novelty": None,
        "score": None,
        "hash": "",
    }
    nobody = site.get("/api/specimens", params={"words": "none"}).json()["specimens"][0]
    assert (nobody["name"], nobody["taxon"], nobody["state"]) == (None, None, "unlabelled")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/specimens?colour=red", "'colour'"),
        ("/api/specimens?taxon=Nobody", "no taxon"),
        ("/api/specimens?after=nobody", "no specimen has the id"),
        ("/api/tree?node=Nobody", "no taxon"),
        ("/api/facets?column=image", "no column 'image'"),
        ("/api/facets?box=1,2", "west,south,east,north"),
        ("/api/specimens?sort=likeness", "like=ID"),
    ],
)
def test_what_is_refused_is_one_line(site: TestClient, path: str, said: str) -> None:
    assert said in error(site.get(path))


def test_numbers_outside_their_range_are_refused(site: TestClient) -> None:
    for path in ("/api/specimens?count=0", "/api/specimens?count=1001", "/api/taxa?q=a&limit=0", "/api/specimens?count=x"):
        assert site.get(path).status_code == 422


def test_nobody_without_a_token_reads(site: TestClient) -> None:
    stranger = TestClient(site.app, base_url=str(site.base_url), follow_redirects=False)
    for path in ("/api/specimens", "/api/specimens/ids", "/api/tree", "/api/facets", "/api/taxa?q=a", "/api/ranks"):
        assert stranger.get(path).status_code == 401
    for path in ("/explore", "/explore/tiles", "/explore/tree", "/explore/facets", "/explore/results"):
        assert stranger.get(path).status_code in (303, 401)


def test_tree_facets_and_taxa(site: TestClient) -> None:
    top = site.get("/api/tree").json()
    assert [(each["name"], each["count"], each["own"], each["has_children"]) for each in top["branches"]] == [
        ("Animalia", 30, 7, True)
    ]
    below = site.get("/api/tree", params={"node": top["branches"][0]["taxon"], "is.group": EVIL}).json()["branches"]
    assert {(each["name"], each["count"]) for each in below} == {("Prunella", 8)}
    facets = site.get("/api/facets", params={"column": ["group"], "state": "validated"}).json()
    assert facets["total"] == 30 and facets["states"] == dict(zip(STATES, (1, 0, 0, 30)))
    assert facets["columns"] == [{"column": "group", "counts": {"x": 15, EVIL: 15}, "rest": 0, "distinct": 2}]
    (taxon,) = site.get("/api/taxa", params={"q": "CALAN"}).json()["taxa"]
    assert (taxon["taxon"], taxon["rank"], taxon["path"], taxon["specimens"]) == ("Calanus", "genus", ["Animalia"], 8)
    assert site.get("/api/specimens", params={"taxon": taxon["address"]}).json()["total"] == 8
    assert site.get("/api/taxa").json() == {"taxa": []} and site.get("/api/ranks").json()["ranks"] == [
        "kingdom",
        "class",
        "genus",
    ]


def test_ids_of_a_whole_view(site: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = site.get("/api/specimens/ids", params={"taxon": "Calanus", "sort": "id", "reverse": 1}).json()
    assert answer == {
        "ids": sorted((row["id"] for row in ROWS if row.get("genus") == "Calanus"), reverse=True),
        "total": 8,
        "most": MOST_IDS,
    }
    monkeypatch.setattr("biocosmos.serve.routes.explore.MOST_IDS", 7)
    assert site.get("/api/specimens/ids", params={"taxon": "Calanus"}).json()["ids"] is None


def test_names_of_strangers_are_text_on_every_piece_of_the_page(site: TestClient) -> None:
    query = urlencode({"is.group": EVIL, "words": EVIL})
    tree = urlencode({"open": "kingdom:Animalia"})
    pieces = ["/explore", "/explore/results", "/explore/tiles", "/explore/facets?column=group", f"/explore/tree?{tree}"]
    for path in [*pieces, *(f"{piece}{'&' if '?' in piece else '?'}{query}" for piece in pieces)]:
        answer = site.get(path)
        assert answer.status_code == 200, path
        assert "<script>alert" not in answer.text and "onerror" not in answer.text, path
        assert " style=" not in answer.text and " onclick=" not in answer.text
    assert "&lt;script&gt;" in site.get("/explore").text


def test_pieces_of_the_page(site: TestClient) -> None:
    page = site.get("/explore", params={"taxon": "Calanus", "sort": "id"}).text
    assert page.count('data-test="tile"') == 8 and 'data-query="taxon=Calanus&amp;sort=id"' in page and 'data-total="8"' in page
    tiles = site.get("/explore/tiles", params={"after": "a/10", "count": 5})
    assert tiles.text.count('data-test="tile"') == 5 and tiles.headers["X-More"] == "1" and tiles.headers["X-Total"] == "31"
    closed, opened = site.get("/explore/tree").text, site.get("/explore/tree", params={"taxon": "Calanus"}).text
    assert (
        closed.count('data-test="branch"') == 1 and opened.count('data-test="branch"') == 4 and opened.count("aria-current") == 1
    )
    below = site.get("/explore/tree", params={"node": "kingdom:Animalia"}).text
    assert below.count('data-test="branch"') == 3
    assert site.get("/explore/tree", params={"open": "kingdom:Gone"}).status_code == 200  # a page may be older than the tree
    empty = site.get("/explore", params={"words": "nothing at all"}).text
    assert 'data-test="empty"' in empty and 'data-test="drop-words"' in empty


def test_every_chip_leaves_one_thing_out(site: TestClient) -> None:
    view = View.parse("taxon=Calanus&state=validated,dubious&words=a&part=train&from=2019&box=0,0,5,5&is.group=x&is.group=")
    page = site.get("/explore/results", params=view.query()).text
    for what, count in {"taxon": 1, "state": 2, "words": 1, "part": 1, "date": 1, "place": 1, "group": 2}.items():
        assert page.count(f'data-test="drop-{what}"') == count


def test_a_collection_without_a_specimen(tmp_path: Path) -> None:
    with site_of(Desk(collection_of(tmp_path / "a.cosmos", []))) as site:
        assert "There are no specimens yet" in site.get("/explore").text
        for path in ("/explore/tree", "/explore/facets", "/explore/tiles", "/api/facets", "/api/tree", "/api/specimens"):
            assert site.get(path).status_code == 200
