"""Identify over HTTP names as ``biocosmos identify`` names."""

from __future__ import annotations

import csv
import io
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asked import HERE, TOKEN, desk_over, error, huge_png, left_behind, png, site_of, zipped
from fastapi.testclient import TestClient

import biocosmos as bc
from biocosmos.identify.summary import without_empty
from biocosmos.jobs.identify import identify_collection
from biocosmos.serve.asking import limits
from biocosmos.serve.desk import Desk


@pytest.fixture(scope="module")
def desk(embedded: bc.Collection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    yield from desk_over(embedded, tmp_path_factory.mktemp("naming"))


@pytest.fixture(scope="module")
def site(desk: Desk) -> TestClient:
    return site_of(desk)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def photos(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Images that look like known ones, and are not."""
    folder = tmp_path_factory.mktemp("photos")
    from PIL import Image

    found = []
    for number, id_ in enumerate(desk.collection.table(["id"])["id"].to_pylist()[5:200:39]):
        image = Image.open(io.BytesIO(desk.collection.image_bytes(id_) or b"")).convert("RGB")
        found.append(folder / f"{number}.png")
        image.rotate(90 * (number % 4), expand=True).save(found[-1])
    return found


def files_of(photos: list[Path]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", (path.name, path.read_bytes())) for path in photos]


@pytest.mark.parametrize(("promise", "options"), [("", {}), ("none", {"threshold": 0.9}), ("20", {"error_rate": 0.2})])
def test_uploads_are_named_as_the_command_line_names_them(
    site: TestClient, desk: Desk, photos: list[Path], temporary: Path, promise: str, options: dict[str, Any]
) -> None:
    wanted = identify_collection(desk.collection, images=photos, **options)
    answer = site.post("/api/identify", files=files_of(photos), data={"promise": promise})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    table = wanted.table.to_pylist()
    assert [row["name"] for row in found["rows"]] == [path.name for path in photos]
    for row, expected in zip(found["rows"], table, strict=True):
        assert (row["taxon"], row["rank"], row["novel"]) == (expected["taxon"], expected["rank"], expected["novel"])
        assert row["confidence"] == pytest.approx(expected["confidence"], abs=1e-6)
        assert [near["id"] for near in row["neighbours"]] == [near["id"] for near in expected["neighbours"]]
        for step in row["path"]:
            assert step["taxon"] == expected[step["rank"]]
            assert step["confidence"] == pytest.approx(expected[f"{step['rank']}_confidence"], abs=1e-6)
    assert found["promise"] == wanted.identifier.describe() and found["summary"] == wanted.summary.lines()
    text = site.get(found["csv"])
    assert text.headers["content-type"].startswith("text/csv") and "attachment" in text.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(text.content.decode("utf-8-sig"))))
    assert list(rows[0]) == without_empty(wanted.table).column_names
    assert [row["id"] for row in rows] == [row["image_path"] for row in rows] == [path.name for path in photos]
    assert not left_behind(temporary)


def test_progress_and_results_of_an_upload(site: TestClient, photos: list[Path], temporary: Path) -> None:
    names = ["=cmd|' /C calc'!A0.png", "<script>alert(1)</script>.png", "../../x.png"]
    files = [("images", (name, path.read_bytes())) for name, path in zip(names, photos, strict=False)]
    files += [
        ("images", ("empty.png", b"")),
        ("images", ("words.txt", b"words")),
        ("images", ("huge.png", huge_png())),
        ("images", ("day.zip", zipped({"a.png": png(), "../b.png": png()}))),
    ]
    answer = site.post("/api/identify", files=files, data={"wait": "0", "promise": "none"})
    assert answer.status_code == 202 and answer.json()["images"] == 4
    token = answer.json()["token"]
    for _ in range(600):
        at = site.get(f"/api/identify/{token}").json()
        if at["state"] not in ("waiting", "working"):
            break
        time.sleep(0.1)
    assert at["state"] == "done" and [row["name"] for row in at["rows"]] == [*names, "day.zip/a.png"]
    assert {one["name"] for one in at["failures"]} == {"empty.png", "words.txt", "huge.png", "day.zip/../b.png"}
    shown = site.get(f"/identify/{token}/results")
    assert shown.text.count('data-test="named-row"') == 4 and "<script>" not in shown.text and "&lt;script&gt;" in shown.text
    assert "style=" not in shown.text
    text = site.get(f"/api/identify/{token}.csv").content.decode("utf-8-sig")
    assert "\"'=cmd" in text or "'=cmd" in text.splitlines()[1][:8]
    assert not left_behind(temporary)
    assert "no longer kept" in error(site.get("/api/identify/nothing-like-it"))
    assert "no longer kept" in error(site.get("/api/identify/nothing.csv"))


@pytest.mark.parametrize(
    ("files", "data", "says"),
    [
        ({}, {}, "nothing to identify"),
        ({"a.txt": b"words"}, {}, "none of the files can be named: a.txt: not an image"),
        ({"a.png": png()}, {"promise": "99"}, "no promise '99'"),
        ({"a.png": png()}, {"promise": "1"}, "the smallest possible is"),
        ({"a.png": png()}, {"model": "../../x"}, "there is no model '../../x'"),
        ({"a.png": png()}, {"encoder": "nobody"}, "nobody"),
    ],
)
def test_what_cannot_be_named_is_refused_in_one_line(
    site: TestClient, temporary: Path, files: dict[str, bytes], data: dict[str, str], says: str
) -> None:
    sent = [("images", (name, content)) for name, content in files.items()]
    answer = site.post("/api/identify", files=sent, data=data) if sent else site.post("/api/identify", data=data)
    assert says in error(answer)
    assert not left_behind(temporary)


def test_five_thousand_files_are_refused_in_one_line(site: TestClient, temporary: Path) -> None:
    sent = [("images", (f"{i}.png", b"x")) for i in range(5000)]
    assert "more than 2,000 files at once" in error(site.post("/api/identify", files=sent))
    assert "more than 2,000 files at once" in error(site.post("/api/search", files=sent))
    assert not left_behind(temporary)


def test_many_images_become_a_job(
    site: TestClient, desk: Desk, photos: list[Path], monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    monkeypatch.setattr(limits, "AT_ONCE", 2)
    answer = site.post("/api/identify", files=files_of(photos), data={"promise": "none"})
    assert answer.status_code == 202 and answer.json()["images"] == len(photos), answer.text
    job = desk.work.job(answer.json()["job"])
    for _ in range(600):
        job = desk.work.job(job.id)
        if job.is_over:
            break
        time.sleep(0.2)
    assert job.status == "done" and "names.csv" in job.made, job
    rows = list(csv.DictReader(desk.work.file(job.id, "names.csv").open(encoding="utf-8")))
    wanted = identify_collection(desk.collection, images=photos, threshold=0.9).table.to_pylist()
    assert [row["taxon"] or None for row in rows] == [row["taxon"] for row in wanted]
    assert [Path(row["id"]).name for row in rows] == [f"{i + 1:05d}-{path.name}" for i, path in enumerate(photos)]
    assert not left_behind(temporary)


def test_the_page_says_what_is_promised(site: TestClient) -> None:
    page = site.get("/identify")
    assert page.status_code == 200 and 'data-test="promise-10"' in page.text and "at most 5 % of the answers" in page.text
    assert "style=" not in page.text and " on" + "click=" not in page.text


def test_another_user_does_not_see_the_answers(desk: Desk, site: TestClient, photos: list[Path]) -> None:
    found = site.post("/api/identify", files=files_of(photos[:1]), data={"promise": "none"}).json()
    with pytest.raises(bc.BiocosmosError, match="no longer kept"):
        desk.asking.namings.get(found["token"], "somebody else")
    stranger = TestClient(site.app, base_url=HERE)
    assert stranger.get(f"/api/identify/{found['token']}").status_code == 401 and TOKEN not in found["token"]


def test_nothing_is_said_of_an_empty_collection(tmp_path: Path) -> None:
    desk = Desk(bc.Collection.create(tmp_path / "empty.cosmos"))
    try:
        site = site_of(desk)
        assert "Nothing can be searched yet" in site.get("/search").text
        assert "Nothing can be named yet" in site.get("/identify").text
        assert "nothing can be searched yet" in error(site.post("/api/search", json={"ids": ["a"]}))
        assert "nothing can be searched yet" in error(site.post("/api/identify", files=[("images", ("a.png", png()))]))
    finally:
        desk.close()
