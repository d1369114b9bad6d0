"""Search from a place: to places, to the environment there, and across a space to images and barcodes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import biocosmos as bc
from biocosmos.encoders.barcodes import load_barcode_encoder
from biocosmos.encoders.places.encoder import load_place_encoder
from biocosmos.encoders.places.projected import save_projected_places
from biocosmos.encoders.projected_barcodes import save_projected_barcodes
from biocosmos.encoders.registry import DEFAULT, load_towers
from biocosmos.encoders.saving import save_encoder
from biocosmos.encoders.spaces import save_space
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.around_queries import asked_places
from biocosmos.jobs.search import search_collection
from biocosmos.jobs.settings import SearchSettings
from biocosmos.nn.projection import Projection
from space_sample import both

WIDTH = 12


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[str]]:
    """A collection whose first 24 specimens lie on a line of places, a space of images, barcodes and places, and the ids."""
    folder = tmp_path_factory.mktemp("placed")
    collection = both(folder)
    ids = list(collection.vectors(DEFAULT).ids)
    table = {"id": ids[:24], "latitude": [50 + row / 2 for row in range(24)], "longitude": [5.0] * 24}
    collection.change({**table, "date": ["2026-06-04"] * 24}, verb="update")
    torch.manual_seed(0)
    run = folder / "run"
    made, image = Projection(1280, WIDTH), load_towers(DEFAULT)
    digests: dict[Any, str] = {"image": save_encoder(run / "image", image, base=DEFAULT, projection=made, frozen=True)}
    barcodes, places = load_barcode_encoder("kmer:5"), load_place_encoder("place:15km-15d")
    digests["dna"] = save_projected_barcodes(run / "dna", barcodes, Projection(barcodes.dim, WIDTH), training={})
    digests["place"] = save_projected_places(run / "place", places, Projection(places.dim, WIDTH), training={})
    save_space(run, digests, dim=WIDTH, training={})
    done = bc.embed(collection, str(run))
    assert [one.unit for one in (done, *done.beside)] == ["images", "barcodes", "places"]
    bc.embed(collection, "place:15km-15d")
    return collection.path, str(run), ids


def asked(path: Path, **settings: Any) -> Any:
    return search_collection(bc.Collection.open(path), SearchSettings(**settings))


def test_a_place_finds_what_was_found_near_it(placed: tuple[Path, str, list[str]]) -> None:
    path, _, ids = placed
    table, failures, _ = asked(path, place=("52.0,5.0@2026-06-04", "52°30'N 5°0'E@06-05", "52,5"), encoder="place:15km-15d", k=2)
    best = {
        query: id_ for query, position, id_ in zip(*(table[c].to_pylist() for c in ("query", "position", "id"))) if position == 1
    }
    assert best == {"52.0,5.0@2026-06-04": ids[4], "52°30'N 5°0'E@06-05": ids[5]}
    assert "the encoder takes a place and a day" in failures.gravest()


def test_a_space_is_the_same_however_its_folder_is_written(placed: tuple[Path, str, list[str]]) -> None:
    path, run, ids = placed
    wanted = asked(path, place=("52,5@2026-06-04",), encoder=run, k=2)[0]
    assert ids[4] in wanted["id"].to_pylist()
    again = asked(path, place=("52,5@2026-06-04",), encoder=f"{Path(run).parent}/./run/", k=2)[0]
    assert again.equals(wanted)


def test_a_place_finds_images_and_barcodes_of_its_space(placed: tuple[Path, str, list[str]]) -> None:
    path, run, _ = placed
    collection = bc.Collection.open(path)
    tower = load_place_encoder(f"{run}/place")
    query = tower.encode_places(asked_places(["53,5@2026-06-04"]))[0]
    for among in ("image", "dna", "place"):
        table, _, how = asked(path, place=("53,5@2026-06-04",), encoder=run, among=among, k=3)
        ids, vectors = collection.vectors(f"{run}/{among}")
        order = np.argsort(-(vectors @ query), kind="stable")[:3]
        assert table["score"].to_pylist() == pytest.approx((vectors @ query)[order].tolist(), abs=1e-5)
        assert set(table["asked_with"].to_pylist()) == {"place"} and set(table["among"].to_pylist()) == {among}
        assert how["space"]["name"] == run
    table, _, _ = asked(path, place=("53,5@2026-06-04",), encoder=run, among="all", k=50)
    assert set(table["among"].to_pylist()) == {"image", "dna", "place"}
    asked_with = asked(path, id=(str(ids[0]),), encoder=run, among="place", ask_with="dna", k=1)[0]["asked_with"].to_pylist()
    assert asked_with == ["dna"]


def test_what_is_no_place_or_has_no_encoder_is_told_in_a_line(placed: tuple[Path, str, list[str]], tmp_path: Path) -> None:
    path, run, _ = placed

    def refusal(**settings: Any) -> str:
        with pytest.raises(BiocosmosError) as error:
            asked(path, **settings)
        assert "\n" not in str(error.value)
        return str(error.value)

    for place in ("here", "52", "95,5", "0,0", "0.0,-0", "52,5@soon", "52,5@-3m", "52,5@xm", ""):
        assert refusal(place=(place,), encoder="place:15km-15d")
    assert "goes with nothing else" in refusal(place=("52,5",), text=("word",), encoder="place:15km-15d")
    assert "no embedding of sounds" in refusal(sound=(tmp_path / "a.wav",))
    assert "is not of places" in refusal(place=("52,5",), encoder="kmer:5")
    assert "no tower of sounds" in refusal(sound=(tmp_path / "a.wav",), encoder=run, among="image")
    Path(run).rename(tmp_path / "elsewhere")
    assert "is no encoder of places" in refusal(place=("52,5",), encoder=f"{run}/place")
    (tmp_path / "elsewhere").rename(run)
    shutil.copytree(path, tmp_path / "copy.cosmos")
    bc.embed(tmp_path / "copy.cosmos", "place:30km")
    with pytest.raises(BiocosmosError, match="several embeddings of places"):
        asked(tmp_path / "copy.cosmos", place=("52,5",))
