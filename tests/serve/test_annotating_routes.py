"""Naming, undo, tallies and queues as JSON; who may do what; and the page of review."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient

import biocosmos as bc
from biocosmos.serve.access import Access, User, gate
from biocosmos.serve.app import make_app
from biocosmos.serve.desk import Desk
from biocosmos.specimens import by_hand

TOKEN = "a-token-of-the-tests"
Site = Callable[..., TestClient]


@pytest.fixture
def desk(tiny_collection: bc.Collection) -> Iterator[Desk]:
    made = Desk(tiny_collection)
    _ = made.annotations, made.queues
    yield made
    made.annotations.close()


@pytest.fixture
def as_(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A client of somebody: ``as_("ada", "annotator")``."""
    access = Access.from_settings(users=None, token=TOKEN, host="127.0.0.1")
    app = make_app(desk, access)
    who: dict[str, User] = {}

    monkeypatch.setattr(gate._Passage, "find_user", lambda self: (who[self.request.headers["x-test-user"]], False))

    def client(name: str = "ada", role: str = "annotator") -> TestClient:
        who[name] = User(name, role)  # type: ignore[arg-type]
        headers = {"Authorization": f"Bearer {TOKEN}", "X-Test-User": name}
        return TestClient(app, base_url="http://127.0.0.1:8765", headers=headers)

    return client


def ids_of(desk: Desk, count: int) -> list[str]:
    return desk.catalogue.ids.slice(0, count).to_pylist()


def test_labels_are_posted_once_and_undone(as_, desk):
    ada, ids = as_(), ids_of(desk, 5)
    done = ada.post("/api/labels", json={"ids": [*ids, "nobody"], "taxon": "Copepoda", "rank": "class", "how": "review: random"})
    assert done.status_code == 200
    body = done.json()
    assert (body["count"], body["taxon"], body["rank"], body["new"]) == (5, "Copepoda", "class", False)
    assert body["refused"] == [{"id": "nobody", "reason": "no specimen of the collection has this id"}]
    assert (
        body["tally"] | {"rate": 0} == {"by": "ada", "named": 5, "undone": 0, "hour": 5, "day": 5, "rate": 0}
        or body["tally"]["day"] < 5
    )
    assert ada.get("/api/acts", params={"mine": True}).json()["acts"][0]["says"] == "5 named Copepoda"
    undone = ada.post("/api/undo", json={}).json()["undone"]
    assert (undone["says"], undone["rows"], sorted(undone["ids"])) == ("5 named Copepoda", 5, sorted(ids))
    assert ada.post("/api/undo", json={}).json()["undone"] is None
    assert [each["by"] for each in ada.get("/api/tallies").json()["tallies"]] == ["ada"]


def test_a_whole_view_is_named_by_its_query(as_, desk):
    rows = len(desk.catalogue.rows(desk.view("taxon=class:Copepoda")))
    done = as_().post("/api/labels", json={"view": "taxon=class%3ACopepoda", "taxon": "Hydrozoa"}).json()
    assert done["count"] == rows > 0
    assert not len(desk.catalogue.rows(desk.view("taxon=class:Copepoda")))


def test_a_doubt_and_a_new_name(as_, desk):
    ada, ids = as_(), ids_of(desk, 2)
    assert ada.post("/api/labels", json={"ids": ids[:1], "status": "dubious"}).json()["count"] == 1
    done = ada.post("/api/labels", json={"ids": ids, "taxon": "Oithona sp. 7", "rank": "genus"}).json()
    assert done["new"] and done["count"] == 2
    assert by_hand.current(desk.collection)["taxon"].to_pylist() == ["Oithona sp. 7"] * 2


@pytest.mark.parametrize(
    "body, why",
    [
        ({"taxon": "Copepoda"}, "say which specimens"),
        ({"ids": [], "taxon": "Copepoda"}, "no specimen is selected"),
        ({"ids": ["a"], "view": "", "taxon": "Copepoda"}, "say which specimens"),
        ({"view": "taxon=Nothing", "taxon": "Copepoda"}, "Nothing"),
        ({"ids": ["a"]}, "no name is given"),
        ({"ids": ["a"], "taxon": "Copepodo"}, "a new name needs a rank"),
    ],
)
def test_what_cannot_be_named_says_why(as_, desk, body, why):
    answer = as_().post("/api/labels", json=body)
    assert answer.status_code == 400 and why in answer.json()["error"]
    assert not len(by_hand.history(desk.collection))


def test_too_many_ids_are_refused(as_):
    assert as_().post("/api/labels", json={"ids": ["a"] * 50_001, "taxon": "Copepoda"}).status_code == 422


def test_two_users_do_not_undo_one_another(as_, desk):
    ada, bo, ids = as_("ada"), as_("bo"), ids_of(desk, 3)
    ada.post("/api/labels", json={"ids": ids, "taxon": "Copepoda"})
    bo.post("/api/labels", json={"ids": ids[:1], "taxon": "Hydrozoa"})
    assert ada.post("/api/undo", json={}).json()["undone"]["says"] == "3 named Copepoda"
    assert by_hand.current(desk.collection)["taxon"].to_pylist() == ["Hydrozoa"]


def test_a_viewer_sees_and_does_not_name(as_, desk):
    viewer, ids = as_("vi", "viewer"), ids_of(desk, 1)
    for path, body in [("/api/labels", {"ids": ids, "taxon": "Copepoda"}), ("/api/undo", {}), ("/api/labels/take-over", {})]:
        assert viewer.post(path, json=body).status_code == 403
    assert viewer.get("/api/queue").status_code == 403
    assert viewer.get("/api/tallies").status_code == 200
    page = viewer.get("/review")
    assert page.status_code == 200 and "data-may-name" not in page.text
    assert as_("ada").post("/api/labels/take-over", json={}).status_code == 403


def test_a_queue_as_json(as_, desk):
    ada = as_()
    body = ada.get("/api/queue", params={"kind": "random", "count": 5}).json()
    assert body["left"] == 120 and len(body["specimens"]) == 5 and body["missing"] is None
    one = body["specimens"][0]
    assert {"id", "name", "state", "hash", "score", "proposed", "names"} <= set(one)
    assert one["proposed"]["taxon"] == one["name"] and one["names"][0]["by"] == "label"
    again = ada.get("/api/queue/specimens", params={"ids": [one["id"], "nobody"], "kind": "random"}).json()["specimens"]
    assert [each["id"] for each in again] == [one["id"]]
    other = as_("bo").get("/api/queue", params={"kind": "random", "count": 5}).json()
    assert not {each["id"] for each in other["specimens"]} & {each["id"] for each in body["specimens"]}
    taxon = body["taxa"][0]
    only = ada.get("/api/queue", params={"kind": "random", "proposed": taxon["address"], "count": 500}).json()
    assert only["left"] == taxon["count"] and {each["proposed"]["taxon"] for each in only["specimens"]} == {taxon["taxon"]}
    within = ada.get("/api/queue", params={"kind": "random", "taxon": taxon["address"], "count": 500}).json()
    assert within["left"] <= 120
    assert ada.get("/api/queue", params={"kind": "nothing"}).status_code == 400
    assert ada.get("/api/queue", params={"kind": "random", "colour": "red"}).status_code == 400
    assert ada.get("/api/queue/counts").json()["counts"]["random"] == 120
    assert ada.get("/api/queue", params={"kind": "unsure"}).json()["missing"]["href"] == "/jobs"


def test_names_are_taken_over_as_labels_by_an_admin_and_written_back(as_, desk):
    ids = ids_of(desk, 2)
    before = desk.collection.table(["id", "label", "class"]).to_pylist()
    as_("ada").post("/api/labels", json={"ids": ids, "taxon": "chaetognath_sagitta"})
    as_("bo").post("/api/labels", json={"ids": ids[:1], "taxon": "Copepoda"})
    admin = as_("root", "admin")
    dry = admin.post("/api/labels/take-over", json={"dry_run": True}).json()
    assert dry["number"] is None and dry["specimens"] <= 1 and dry["left"][0]["count"] == 1
    assert desk.collection.table(["id", "label", "class"]).to_pylist() == before
    done = admin.post("/api/labels/take-over", json={"dry_run": False}).json()
    assert done["specimens"] == dry["specimens"]
    if done["number"] is not None:
        assert admin.post(f"/api/labels/take-over/{done['number']}/undo").json()["specimens"] == done["specimens"]
    assert desk.collection.table(["id", "label", "class"]).to_pylist() == before
    assert admin.post("/api/labels/take-over/99/undo").status_code == 400


def test_the_page_of_review(as_, desk):
    page = as_().get("/review", params={"kind": "against", "mode": "grid", "taxon": "class:Copepoda"})
    assert page.status_code == 200
    assert 'data-kind="against"' in page.text and 'data-mode="grid"' in page.text and "taxon=class:Copepoda" in page.text
    assert "take-over" not in page.text and 'data-test="take-over"' in as_("root", "admin").get("/review").text
    assert as_().get("/review", params={"kind": "<script>", "mode": "x"}).text.count("<script>") == 0
    assert as_().get("/review", params={"nonsense": "1"}).status_code == 400
