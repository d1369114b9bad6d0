"""Places bound to pictures and barcodes on made-up specimens, as a user trains, kills, resumes and refuses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from killed_training import kill

import biocosmos as bc
from biocosmos.encoders.spaces import read_space
from biocosmos.errors import BiocosmosError
from biocosmos.settings import SettingError
from biocosmos.train.bind.settings import bind_settings
from biocosmos.train.bind.training import train_bind
from biocosmos.train.contrastive.training import ContrastiveResult
from space_sample import both, same, weights

SMALL: dict[str, Any] = {
    "modalities": "dna,place",
    "anchor": "dna",
    "dna": "kmer:5",
    "epochs": 2,
    "queue": 8,
    "batch_size": 16,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def _collection(tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    return both(tmp_path_factory.mktemp("bind"), specimens=72, embedded=False)


@pytest.fixture
def collection(_collection: bc.Collection, tmp_path: Path) -> bc.Collection:
    shutil.copytree(_collection.path, tmp_path / "both.cosmos")
    return bc.Collection.open(tmp_path / "both.cosmos")


def train(collection: bc.Collection, folder: Path, **given: Any) -> ContrastiveResult:
    return train_bind(collection, bind_settings(**{**SMALL, **given}), folder)


def command(collection: bc.Collection, folder: Path, **given: Any) -> list[str]:
    options = [part for name, value in {**SMALL, **given}.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    return ["train", "bind", str(collection.path), "-o", str(folder), *options]


def test_places_are_bound_and_the_anchor_stays_as_it_is(collection: bc.Collection, tmp_path: Path) -> None:
    result = train(collection, tmp_path / "run", epochs=6)
    space = read_space(tmp_path / "run")
    assert set(space.towers) == {"dna", "place"} and space.dim == 1024
    for tower in space.towers.values():
        bc.embed(collection, tower)
        assert collection.encoders[tower]["space"] == space.digest
    anchor = weights(tmp_path / "run")["dna linear.weight"]
    assert torch.equal(anchor, torch.eye(1024))
    places = collection.vectors(space.towers["place"], split="train")[1]
    best = result.history.best
    assert np.isfinite(places).all() and best is not None
    assert best["dna to place, species"] > result.base["dna to place, species"]


@pytest.mark.parametrize("given", [{"loss": "geoclip"}, {"anywhere": True, "as_published": True}, {"place": "place:50km-15d"}])
def test_other_losses_negatives_and_encoders(collection: bc.Collection, tmp_path: Path, given: dict[str, Any]) -> None:
    result = train(collection, tmp_path / "run", epochs=1, **given)
    assert all(np.isfinite(row["retrieval"]) for row in result.history.epochs)
    assert bc.embed(collection, str(tmp_path / "run" / "place")).images == 72


def test_a_killed_training_goes_on_to_the_same_weights(collection: bc.Collection, tmp_path: Path) -> None:
    more = {"epochs": 12, "checkpoint_steps": 2}
    train(collection, tmp_path / "whole", **more)
    kill(command(collection, tmp_path / "killed", **more), tmp_path / "killed")
    result = train(collection, tmp_path / "killed", **more)
    assert 0 < result.history.resumed_at < result.history.steps
    assert same(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"modalities": "place"}, "must name --anchor dna and one more"),
        ({"modalities": "place,environment", "anchor": ""}, "must name --anchor image and one more"),
        ({"modalities": "dna,smell"}, "--modalities 'smell' is not known"),
        ({"modalities": "dna,audio"}, "name its encoder, --audio audio:CLAP"),
        ({"image": "clip"}, "--image does nothing here"),
        ({"tune": "place=lora"}, "--tune place=lora: what is known for place is full"),
    ],
)
def test_settings_that_cannot_be_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        bind_settings(**{**SMALL, **given})


def test_the_anchor_is_the_image_else_the_barcode() -> None:
    assert bind_settings(modalities="dna,place").anchor == "dna"
    assert bind_settings(modalities="dna,image,place").anchor == bind_settings().anchor == "image"


@pytest.mark.parametrize("tune", ["heads", "frozen", "place=heads"])
def test_a_new_network_of_places_is_trained_whole_whatever_is_said(tune: str) -> None:
    """It has no stored vectors, so that "heads" ended in a message that new:sphere is no encoder of places."""
    assert bind_settings(**SMALL, tune=tune).tune_of("place") == "full"
    assert bind_settings(**SMALL, tune=tune, place="place:15km-15d").tune_of("place") == tune.rpartition("=")[2]


def test_a_frozen_anchor_says_how_long_vectors_are(collection: bc.Collection, tmp_path: Path) -> None:
    with pytest.raises(BiocosmosError, match="stays as it is, with 1,024 numbers, and --width is 16"):
        train(collection, tmp_path / "run", width=16)


def test_the_environment_is_read_from_the_folder_beside_the_collection(
    collection: bc.Collection, tmp_path: Path, biocosmos: Callable[..., str]
) -> None:
    """As the issue types it, with pictures for barcodes: no word on rasters."""
    asked = ["train", "bind", collection.path, "--modalities", "dna,place,environment", "-o", tmp_path / "run", "--epochs", "1"]
    asked += ["--anchor", "dna", "--dna", "kmer:5", "--queue", "8", "--place", "place:50km-15d"]
    wrong = biocosmos(*asked, fails=1)
    assert "which rasters is not clear" in wrong and "--environment environment:RASTERS" in wrong
    rasterio = pytest.importorskip("rasterio")
    (tmp_path / "rasters").mkdir()
    how = {"driver": "GTiff", "height": 18, "width": 36, "count": 1, "dtype": "float32", "crs": "EPSG:4326"}
    turn = rasterio.transform.from_origin(-180, 90, 10, 10)
    with rasterio.open(tmp_path / "rasters" / "warmth.tif", "w", transform=turn, **how) as file:
        file.write(np.random.default_rng(0).normal(10, 2, (1, 18, 36)).astype(np.float32))
    said = biocosmos(*asked)
    assert f"environment:{tmp_path / 'rasters'}, full, masked" in said.replace("\n", "")
    assert set(read_space(tmp_path / "run").towers) == {"dna", "place", "environment"}
    assert bc.embed(collection, str(tmp_path / "run" / "environment")).images == 72
