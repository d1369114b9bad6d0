"""Identify over HTTP names barcodes as ``biocosmos identify unknown.fasta`` names them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from asked import desk_over, error, png, site_of
from barcoded import barcodes_alone
from fastapi.testclient import TestClient

import biocosmos as bc
from biocosmos.barcodes.simulate import simulate_barcodes
from biocosmos.jobs.identify import identify_collection
from biocosmos.serve.asking import limits
from biocosmos.serve.desk import Desk


@pytest.fixture(scope="module")
def coi(tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    return barcodes_alone(tmp_path_factory.mktemp("coi"))


@pytest.fixture(scope="module")
def desk(coi: bc.Collection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    yield from desk_over(coi, tmp_path_factory.mktemp("naming"))


@pytest.fixture(scope="module")
def site(desk: Desk) -> TestClient:
    return site_of(desk)


@pytest.fixture(scope="module")
def fasta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Barcodes of the same simulated species that the collection has not, and one that is none."""
    table = simulate_barcodes(seed=2, species=24, specimens=300, shared=0.1)
    lines = [f">q{i}\n{barcode}\n" for i, barcode in enumerate(table["barcode"].to_pylist()[::60])]
    path = tmp_path_factory.mktemp("asked") / "unknown.fasta"
    path.write_text("".join([*lines, ">protein\nMKVLAAGIEL\n"]))
    return path


def test_a_fasta_is_named_as_the_command_line_names_it(site: TestClient, coi: bc.Collection, fasta: Path) -> None:
    wanted = identify_collection(coi, images=[fasta]).table.to_pylist()
    answer = site.post("/api/identify", files={"images": ("unknown.fasta", fasta.read_bytes())})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert [row["name"] for row in found["rows"]] == [row["id"] for row in wanted] == [f"q{i}" for i in range(5)]
    for row, expected in zip(found["rows"], wanted, strict=True):
        assert (row["taxon"], row["rank"], row["novel"]) == (expected["taxon"], expected["rank"], expected["novel"])
        assert row["confidence"] == pytest.approx(expected["confidence"], abs=1e-6)
        assert [near["id"] for near in row["neighbours"]] == [near["id"] for near in expected["neighbours"]]
    (bad,) = found["failures"]
    assert bad["name"] == "protein" and "nucleotide" in bad["reason"]
    rows = list(csv.DictReader(io.StringIO(site.get(found["csv"]).content.decode("utf-8-sig"))))
    assert [row["id"] for row in rows] == [f"q{i}" for i in range(5)]
    pasted = site.post("/api/identify", json={"dna": [fasta.read_text()]}).json()
    assert pasted["rows"] == found["rows"]
    page = site.get(f"/identify/{pasted['token']}/results").text
    assert (page.count("data:image/png;base64,") == 5 and "looks novel" in page) or "sure" in page


def test_what_cannot_be_named_is_said_in_a_line(site: TestClient, fasta: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [("images", ("a.png", png())), ("images", ("b.fasta", fasta.read_bytes()))]
    assert "named apart" in error(site.post("/api/identify", files=files))
    assert "barcodes alone" in error(site.post("/api/identify", files={"images": ("a.png", png())}))
    assert "protein" in error(site.post("/api/identify", json={"dna": ["MKVLAAGIEL"]}))
    assert "nothing to identify" in error(site.post("/api/identify", json={}))
    said = error(site.post("/api/identify", files={"images": ("my own.fasta", b"")}))
    assert "my own.fasta has no sequence that can be read" in said and "/" not in said  # no path of the server
    page = site.get("/identify").text
    assert "FASTA files, or a zip of them" in page and 'data-test="dna"' in page and "barcodes become a job" in page


def test_many_barcodes_become_a_job(site: TestClient, fasta: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BARCODES_AT_ONCE", 3)
    started = site.post("/api/identify", files={"images": ("unknown.fasta", fasta.read_bytes())})
    assert started.status_code == 202 and started.json()["images"] == 6
    job = site.get(f"/api/jobs/{started.json()['job']}").json()
    assert job["kind"] == "name"


def test_a_file_without_our_line_ends_counts_by_its_bytes(site: TestClient, fasta: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BARCODES_AT_ONCE", 3)
    wide = "\n".join([fasta.read_text()] * 20).encode("utf-16")
    started = site.post("/api/identify", files={"images": ("wide.fasta", wide)})
    assert started.status_code == 202 and started.json()["images"] == len(wide) // 5000
