"""Search across modalities over HTTP gives what ``biocosmos search --among`` gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asked import ask, desk_over, error, site_of
from fastapi.testclient import TestClient

import biocosmos as bc
from biocosmos.jobs.search import search_collection
from biocosmos.jobs.settings import SearchSettings
from biocosmos.serve.desk import Desk
from space_sample import both, space


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """both.cosmos, and run/ whose towers of images and barcodes embedded it."""
    made = tmp_path_factory.mktemp("across")
    collection = both(made)
    space(made / "run")
    for tower in ("image", "dna"):
        bc.embed(collection, f"{made}/run/{tower}")
    return made


@pytest.fixture(scope="module")
def desk(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    yield from desk_over(bc.Collection.open(folder / "both.cosmos"), tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def site(desk: Desk) -> TestClient:
    return site_of(desk)


def same(answer: dict[str, Any], collection: bc.Collection, **asked: Any) -> bool:
    """Whether the first answer has the ids and scores that the command line finds."""
    table, _, _ = search_collection(collection, SearchSettings(k=9, **asked))
    near = answer["answers"][0]["neighbours"]
    scores = np.array([one["score"] for one in near])
    return [one["id"] for one in near] == table["id"].to_pylist() and np.allclose(scores, table["score"], atol=2e-6)


def test_a_barcode_finds_pictures_and_a_picture_finds_barcodes(site: TestClient, desk: Desk, folder: Path) -> None:
    letters = desk.collection.table(["barcode"])["barcode"][7].as_py()
    answer = ask(site, "/api/search", json={"dna": [letters], "among": "image", "k": 9}).json()
    assert answer["encoder"] == f"{folder}/run/image" and same(answer, desk.collection, dna=(letters,), among="image")
    assert "identity" not in answer["answers"][0]["neighbours"][0]
    photo = next((folder / "pictures").glob("*.png"))
    sent = {"files": [("images", (photo.name, photo.read_bytes()))], "data": {"among": "dna", "k": "9"}}
    assert same(ask(site, "/api/search", **sent).json(), desk.collection, images=(photo,), among="dna")


def test_barcodes_among_barcodes_of_a_space_are_aligned(site: TestClient, desk: Desk) -> None:
    letters = desk.collection.table(["barcode"])["barcode"][7].as_py()
    answer = ask(site, "/api/search", json={"dna": [letters], "among": "dna", "k": 9}).json()
    assert same(answer, desk.collection, dna=(letters,), among="dna")
    assert answer["answers"][0]["neighbours"][0]["identity"] == 100


@pytest.mark.parametrize("ask_with, among", [("dna", "image"), ("image", "dna"), ("", "dna")])
def test_a_specimen_asks_by_one_of_its_vectors_and_never_finds_itself(
    site: TestClient, desk: Desk, ask_with: str, among: str
) -> None:
    id_ = desk.collection.table(["id"])["id"][3].as_py()
    answer = ask(site, "/api/search", json={"ids": [id_], "among": among, "ask_with": ask_with, "k": 9}).json()
    assert same(answer, desk.collection, id=(id_,), among=among, ask_with=ask_with or None, align=ask_with != "x")
    assert id_ not in [one["id"] for one in answer["answers"][0]["neighbours"]]
    only = ask(site, "/api/search", params={"part": "train"}, json={"ids": [id_], "among": among, "k": 9}).json()
    train = set(desk.collection.split("default").part("train").to_pylist())
    assert {one["id"] for one in only["answers"][0]["neighbours"]} <= train


def test_what_cannot_cross_is_said_in_a_line(site: TestClient, desk: Desk) -> None:
    id_ = desk.collection.table(["id"])["id"][3].as_py()
    assert "choose image, dna, text" in error(site.post("/api/search", json={"ids": [id_], "among": "sound"}))
    assert "no tower of texts" in error(site.post("/api/search", json={"ids": [id_], "among": "text"}))
    assert "no tower of a space" in error(site.post("/api/search", json={"ids": [id_], "among": "dna", "encoder": "kmer:5"}))
    assert "no text tower" in error(site.post("/api/search", json={"text": "Diptera"}))


def test_the_page_offers_what_can_be_found(site: TestClient) -> None:
    page = site.get("/search").text
    assert 'data-test="among-choice"' in page and ">pictures<" in page and ">names<" not in page
    shown = site.get("/search", params={"like": "a", "among": "image", "ask_with": "dna"}).text
    assert "like the barcode of a" in shown


def test_a_collection_without_a_space_offers_nothing(embedded: bc.Collection, tmp_path: Path) -> None:
    for desk in desk_over(embedded, tmp_path):
        site = site_of(desk)
        assert "among-choice" not in site.get("/search").text
        assert "train contrastive" in error(site.post("/api/search", json={"ids": ["a"], "among": "dna"}))
