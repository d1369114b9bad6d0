"""Clusters as JSON: proposed, looked at, grown, merged, split, named and taken back; by two users at once; after a restart."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from clustered import KEPT, Site, unnamed

import biocosmos as bc
from biocosmos.discover import kept
from biocosmos.serve.clusters import clusters as room


@pytest.fixture
def site(embedded, tmp_path, monkeypatch):
    made = Site(unnamed(embedded, tmp_path), monkeypatch)
    yield made
    made.close()


def ok(response):
    assert response.status_code == 200, response.text
    return response.json()


def proposed(client, size=30):
    names = ok(client.post("/api/clusters/propose", json={"size": size}))["clusters"]
    return names, {each["name"]: each for each in ok(client.get("/api/clusters", params={"count": 500}))["clusters"]}


def test_from_nothing_to_names_and_back(site):
    ada = site()
    empty = ok(ada.get("/api/clusters"))
    assert empty["clusters"] == [] and empty["ready"] and empty["progress"]["named"] == KEPT
    names, tiles = proposed(ada)
    assert set(names) == set(tiles) and sum(tile["size"] for tile in tiles.values()) == 300 - KEPT
    first = tiles[names[0]]
    assert 1 <= len(first["shown"]) <= 4 and first["shown"][0]["state"] == "unlabelled" and first["density"] > 0
    assert first["guess"] and 0 < first["sure"] <= 1  # of the nearest that have a name
    one = ok(ada.get("/api/clusters/one", params={"name": names[0]}))
    members = [each["id"] for each in one["members"]]
    assert len(members) == first["size"] and one["members"][0]["id"] == first["shown"][0]["id"]
    border = ok(ada.get("/api/clusters/one", params={"name": names[0], "order": "border", "count": 5}))
    assert [each["id"] for each in border["members"]] == members[::-1][:5] and border["next"] == 5
    done = ok(
        ada.post(
            "/api/clusters/name",
            json={"cluster": names[0], "taxon": "Copepoda", "shown": members, "strangers": members[-2:]},
        )
    )
    assert (done["count"], done["taxon"], done["refused"]) == (len(members) - 2, "Copepoda", [])
    assert done["progress"]["named"] == KEPT + len(members) - 2 and done["cluster"]["size"] == 0
    assert site.desk.catalogue.count(site.desk.view("state=validated&taxon=Copepoda")) >= len(members) - 2
    assert names[0] not in {each["name"] for each in ok(ada.get("/api/clusters"))["clusters"]}
    assert ok(ada.post("/api/undo"))["undone"]["says"].endswith("named Copepoda")
    assert ok(ada.get("/api/clusters/one", params={"name": names[0]}))["cluster"]["size"] == len(members) - 2
    assert ok(ada.post("/api/undo"))["undone"]["what"] == "a page that was looked at"
    assert ok(ada.get("/api/clusters/one", params={"name": names[0]}))["cluster"]["size"] == len(members)
    assert ok(ada.post("/api/undo"))["undone"]["what"] == "new clusters"
    assert ok(ada.get("/api/clusters"))["total"] == 0 and ok(ada.post("/api/undo"))["undone"] is None


def test_sorting_and_pages_of_clusters(site):
    ada = site()
    names, tiles = proposed(ada, 12)
    by_size = ok(ada.get("/api/clusters", params={"sort": "size", "count": 500}))["clusters"]
    sizes = [tile["size"] for tile in by_size]
    assert sizes == sorted(sizes, reverse=True)
    back = ok(ada.get("/api/clusters", params={"sort": "size", "reverse": True, "count": 500}))["clusters"]
    assert [tile["name"] for tile in back] == [tile["name"] for tile in by_size][::-1]
    first = ok(ada.get("/api/clusters", params={"sort": "size", "count": 3}))
    rest = ok(ada.get("/api/clusters", params={"sort": "size", "count": 500, "start": first["next"]}))
    assert [each["name"] for each in first["clusters"] + rest["clusters"]] == [each["name"] for each in by_size]
    assert rest["next"] is None and len(tiles) == len(names)
    guesses = [tile["guess"] for tile in ok(ada.get("/api/clusters", params={"sort": "name"}))["clusters"]]
    assert guesses == sorted(guesses, key=str.lower)
    one = ok(ada.get("/api/clusters/one", params={"name": by_size[1]["name"], "sort": "size"}))
    assert (one["before"], one["after"], one["place"]) == (by_size[0]["name"], by_size[2]["name"], 2)


def test_merge_split_put_aside(site):
    ada = site()
    names, tiles = proposed(ada)
    alike = ok(ada.get("/api/clusters/alike", params={"name": names[0], "count": 3}))["clusters"]
    assert len(alike) == 3 and names[0] not in {each["name"] for each in alike}
    merged = ok(ada.post("/api/clusters/merge", json={"clusters": [names[0], alike[0]["name"]]}))["cluster"]
    assert merged["name"] == names[0] and merged["size"] == tiles[names[0]]["size"] + alike[0]["size"]
    parts = ok(ada.post("/api/clusters/split", json={"cluster": names[0], "parts": 3}))["clusters"]
    assert sum(part["size"] for part in parts) == merged["size"]
    ok(ada.post("/api/clusters/dissolve", json={"cluster": parts[0]["name"]}))
    assert ok(ada.get("/api/clusters"))["total"] == len(names) - 2 + len(parts) - 1
    for what in ("a cluster put aside", "a split", "a merger"):
        assert ok(ada.post("/api/undo"))["undone"]["what"] == what
    assert {each["name"] for each in ok(ada.get("/api/clusters"))["clusters"]} == set(names)


def test_a_cluster_grows_until_strangers_come(site):
    ada = site()
    names, _ = proposed(ada, 10)
    vectors = dict(zip(site.desk.clusters._session().ids, site.desk.clusters._session().vectors))
    members = [each["id"] for each in ok(ada.get("/api/clusters/one", params={"name": names[0]}))["members"]]
    mean = np.mean([vectors[id_] for id_ in members], axis=0)
    page = ok(ada.post("/api/clusters/grow", json={"cluster": names[0]}))
    ids = [each["id"] for each in page["specimens"]]
    near = [float(vectors[id_] @ mean) for id_ in ids]
    assert near == sorted(near, reverse=True) and not set(ids) & set(members) and page["number"] == 1
    looks = 0
    while not page["done"]:
        ids = [each["id"] for each in page["specimens"]]
        odd = [id_ for id_ in ids if vectors[id_] @ mean < near[20]]
        page = ok(ada.post("/api/clusters/grow", json={"cluster": names[0], "shown": ids, "strangers": odd}))
        looks += 1
    assert looks >= 1 and page["cluster"]["size"] == len(members) + 21
    ok(ada.post("/api/clusters/name", json={"cluster": names[0], "taxon": "Hydrozoa"}))
    again = ok(ada.post("/api/clusters/grow", json={"cluster": names[0]}))  # a cluster that has its name grows still
    ids = [each["id"] for each in again["specimens"]]
    assert ids and not set(ids) & set(members)
    stopped = ok(ada.post("/api/clusters/grow", json={"cluster": names[0], "stop": True}))
    assert stopped["done"] and stopped["joined"] == 0


def test_views_filter_by_a_cluster(site):
    ada = site()
    names, tiles = proposed(ada)
    found = ok(ada.get("/api/specimens", params={"cluster": names[0], "count": 100}))
    assert found["total"] == tiles[names[0]]["size"]
    ok(ada.post("/api/clusters/name", json={"cluster": names[0], "taxon": "Copepoda"}))
    assert ok(ada.get("/api/specimens", params={"cluster": names[0]}))["total"] == tiles[names[0]]["size"]  # named ones too
    assert ada.get("/api/specimens", params={"cluster": "no such"}).status_code == 400


def test_two_users_at_once_lose_nothing_and_take_back_their_own(site):
    ada, bob = site("ada"), site("bob")
    names, tiles = proposed(ada)
    ok(bob.post("/api/clusters/name", json={"cluster": names[0], "taxon": "Copepoda"}))
    ok(ada.post("/api/clusters/name", json={"cluster": names[1], "taxon": "Hydrozoa"}))
    again = ada.post("/api/clusters/name", json={"cluster": names[0], "taxon": "Hydrozoa"})
    assert again.status_code == 400 and "no member without a name" in again.json()["error"]
    progress = ok(bob.get("/api/clusters"))["progress"]
    assert progress["named"] == KEPT + tiles[names[0]]["size"] + tiles[names[1]]["size"]
    assert progress["mine"] == tiles[names[0]]["size"]
    ok(bob.post("/api/undo"))
    assert ok(ada.get("/api/clusters/one", params={"name": names[0]}))["cluster"]["size"] == tiles[names[0]]["size"]
    assert ok(ada.get("/api/clusters/one", params={"name": names[1]}))["cluster"]["size"] == 0
    assert ok(bob.post("/api/undo"))["undone"] is None  # the clusters are ada's


def test_after_a_restart_all_is_there(site, monkeypatch):
    ada = site()
    names, _ = proposed(ada)
    ok(ada.post("/api/clusters/merge", json={"clusters": names[:2]}))
    ok(ada.post("/api/clusters/name", json={"cluster": names[2], "taxon": "Copepoda"}))
    before = ok(ada.get("/api/clusters", params={"count": 500}))["clusters"]
    site.close()
    other = Site(site.desk.collection.path, monkeypatch)
    ada = other()
    assert ok(ada.get("/api/clusters", params={"count": 500}))["clusters"] == before
    assert "Copepoda" in ok(ada.post("/api/undo"))["undone"]["says"]
    assert ok(ada.post("/api/undo"))["undone"]["what"] == "a merger"
    assert {each["name"] for each in ok(ada.get("/api/clusters"))["clusters"]} == set(names)
    other.close()


def test_clusters_of_a_job_are_taken_over(site):
    ada = site()
    assert ok(ada.get("/api/clusters"))["newer"] is None
    ids = site.ids(300)
    table = pa.table({"id": ids, "cluster": [i % 5 for i in range(300)], "typicality": np.linspace(1, 0, 300)})
    found = kept.keep(site.desk.collection, "clusters", table, {})
    assert ok(ada.get("/api/clusters"))["newer"]["name"] == found.name
    names = ok(ada.post("/api/clusters/propose", json={"source": "kept"}))["clusters"]
    assert len(names) == 5 and ok(ada.get("/api/clusters"))["newer"] is None


def test_many_specimens_are_clustered_by_a_job(site, monkeypatch):
    monkeypatch.setattr(room, "MOST_AT_ONCE", 100)
    ada = site()
    job = ok(ada.post("/api/clusters/propose", json={"size": 50}))["job"]
    assert job["kind"] == "clusters" and job["settings"]["method"] == "kmeans" and job["settings"]["clusters"] == 5
    assert ok(ada.get("/api/clusters"))["too_many"] == 300 - KEPT
    site.desk.work.cancel(job["id"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("propose", {}),
        ("look", {"cluster": "x", "shown": [], "strangers": []}),
        ("name", {"cluster": "x", "taxon": "Copepoda"}),
        ("grow", {"cluster": "x"}),
        ("merge", {"clusters": ["x", "y"]}),
        ("split", {"cluster": "x"}),
        ("dissolve", {"cluster": "x"}),
    ],
)
def test_who_may_only_look_changes_nothing(site, path, body):
    assert site("vera", "viewer").post(f"/api/clusters/{path}", json=body).status_code == 403
    if path != "propose":
        refused = site().post(f"/api/clusters/{path}", json=body)
        assert refused.status_code == 400 and "no cluster 'x'" in refused.json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        {"cluster": "x" * 201, "taxon": "a"},
        {"cluster": "x", "taxon": ""},
        {"cluster": "x", "taxon": "a", "shown": ["i"] * 50_001},
        {"cluster": ["x"], "taxon": "a"},
        [],
    ],
)
def test_what_does_not_fit_is_refused(site, body):
    assert site().post("/api/clusters/name", json=body).status_code == 422


def test_ids_that_are_not_there_and_names_of_nothing_are_refused(site):
    ada = site()
    names, _ = proposed(ada)
    look = {"cluster": names[0], "shown": ["../../etc/passwd"], "strangers": []}
    assert "is not on this page" in ada.post("/api/clusters/look", json=look).json()["error"]
    refused = ada.post("/api/clusters/name", json={"cluster": names[0], "taxon": "no such taxon"})
    assert refused.status_code == 400
    assert ok(ada.get("/api/clusters/one", params={"name": names[0]}))["cluster"]["size"] > 0
    assert ada.post("/api/clusters/split", json={"cluster": names[0], "parts": 100}).status_code == 400
    assert ada.get("/clusters/one", params={"name": "<script>alert(1)</script>"}).status_code == 400
    assert "<script>alert" not in ada.get("/clusters/one", params={"name": "<script>alert(1)</script>"}).text


def test_without_vectors_the_page_says_what_to_do(tiny_collection, monkeypatch):
    site = Site(tiny_collection.path, monkeypatch)
    assert ok(site().get("/api/clusters"))["ready"] is False
    assert "Compute vectors" in site().get("/clusters").text
    assert site().post("/api/clusters/propose", json={}).status_code == 400
    site.close()


def test_specimens_that_are_removed_are_asked_about_no_more(site):
    ada = site()
    names, tiles = proposed(ada)
    gone = [each["id"] for each in tiles[names[0]]["shown"]]
    bc.Collection.open(site.desk.collection.path).remove(gone)
    site.desk.catalogue.refresh(wait=True)
    assert ok(ada.get("/api/clusters/one", params={"name": names[0]}))["cluster"]["size"] == tiles[names[0]]["size"] - len(gone)
