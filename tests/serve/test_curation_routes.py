"""Tags and saved views over HTTP, filters of the grid by them, and undo of whatever came last."""

from __future__ import annotations

import pytest
from clustered import Site


@pytest.fixture
def site(tiny_collection, monkeypatch):
    made = Site(tiny_collection.path, monkeypatch)
    yield made
    made.close()


def ok(response):
    assert response.status_code == 200, response.text
    return response.json()


def test_a_selection_or_a_view_is_tagged_and_filtered_by(site):
    ada, ids = site(), site.ids(5)
    assert ok(ada.post("/api/tags", json={"name": "blurred", "ids": ids})) == {"act": 1, "count": 5}
    assert ok(ada.post("/api/tags", json={"name": "blurred", "ids": ids[:2]}))["act"] is None
    assert [each["id"] for each in ok(ada.get("/api/specimens", params={"tag": "blurred"}))["specimens"]] == ids
    ok(ada.post("/api/tags", json={"name": "sharp", "view": "tag=blurred&sort=id"}))
    ok(ada.post("/api/tags", json={"name": "sharp", "ids": ids[1:], "remove": True}))
    assert ok(ada.get("/api/specimens", params={"tag": ["blurred", "sharp"]}))["total"] == 1
    told = ok(ada.get("/api/tags", params={"id": ids[:2]}))
    assert told["of"] == {ids[0]: ["blurred", "sharp"], ids[1]: ["blurred"]}
    assert {each["name"]: each["count"] for each in told["tags"]} == {"blurred": 5, "sharp": 1}
    assert ok(ada.get("/api/facets"))["tags"] == {"blurred": 5, "sharp": 1}


def test_undo_takes_back_whatever_came_last_of_ones_own(site):
    ada, bob, ids = site("ada"), site("bob"), site.ids(4)
    ok(ada.post("/api/tags", json={"name": "t", "ids": ids}))
    ok(ada.post("/api/labels", json={"ids": ids, "taxon": "Copepoda"}))
    ok(ada.post("/api/views", json={"name": "mine", "query": "tag=t"}))
    ok(bob.post("/api/tags", json={"name": "t", "ids": ids[:1], "remove": True}))
    said = [ok(ada.post("/api/undo"))["undone"] for _ in range(4)]
    assert [each and (each.get("what") or each.get("says")) for each in said] == [
        "save view “mine”",
        "4 named Copepoda",
        "tag “t” (4 specimens)",
        None,
    ]
    assert ok(ada.get("/api/tags"))["tags"] == [] and ok(ada.get("/api/views"))["views"] == []
    assert ok(bob.post("/api/undo"))["undone"]["what"] == "untag “t” (1 specimens)"


def test_views_are_kept_as_their_canonical_address(site):
    ada = site()
    saved = ok(ada.post("/api/views", json={"name": " my  view ", "query": "?sort=id&words=copepod&reverse=1"}))
    assert saved["query"] == "words=copepod&sort=id&reverse=1"
    (view,) = ok(site("vera", "viewer").get("/api/views"))["views"]
    assert (view["name"], view["query"], view["by"]) == ("my view", saved["query"], "ada")
    assert ok(ada.delete("/api/views", params={"name": "my view"}))["count"] == 1
    assert ada.delete("/api/views", params={"name": "my view"}).status_code == 400


def test_tags_are_renamed_and_deleted(site):
    ada, ids = site(), site.ids(3)
    ok(ada.post("/api/tags", json={"name": "a", "ids": ids[:2]}))
    ok(ada.post("/api/tags", json={"name": "b", "ids": ids[1:]}))
    ok(ada.post("/api/tags/rename", json={"name": "a", "new": "b"}))
    assert [(each["name"], each["count"]) for each in ok(ada.get("/api/tags"))["tags"]] == [("b", 3)]
    ok(ada.delete("/api/tags", params={"name": "b"}))
    assert ok(ada.get("/api/tags"))["tags"] == []
    assert "no tag 'b'" in ada.post("/api/tags/rename", json={"name": "b", "new": "c"}).json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/tags", {"name": "t", "ids": ["x"]}),
        ("POST", "/api/tags/rename", {"name": "t", "new": "u"}),
        ("DELETE", "/api/tags?name=t", None),
        ("POST", "/api/views", {"name": "v", "query": ""}),
        ("DELETE", "/api/views?name=v", None),
    ],
)
def test_a_viewer_changes_nothing(site, method, path, body):
    assert site("vera", "viewer").request(method, path, json=body).status_code == 403


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"name": "t"}, "say which specimens"),
        ({"name": "t", "ids": ["x"], "view": ""}, "say which specimens"),
        ({"name": "t", "ids": ["x"]}, "there is no specimen 'x'"),
        ({"name": "t", "ids": []}, "selection is empty"),
        ({"name": " ", "view": ""}, "needs a name"),
        ({"name": "t", "view": "taxon=nothing+of+this+name"}, "nothing of this name"),
        ({"name": "t", "view": "is.label'; DROP TABLE tagged=1"}, "no column"),
        ({"name": "t", "view": "sort=sideways"}, "sideways"),
    ],
)
def test_what_cannot_be_tagged_is_refused_in_one_line(site, body, says):
    refused = site().post("/api/tags", json=body)
    assert refused.status_code == 400 and says in refused.json()["error"] and "\n" not in refused.json()["error"]
    assert site.desk.curation.acts() == []
