"""Jobs, models and reports over HTTP, from a real server: streams, roles, uploads, refusals, kill -9 and restart."""

from __future__ import annotations

import io
import json
import signal
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

import biocosmos as bc
from biocosmos.serve.access.accounts import changed_account
from browsing import TOKEN, Server, copy_of

PATIENCE = 240.0


def client(server: Server, **more: Any) -> httpx.Client:
    return httpx.Client(base_url=server.address, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60, **more)


@pytest.fixture(scope="module")
def api(shared_server: Server) -> Iterator[httpx.Client]:
    with client(shared_server) as found:
        yield found


def until(api: httpx.Client, id: str, *states: str) -> dict[str, Any]:
    end = time.monotonic() + PATIENCE
    while True:
        job: dict[str, Any] = api.get(f"/api/jobs/{id}").json()
        if job["status"] in (states or ("done", "failed", "cancelled", "lost")):
            return job
        assert time.monotonic() < end, job
        time.sleep(0.15)


def events(api: httpx.Client, id: str, **headers: str) -> list[dict[str, str]]:
    """The events of a stream, read to its end."""
    with api.stream("GET", f"/api/jobs/{id}/events", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream") and answer.headers["cache-control"] == "no-store"
        text = "".join(answer.iter_text())
    blocks = [block for block in text.split("\n\n") if block and not block.startswith((":", "retry:"))]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]  # type: ignore[misc]


def png(colour: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (24, 20), colour).save(out, "PNG")
    return out.getvalue()


def test_a_job_is_started_followed_and_its_file_saved(api: httpx.Client) -> None:
    job = api.post("/api/jobs", json={"kind": "export", "settings": {"format": "csv", "split": "test"}}).json()
    told = events(api, job["id"])
    assert told[-1]["event"] == "end" and json.loads(told[-1]["data"])["status"] == "done"
    log = "".join(json.loads(one["data"])["text"] for one in told if one["event"] == "log")
    assert log == api.get(f"/api/jobs/{job['id']}/log").json()["text"] and "specimens" in log
    assert [one["event"] for one in events(api, job["id"], **{"Last-Event-ID": told[-1]["id"]})] == ["job", "end"]
    found = api.get(f"/api/jobs/{job['id']}").json()
    saved = api.get(f"/api/jobs/{job['id']}/files/{found['made'][0]}")
    assert saved.status_code == 200 and saved.headers["content-disposition"].startswith("attachment") and b"id" in saved.content
    assert found["id"] in [one["id"] for one in api.get("/api/jobs").json()["jobs"]]
    assert found["id"] not in [one["id"] for one in api.get("/api/jobs", params={"active": True}).json()["jobs"]]


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ({"kind": "rm"}, 400),
        ({"kind": "export", "settings": {"output": "/etc/passwd"}}, 400),
        ({"kind": "ingest", "settings": {}}, 400),
        ({"kind": "evaluate", "settings": {"title": "../x"}}, 400),
        ({"kind": "x" * 100}, 422),
        ({"settings": {}}, 422),
        ({"kind": "export", "settings": []}, 422),
    ],
)
def test_what_cannot_be_is_one_line(api: httpx.Client, wanted: dict[str, Any], status: int) -> None:
    answer = api.post("/api/jobs", json=wanted)
    assert answer.status_code == status, answer.text
    assert "\n" not in answer.json()["error"] and "Traceback" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/api/jobs/nosuch",
        "/api/jobs/20261129T101500123-1f0c9a3e",
        "/api/jobs/20261129T101500123-1f0c9a3e/log",
        "/api/jobs/20261129T101500123-1f0c9a3e/events",
        "/api/jobs/20261129T101500123-1f0c9a3e/files/x",
        "/api/jobs/..%2f..%2fcollection.json",
        "/reports/file/nosuch.html",
        "/reports/file/..%2fcollection.json",
        "/reports?open=../collection.json",
    ],
)
def test_what_is_not_there_is_not_there(api: httpx.Client, path: str) -> None:
    assert api.get(path).status_code == 404


def test_images_that_are_uploaded_become_specimens_with_their_folders_as_labels(api: httpx.Client) -> None:
    files = [("files", ("Rotifera/a.png", png())), ("files", ("Copepoda/b.png", png((3, 200, 8))))]
    answer = api.post("/api/jobs/upload", files=files, data={"settings": json.dumps({"id_prefix": "new/", "ranks": ["class"]})})
    assert answer.status_code == 200, answer.text
    job = until(api, answer.json()["id"])
    assert job["status"] == "done", api.get(f"/api/jobs/{job['id']}/log").json()["text"]
    assert "2 specimens added" in api.get(f"/api/jobs/{job['id']}/log").json()["text"]


def test_a_zip_of_images_is_unpacked(api: httpx.Client) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("Rotifera/c.png", png((9, 9, 200)))
        archive.writestr("__MACOSX/._c.png", b"x")
    answer = api.post(
        "/api/jobs/upload", files=[("files", ("more.zip", out.getvalue()))], data={"settings": '{"id_prefix": "z/"}'}
    )
    job = until(api, answer.json()["id"])
    assert job["status"] == "done", api.get(f"/api/jobs/{job['id']}/log").json()["text"]


LEADS_OUT = ["../../evil.png", "/etc/evil.png", "a/../../evil.png", ".hidden", "a\\..\\..\\evil.png", "a/" * 20]


@pytest.mark.parametrize("name", LEADS_OUT)
def test_a_file_whose_name_leads_out_is_refused_and_leaves_nothing(api: httpx.Client, shared_server: Server, name: str) -> None:
    before = {path.name for path in (shared_server.collection / "web" / "jobs").glob("*")}
    answer = api.post("/api/jobs/upload", files=[("files", (name, png()))])
    assert answer.status_code in (400, 422), answer.text
    assert {path.name for path in (shared_server.collection / "web" / "jobs").glob("*")} == before
    assert not list(shared_server.collection.parent.rglob("evil.png"))


def test_a_zip_that_leads_out_writes_nothing_outside(api: httpx.Client, shared_server: Server) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("../../../evil.png", png())
        archive.writestr("good.png", png())
    api.post("/api/jobs/upload", files=[("files", ("evil.zip", out.getvalue()))], data={"settings": '{"id_prefix": "e/"}'})
    assert not list(shared_server.collection.parent.rglob("evil.png"))


def test_reports_are_listed_and_none_of_their_scripts_runs(api: httpx.Client, shared_server: Server) -> None:
    folder = shared_server.collection / "reports"
    folder.mkdir(exist_ok=True)
    (folder / "evil.html").write_text("<title>A &lt;b&gt; report</title><script>alert(1)</script>")
    (folder / "link.html").symlink_to(shared_server.collection / "collection.json")
    (folder / "other.txt").write_text("no report")
    listed = {one["name"]: one for one in api.get("/api/reports").json()["reports"]}
    assert listed["evil.html"]["title"] == "A <b> report" and not {"link.html", "other.txt"} & set(listed)
    shown = api.get("/reports/file/evil.html")
    policy = shown.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "sandbox" in policy and "script" not in policy and "allow-scripts" not in policy
    assert api.get("/reports/file/link.html").status_code == 404 and api.get("/reports/file/other.txt").status_code == 404
    page = api.get("/reports", params={"open": "evil.html"}).text
    assert "A &lt;b&gt; report" in page and "<b> report" not in page and "sandbox=" in page


def test_who_may_do_what(embedded: bc.Collection, tmp_path: Path) -> None:
    users = tmp_path / "users.toml"
    for name, role in (("vera", "viewer"), ("ann", "annotator"), ("bob", "annotator"), ("ada", "admin")):
        changed_account(users, name, role=role, password="correct horse battery")  # type: ignore[arg-type]
    users.chmod(0o600)
    server = Server(copy_of(embedded, tmp_path), ("--users", str(users))).start()
    try:

        def of(name: str) -> httpx.Client:
            found = httpx.Client(base_url=server.address, timeout=60)
            answer = found.post("/api/login", json={"user": name, "password": "correct horse battery"})
            found.headers["Authorization"] = f"Bearer {answer.json()['token']}"
            found.cookies.clear()
            return found

        vera, ann, bob, ada = map(of, ("vera", "ann", "bob", "ada"))

        def status(who: httpx.Client, kind: str, **settings: Any) -> int:
            answer = who.post("/api/jobs", json={"kind": kind, "settings": settings})
            if answer.status_code == 200:
                ada.post(f"/api/jobs/{answer.json()['id']}/cancel", json={})
            return answer.status_code

        assert {status(vera, kind) for kind in ("export", "clusters", "refit", "embed")} == {403}
        assert [status(ann, kind) for kind in ("export", "clusters", "refit", "project", "identify")] == [200] * 5
        assert {status(ann, kind) for kind in ("embed", "train", "evaluate")} == {403}
        assert ann.post("/api/jobs/upload", files=[("files", ("a.png", png()))]).status_code == 403
        assert status(ada, "evaluate") == 200
        job = ann.post("/api/jobs", json={"kind": "project", "settings": {"reducer": "pca"}}).json()
        assert job["by"] == "ann"
        assert vera.get("/api/jobs").status_code == 200 and vera.get(f"/api/jobs/{job['id']}/log").status_code == 200
        assert vera.post(f"/api/jobs/{job['id']}/cancel", json={}).status_code == 403
        assert bob.post(f"/api/jobs/{job['id']}/cancel", json={}).status_code == 403
        assert ann.post(f"/api/jobs/{job['id']}/cancel", json={}).status_code == 200
        for who, expected in ((vera, 403), (ann, 403), (ada, 404)):
            assert who.post("/api/models/nosuch/promote", json={}).status_code == expected
        kinds = {one["kind"]: one["allowed"] for one in ann.get("/api/jobs/kinds").json()["kinds"]}
        assert kinds["refit"] and not kinds["embed"]
    finally:
        server.end()


def test_kill_9_and_restart_find_the_job_and_its_result(served: Server) -> None:
    with client(served) as api:
        id = api.post("/api/jobs", json={"kind": "refit", "settings": {"name": "week-1"}}).json()["id"]
        until(api, id, "running")
    served.stop(signal.SIGKILL)
    again = Server(served.collection).start()
    try:
        with client(again) as api:
            assert until(api, id)["status"] == "done", api.get(f"/api/jobs/{id}/log").text
            models = api.get("/api/models").json()
            assert [one["name"] for one in models["models"]] == ["week-1"] and models["promoted"] is None
            said = api.post("/api/models/week-1/promote", json={}).json()
            assert said["name"] == "week-1" and api.get("/api/models").json()["models"][0]["promoted"]
    finally:
        again.end()


def test_a_stream_does_not_keep_the_server_from_stopping(served: Server) -> None:
    with client(served) as api:
        id = api.post("/api/jobs", json={"kind": "train", "settings": {"epochs": 10_000, "name": "endless"}}).json()["id"]
        with api.stream("GET", f"/api/jobs/{id}/events") as answer:
            told = answer.iter_text()
            next(told)
            served.process.send_signal(signal.SIGINT)  # type: ignore[union-attr]
            "".join(told)  # it ends
    assert served.stop()[0] == 0
    again = Server(served.collection).start()
    try:
        with client(again) as api:
            assert api.get(f"/api/jobs/{id}").json()["status"] == "running"
            api.post(f"/api/jobs/{id}/cancel", json={})
            assert until(api, id)["status"] == "cancelled"
    finally:
        again.end()
