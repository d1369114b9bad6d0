"""Exports over HTTP: downloads with safe names, who named what, and jobs for what is much."""

from __future__ import annotations

import csv
import io
import time
import zipfile

import pyarrow.parquet as pq
import pytest
from clustered import Site

import biocosmos as bc
from biocosmos.serve.routes import export as routes


@pytest.fixture
def site(tiny_collection, monkeypatch):
    made = Site(tiny_collection.path, monkeypatch)
    yield made
    made.close()


def named(site):
    """Ids of ten; ada named the first two, and bob called the third by a formula."""
    ids = site.ids(10)
    assert site("ada").post("/api/labels", json={"ids": ids[:2], "taxon": "Copepoda"}).status_code == 200
    formula = {"ids": ids[2:3], "taxon": "=HYPERLINK(1)", "rank": "genus"}
    assert site("bob").post("/api/labels", json=formula).status_code == 200
    return ids


def test_csv_of_a_selection_is_a_download(site):
    ids = named(site)
    got = site("vera", "viewer").post("/api/export", json={"ids": ids[::-1], "format": "csv"})
    assert got.status_code == 200 and got.headers["content-type"].startswith("text/csv")
    said = got.headers["content-disposition"]
    assert said.startswith('attachment; filename="tiny-csv-') and said.endswith('.csv"') and "/" not in said
    assert got.headers["cache-control"] == "no-store" and got.headers["x-content-type-options"] == "nosniff"
    rows = {row["id"]: row for row in csv.DictReader(io.StringIO(got.content.decode("utf-8-sig")))}
    assert list(rows) == ids[::-1]
    assert (rows[ids[0]]["taxon"], rows[ids[0]]["identifiedBy"]) == ("Copepoda", "ada")
    assert rows[ids[0]]["identificationVerificationStatus"] == "ValidatedByHuman"
    assert rows[ids[2]]["taxon"].startswith("'=HYPERLINK") and "image_path" not in rows[ids[0]]
    plain = site().post("/api/export", json={"ids": ids, "spreadsheet": False}).content.decode()
    assert '"=HYPERLINK(1)"' in plain or ",=HYPERLINK(1)," in plain


@pytest.mark.parametrize("view", ["state=validated&sort=id", "words=copepod&sort=id&reverse=1"])
def test_a_view_is_exported_in_its_order(site, view):
    named(site)
    rows = site.desk.catalogue.rows(site.desk.view(view))
    got = site().post("/api/export", json={"view": view, "format": "parquet"})
    table = pq.read_table(io.BytesIO(got.content))
    assert table["id"].to_pylist() == site.desk.catalogue.ids_of(rows) and got.headers["x-specimens"] == str(len(rows))
    assert "image" not in table.column_names


def test_darwin_core_without_pictures_is_a_download(site, tmp_path):
    ids = named(site)
    got = site().post("/api/export", json={"ids": ids, "format": "darwin-core"})
    assert got.status_code == 200 and got.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(got.content)) as archive:
        assert archive.testzip() is None and not [name for name in archive.namelist() if name.startswith("images")]
        rows = list(csv.DictReader(io.StringIO(archive.read("occurrence.txt").decode()), delimiter="\t"))
    assert [row["id"] for row in rows] == ids and rows[0]["identificationVerificationStatus"] == "ValidatedByHuman"
    path = tmp_path / "back.zip"
    path.write_bytes(got.content)
    assert bc.Collection.create(tmp_path / "back.cosmos").add(path).added == 10


def waited(client, job):
    for _ in range(600):
        now = client.get(f"/api/jobs/{job['id']}").json()
        if now["status"] not in ("queued", "running"):
            return now
        time.sleep(0.2)
    raise AssertionError(now)


def test_pictures_and_much_are_written_by_a_job(site, monkeypatch, tmp_path):
    ada, ids = site(), named(site)
    started = ada.post("/api/export", json={"ids": ids, "format": "ecotaxa"})
    assert started.status_code == 202 and started.json()["count"] == 10
    job = waited(ada, started.json()["job"])
    assert job["status"] == "done", ada.get(f"/api/jobs/{job['id']}/log").json()["text"]
    (name,) = [each for each in job["made"] if each.endswith(".zip")]
    got = ada.get(f"/api/jobs/{job['id']}/files/{name}")
    with zipfile.ZipFile(io.BytesIO(got.content)) as archive:
        lines = archive.read("ecotaxa_export.tsv").decode("utf-8-sig").splitlines()
        rows = list(csv.DictReader([lines[0], *lines[2:]], delimiter="\t"))
        assert [row["object_id"] for row in rows] == ids and all(row["img_file_name"] in archive.namelist() for row in rows)
    assert rows[0]["object_annotation_status"] == "validated" and rows[0]["object_annotation_person_name"] == "ada"
    (tmp_path / "back.zip").write_bytes(got.content)
    assert bc.Collection.create(tmp_path / "back.cosmos").add(tmp_path / "back.zip").added == 10
    monkeypatch.setattr(routes, "AT_ONCE", 5)
    assert ada.post("/api/export", json={"ids": ids}).status_code == 202
    refused = site("vera", "viewer").post("/api/export", json={"ids": ids})
    assert refused.status_code == 400 and "needs an annotator" in refused.json()["error"]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({}, 400, "say which specimens"),
        ({"ids": []}, 400, "selection is empty"),
        ({"ids": ["nobody"]}, 400, "there is no specimen"),
        ({"view": "sort=sideways"}, 400, "sideways"),
        ({"view": "", "format": "exe"}, 422, "format"),
        ({"view": "", "format": "../../x"}, 422, "format"),
        ({"view": "", "images": True}, 400, "a CSV has no pictures"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_line(site, body, status, says):
    refused = site().post("/api/export", json=body)
    assert refused.status_code == status and says in refused.json()["error"]


def test_a_hostile_name_of_a_collection_makes_a_safe_file_name(tiny_collection, tmp_path, monkeypatch):
    path = tiny_collection.path.rename(tmp_path / 'a"b;c=d\u202e;.cosmos')
    site = Site(path, monkeypatch)
    said = site().post("/api/export", json={"view": ""}).headers["content-disposition"]
    assert '"b' not in said.replace('filename="', "") and "\u202e" not in said and said.count(";") == 1
    site.close()
