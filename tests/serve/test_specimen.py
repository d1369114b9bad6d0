"""One specimen: its fields, its place in a view, its history, its rivals; as JSON and as pieces of its page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

import biocosmos as bc
from biocosmos.serve.access import Access
from biocosmos.serve.app import make_app
from biocosmos.serve.catalogue import View
from biocosmos.serve.desk import Desk
from biocosmos.serve.specimen.facts import about, shown, web_address
from biocosmos.serve.specimen.history import history
from biocosmos.tables import write_table

TOKEN = "a-token-of-the-tests"
EVIL = "<script>alert(1)</script>\"'&"


@pytest.fixture(scope="module")
def desk(embedded: bc.Collection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    path = Path(shutil.copytree(embedded.path, tmp_path_factory.mktemp("desk") / "mine.cosmos"))
    collection = bc.Collection.open(path)
    ids = collection.table(["id"])["id"].to_pylist()
    links = ["https://example.org/a?b=1&c=2", "javascript:alert(1)", "http://user:pw@example.org/", EVIL]
    collection.update(pa.table({"id": ids[:4], "reference": links}))
    made = Desk(collection)
    yield made
    made.close()


@pytest.fixture(scope="module")
def site(desk: Desk) -> Any:
    app = make_app(desk, Access.from_settings(users=None, token=TOKEN, host="127.0.0.1"))
    return TestClient(app, base_url="http://127.0.0.1:8765", headers={"Authorization": f"Bearer {TOKEN}"})


@pytest.fixture(scope="module")
def ids(desk: Desk) -> list[str]:
    return desk.catalogue.ids.to_pylist()


def ask(site, path, **parameters):
    return site.get(f"{path}?{urlencode(parameters)}")


# ---------------------------------------------------------------------- fields


def test_all_fields_are_there_and_the_empty_ones_are_named(site, desk, ids):
    found = ask(site, "/api/specimen", id=ids[7]).json()
    row = desk.collection.take([ids[7]]).to_pylist()[0]
    stored = {name: value for name, value in row.items() if name not in ("id", "crop", "content_hash", "width", "height")}
    assert found["fields"] == {name: shown(value) for name, value in stored.items() if value is not None}
    assert {*found["empty"]} == {name for name, value in stored.items() if value is None} - {"image"}
    assert (found["width"], found["height"], found["id"]) == (row["width"], row["height"], ids[7])
    assert [step["name"] for step in found["steps"]][-1] == row["label"]
    assert found["history"] == [found["history"][0]] and found["history"][0]["kind"] == "source"


def test_the_way_down_leads_into_explore(desk, ids):
    found = about(desk.catalogue, ids[7], View())
    for step in found.steps:
        rows = desk.catalogue.rows(View(taxon=step.taxon))
        assert 7 in rows
    assert [step.rank for step in found.steps] == [
        rank for rank in desk.catalogue.taxonomy.ranks if rank in [s.rank for s in found.steps]
    ]


def test_only_addresses_of_the_web_become_links(site, ids):
    for id_, link in zip(ids[:4], [True, False, False, False]):
        page = ask(site, "/specimen", id=id_)
        assert page.status_code == 200
        assert (('href="https://example.org' in page.text) == link and 'rel="noopener noreferrer"' in page.text) or not link
        assert "<script>alert" not in page.text and 'href="javascript' not in page.text


@pytest.mark.parametrize(
    ("value", "is_link"),
    [
        ("https://example.org/a", True),
        ("HTTP://example.org", True),
        ("http://[::1]/a", True),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        (" https://example.org", False),
        ("https://example.org/a b", False),
        ("https://a@example.org", False),
        ("https://", False),
        ("http://[", False),
        ("//example.org", False),
        ("ftp://example.org", False),
        ("https://example.org/\u202etxt", False),
        (12.5, False),
        (None, False),
    ],
)
def test_what_is_an_address(value, is_link):
    assert (web_address(value) == value) if is_link else web_address(value) is None


def test_cells_as_text():
    assert [shown(value) for value in (1.5, 3, "a", [1.0, 2.0], b"abc", True)] == ["1.5", "3", "a", "1, 2", "3 bytes", "True"]
    assert shown("x" * 30_000).endswith("(30,000 letters)")


# ---------------------------------------------------------------------- place in a view


def test_before_and_after_in_a_view(site, desk, ids):
    view = View(taxon="Copepoda", sort="id", reverse=True)
    rows = desk.catalogue.rows(view).tolist()
    for number in (0, 3, len(rows) - 1):
        found = ask(site, "/api/specimen", id=ids[rows[number]], taxon="Copepoda", sort="id", reverse=1).json()["place"]
        assert (found["number"], found["total"]) == (number + 1, len(rows))
        assert found["previous"] == (ids[rows[number - 1]] if number else None)
        assert found["next"] == (ids[rows[number + 1]] if number + 1 < len(rows) else None)


def test_a_specimen_outside_of_the_view_stands_between_two_of_it(desk, ids):
    view = View(taxon="Copepoda")
    rows = desk.catalogue.rows(view)
    outside = int(np.setdiff1d(np.arange(len(ids)), rows)[20])
    place = about(desk.catalogue, ids[outside], view).place
    assert place.number is None and place.total == len(rows)
    assert place.next == ids[rows[rows > outside][0]] and place.previous == ids[rows[rows < outside][-1]]
    nothing = about(desk.catalogue, ids[0], View(words="no such word anywhere")).place
    assert (nothing.total, nothing.previous, nothing.next) == (0, None, None)


def test_a_view_that_does_not_hold_is_refused(site, ids):
    assert ask(site, "/api/specimen", id=ids[0], nonsense="1").status_code == 400
    assert ask(site, "/api/specimen", id=ids[0], taxon="Unheard of").status_code == 400
    assert ask(site, "/specimen", id=ids[0], taxon="Unheard of").status_code == 400


# ---------------------------------------------------------------------- history


def test_the_history_tells_of_source_corrections_machines_and_people(site, desk, ids):
    one = ids[20]
    first = desk.collection.take([one], ["label"])["label"][0].as_py()
    desk.collection.update(pa.table({"id": [one], "label": ["copepod_calanoid"]}), by="ada", note="looked again")
    kept = pa.table(
        {"id": [one], "taxon": ["Copepoda"], "rank": ["class"], "confidence": [0.75], "novel": [True], "method": ["linear"]}
    )
    folder = desk.collection.path / "identifications"
    folder.mkdir(exist_ok=True)
    about_it = {"encoder": {"name": "lite0", "digest": "abcd"}, "biocosmos": "0.1.0"}
    write_table(kept, folder / "20260102T030405000000Z.parquet", about_it)
    desk.annotations.name([one], "Hydrozoa", by="bo", how="specimen")
    desk.annotations.undo("bo")
    desk.annotations.doubt([one], by="bo")
    events = ask(site, "/api/specimen", id=one).json()["history"]
    assert events[0]["kind"] == "source" and events[0]["taxon"] == first
    told = {event["kind"]: event for event in events}
    assert told["machine"]["model"] == "lite0 (weights abcd), biocosmos 0.1.0" and told["machine"]["confidence"] == 0.75
    assert told["machine"]["at"].startswith("2026-01-02T03:04:05") and told["machine"]["note"] == "flagged as novel"
    assert (told["correction"]["by"], told["correction"]["taxon"]) == ("ada", "copepod_calanoid")
    assert "looked again" in told["correction"]["note"] and first in told["correction"]["note"]
    people = [event for event in events if event["kind"] == "person"]
    assert (people[0]["taxon"], people[0]["status"], people[0]["stands"]) == ("Hydrozoa", "validated", False)
    assert people[-1]["status"] == "dubious" and people[-1]["by"] == "bo" and len(people) == 3
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)
    page = ask(site, "/specimen/names", id=one).text
    assert page.count('data-test="event"') == len(events) and "taken back" in page and "dubious" in page


def test_a_hostile_name_is_only_a_name(site, desk, ids):
    desk.annotations.name([ids[30]], EVIL, desk.collection.ranks[-1], by=EVIL, note=EVIL)
    for path in ("/specimen", "/specimen/names"):
        page = ask(site, path, id=ids[30]).text
        assert "<script>alert" not in page and "&lt;script&gt;" in page
    assert ask(site, "/api/specimen", id=ids[30]).json()["name"] == EVIL


def test_history_without_a_name(desk, ids):
    assert [event.kind for event in history(desk.collection, ids[50], [])] == ["source"]


# ---------------------------------------------------------------------- what it is like


def test_the_nearest_are_those_of_an_exact_search(site, desk, ids):
    gallery = desk.collection.gallery(columns=())
    place = gallery.ids.tolist().index(ids[60])
    scores = gallery.vectors.astype(np.float64) @ gallery.vectors[place].astype(np.float64)
    scores[place] = -2
    best = np.argsort(-scores, kind="stable")[:5]
    found = ask(site, "/api/specimen/nearest", id=ids[60]).json()["nearest"]
    assert [each["id"] for each in found] == [gallery.ids[i] for i in best]
    assert np.allclose([each["score"] for each in found], scores[best], atol=1e-5)
    within = ask(site, "/api/specimen/nearest", id=ids[60], k=3, taxon="Copepoda").json()["nearest"]
    rows = desk.catalogue.rows_of_ids([each["id"] for each in within])
    assert len(within) == 3 and np.isin(rows, desk.catalogue.rows(View(taxon="Copepoda"))).all()
    piece = ask(site, "/specimen/nearest", id=ids[60]).text
    assert piece.count('data-test="near"') == 5 and "v=" in piece


def test_two_taxa_side_by_side(site, desk, ids):
    tree, moment = desk.catalogue.taxonomy, desk.catalogue.now
    row = next(row for row in desk.catalogue.rows(View(taxon="Copepoda")).tolist() if moment.nodes[row] > 0)
    found = ask(site, "/api/specimen/against", id=ids[row]).json()
    one, other = found["one"], found["other"]
    assert one["name"] == tree.name(int(moment.nodes[row])) and not found["guessed"]
    for side in (one, other):
        rows = desk.catalogue.rows(View(taxon=side["taxon"]))
        near = desk.catalogue.rows_of_ids([each["id"] for each in side["near"]])
        assert np.isin(near, rows).all() and row not in near and side["specimens"] == len(rows) - (row in rows)
        scores = [each["score"] for each in side["near"]]
        assert scores == sorted(scores, reverse=True) and len(near) == min(5, side["specimens"])
    picked = ask(site, "/api/specimen/against", id=ids[row], taxon="Hydrozoa").json()["other"]
    assert picked["name"] == "Hydrozoa" and picked["specimens"] > 0
    piece = ask(site, "/specimen/against", id=ids[row], taxon="Hydrozoa").text
    assert piece.count('data-test="rival"') == 2 and "Hydrozoa" in piece
    for bad, status in (("Unheard of", 400), (one["taxon"], 400)):
        assert ask(site, "/api/specimen/against", id=ids[row], taxon=bad).status_code == status
        assert 'data-test="reason"' in ask(site, "/specimen/against", id=ids[row], taxon=bad).text


def test_candidates_and_heat(site, desk, ids):
    test = desk.collection.split().part("test").to_pylist()
    train = desk.collection.split().part("train").to_pylist()
    found = ask(site, "/api/specimen/candidates", id=test[0]).json()
    assert found["id"] == test[0] and found["method"] == "linear"
    assert all(0 <= each["confidence"] <= 1 for rank in found["ranks"] for each in rank["taxa"])
    assert 'data-test="candidate"' in ask(site, "/specimen/candidates", id=test[0]).text
    learnt = ask(site, "/api/specimen/candidates", id=train[0])
    assert learnt.status_code == 400 and "learnt" in learnt.json()["error"]
    assert 'data-test="reason"' in ask(site, "/specimen/candidates", id=train[0]).text
    heat = ask(site, "/image/heat", id=test[0], taxon="Copepoda")
    assert heat.headers["content-type"] == "image/png" and heat.content.startswith(b"\x89PNG")
    assert 'data-test="heat-map"' in ask(site, "/specimen/heat", id=test[0], taxon="Copepoda").text
    none = ask(site, "/image/heat", id=test[0], taxon="Unheard of")
    assert none.status_code == 200 and none.headers["content-type"] == "image/svg+xml"
    assert "Unheard of" in ask(site, "/specimen/heat", id=test[0], taxon="Unheard of").text


def test_kept_candidates_come_before_the_namer(desk, site, ids):
    train = desk.collection.split().part("train").to_pylist()[5]
    row = {"id": train, "class": "Copepoda", "class_confidence": 0.9, "class_2": "Hydrozoa", "class_2_confidence": 0.08}
    row |= {"taxon": "Copepoda", "rank": "class", "confidence": 0.9, "novelty": 0.1, "method": "by hand"}
    write_table(pa.Table.from_pylist([row]), desk.collection.path / "identifications" / "20260401T030405000000Z.parquet", {})
    found = ask(site, "/api/specimen/candidates", id=train).json()
    assert (found["method"], found["kept"], found["taxon"]) == ("by hand", "2026-04-01 03:04:05", "Copepoda")
    assert [each["taxon"] for each in found["ranks"][0]["taxa"]] == ["Copepoda", "Hydrozoa"]


# ---------------------------------------------------------------------- nobody


PATHS = ["/specimen", "/specimen/names", "/specimen/candidates", "/specimen/nearest", "/specimen/against", "/specimen/heat"]
PATHS += ["/image/heat", "/api/specimen", "/api/specimen/nearest", "/api/specimen/candidates", "/api/specimen/against"]


@pytest.mark.parametrize("path", PATHS)
def test_nobody_is_not_found_and_a_stranger_sees_nothing(site, ids, path):
    for id_ in ("nobody", "../../etc/passwd", "' OR 1=1 --", EVIL, ""):
        found = ask(site, path, id=id_)
        assert found.status_code == 404, (path, id_)
        assert ("<script>alert" not in found.text or path.startswith("/api")) and "Traceback" not in found.text
    stranger = site.get(f"{path}?id={ids[0]}", headers={"Authorization": ""}, follow_redirects=False)
    assert stranger.status_code in (303, 401)


def test_where_a_grid_begins_that_comes_back_to_a_specimen(site, desk, ids):
    rows = desk.catalogue.rows(View(sort="id")).tolist()
    for place in (0, 9, 10, 157, len(rows) - 1):
        found = ask(site, "/api/specimen/place", id=ids[rows[place]], sort="id", size=10).json()
        assert (found["place"], found["in_view"], found["total"]) == (place, True, len(rows))
        assert found["ends"] == [ids[rows[at]] for at in range(9, place // 10 * 10, 10)]
    empty = ask(site, "/api/specimen/place", id=ids[3], words="no such word").json()
    assert (empty["total"], empty["ends"], empty["in_view"]) == (0, [], False)
    assert ask(site, "/api/specimen/place", id="nobody").status_code == 404
