"""train place --method sinr, geo-prior, mlp: what is learnt, killed runs, what is refused, the folder as prior and as encoder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from killed_training import kill

import biocosmos as bc
import warm
from biocosmos.encoders.places.encoder import load_place_encoder
from biocosmos.encoders.places.taxa import Seen, log_chances, parts_of, seen_of
from biocosmos.errors import BiocosmosError
from biocosmos.identify.priors import load_prior
from biocosmos.identify.priors.network import NetworkPrior
from biocosmos.jobs.place_settings import PlaceSettings
from biocosmos.jobs.train_place import train_place
from biocosmos.places import Places
from biocosmos.specimens import guard

N = 400
QUICK = {"width": 16, "blocks": 1, "dropout": 0.0, "lr": 0.01, "device": "cpu", "rank": "family"}


@pytest.fixture(scope="module")
def plankton(tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    """Two families, of which one lives around each pole, in its own half of the year; some without a date or a place."""
    rng = np.random.default_rng(0)
    north = rng.random(N) < 0.6
    latitude = np.where(north, 1, -1) * rng.uniform(70, 89, N)
    placed, dated = np.arange(N) % 9 > 0, np.arange(N) % 7 > 0
    collection = bc.Collection.create(tmp_path_factory.mktemp("polar") / "polar.cosmos")
    collection.add(
        pa.table(
            {
                "id": [f"copepod-{i:03d}" for i in range(N)],
                "text": ["in a net"] * N,
                "family": ["Calanidae" if far else "Rhincalanidae" for far in north],
                "latitude": pa.array(latitude, mask=~placed),
                "longitude": pa.array(rng.uniform(-180, 180, N), mask=~placed),
                "date": [
                    f"2026-{(6 if far else 0) + 1 + i % 6:02d}-15" if known else None
                    for i, (far, known) in enumerate(zip(north, dated, strict=True))
                ],
            }
        )
    )
    collection.make_split("random", seed=1)
    return collection


def asked(**known: float) -> Places:
    return Places.one(**known)


@pytest.mark.parametrize("method", ["sinr", "geo-prior", "mlp"])
def test_a_network_tells_the_poles_apart(plankton: bc.Collection, tmp_path: Path, method: str) -> None:
    result = train_place(plankton, tmp_path / "prior", PlaceSettings(method=method, epochs=8, split="train", **QUICK))
    prior = load_prior(tmp_path / "prior")
    assert isinstance(prior, NetworkPrior) and prior.presence == (method != "mlp")
    assert prior.taxa == ("Calanidae", "Rhincalanidae") and prior.base.sum() == pytest.approx(1)
    for where in ({"latitude": 85.0, "longitude": 20.0, "day": 230.0}, {"latitude": 85.0, "longitude": 20.0}, {"day": 230.0}):
        assert prior.chances(asked(**where))[0, 0] > 0.6
    south = asked(latitude=-85, longitude=20, day=40)
    assert prior.chances(south)[0, 1] > (0.9 if method == "mlp" else 0.55) and prior.chances(south).sum() == pytest.approx(1)
    assert prior.shares(south)[0, 1] > prior.shares(south)[0, 0]
    assert prior.shares(asked())[0] == pytest.approx(prior.base) and prior.shares(Places.nowhere(0)).shape == (0, 2)
    rows = dict(result.rows())
    assert float(rows["their -log p, this prior"]) < float(rows["their -log p, overall shares alone"]) - 0.3
    train, test = (plankton.table(["id"], split=part)["id"].to_pylist() for part in ("train", "test"))
    assert set(prior.learnt) < set(train)
    guard.refuse(test, tmp_path / "prior")
    with pytest.raises(BiocosmosError, match="trained the prior of places"):
        guard.refuse(prior.learnt, tmp_path / "prior")
    prior.save(tmp_path / "copy")
    assert (load_prior(tmp_path / "copy").shares(south) == prior.shares(south)).all()


def test_both_poles_are_one_point_as_published() -> None:
    poles = Places.of_numbers(np.array([[90.0, 0, 0, np.nan], [-90, 0, 0, np.nan], [29.65, -82.32, 0, np.nan]]))
    published = seen_of(poles, Seen(published=True, season=False), None).numpy()
    assert published[0] == pytest.approx(published[1], abs=1e-6)
    assert published[2] == pytest.approx([-0.991030, 0.859852, 0.133640, 0.510543], abs=1e-6)
    sphere = seen_of(poles, Seen(season=False), None).numpy()
    assert np.linalg.norm(sphere[0, :3] - sphere[1, :3]) == pytest.approx(2)
    columns = parts_of(Seen(depth=True), bands=2)
    assert sorted((each.start, each.stop) for slices in columns.values() for each in slices) == [
        (0, 6),
        (6, 10),
        (10, 12),
        (12, 14),
    ]


@pytest.mark.parametrize("loss", ["softmax", "an-full", "ssdl", "slds"])
def test_shares_are_told_from_what_a_loss_tends_to(loss: str) -> None:
    """The optimum of each loss, written out: the shares that it was made of come back."""
    shares, base, random, weight = np.array([0.6, 0.3, 0.1]), np.array([0.5, 0.2, 0.3]), 0.7, 50.0
    score = {
        "softmax": shares,
        "an-full": weight * shares / (weight * shares + 1 - shares + random),
        "ssdl": shares / (shares + base * random),
        "slds": shares / (shares + (1 - shares) / 2),
    }[loss]
    logits = np.log(shares) if loss == "softmax" else np.log(score / (1 - score))
    found = log_chances(torch.from_numpy(logits[None]), loss, weight, torch.from_numpy(base)).exp().numpy()
    assert found[0] == pytest.approx(shares, abs=1e-9)


@pytest.mark.parametrize("told", [{"loss": "ssdl"}, {"loss": "slds"}, {"inputs": "published"}, {"hide": 0.0}])
def test_other_losses_and_codes(plankton: bc.Collection, tmp_path: Path, told: dict[str, object]) -> None:
    train_place(plankton, tmp_path / "prior", PlaceSettings(method="sinr", epochs=2, **{**QUICK, **told}))
    prior = load_prior(tmp_path / "prior")
    assert prior.presence and np.isfinite(prior.chances(asked(latitude=80, longitude=3, day=30))).all()
    nowhere = prior.shares(asked(day=30))[0]
    assert (nowhere == pytest.approx(prior.base)) == ("hide" in told)


def test_its_vectors_are_an_encoder_of_places(plankton: bc.Collection, tmp_path: Path) -> None:
    train_place(plankton, tmp_path / "prior", PlaceSettings(method="sinr", epochs=3, **QUICK))
    named, plain = (load_place_encoder(name, device="cpu") for name in (f"place:{tmp_path / 'prior'}", str(tmp_path / "prior")))
    assert named.dim == 16 and named.modality == "place" and named.digest == plain.digest and "taxa" in str(named.metadata())
    places = Places.of_numbers(np.array([[80.0, 3, 30, np.nan], [-80, 3, 30, np.nan], [np.nan, np.nan, 30, np.nan]]))
    vectors = named.encode_places(places)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 0]) and (vectors == plain.encode_places(places)).all()
    assert vectors[0] @ vectors[1] < 0.99


def test_a_killed_training_ends_with_the_same_weights(plankton: bc.Collection, tmp_path: Path) -> None:
    settings = PlaceSettings(method="sinr", epochs=5, width=16, blocks=1, patience=5, device="cpu", seed=3, rank="family")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    words = "--method sinr --epochs 5 --width 16 --blocks 1 --patience 5 --device cpu --seed 3 --rank family"
    kill(["train", "place", str(plankton.path), "-o", str(cut), *words.split()], cut)
    with pytest.raises(BiocosmosError, match="has not ended"):
        load_prior(cut)
    network = train_place(plankton, cut, settings).network
    assert network is not None and 0 < network.history.resumed_at < network.history.steps
    train_place(plankton, whole, settings)
    assert (whole / "model.safetensors").read_bytes() == (cut / "model.safetensors").read_bytes()


def test_two_processes_learn_as_one(plankton: bc.Collection, tmp_path: Path) -> None:
    words = "--method mlp --epochs 2 --width 8 --blocks 1 --dropout 0 --hide 0 --patience 2 --device cpu --rank family"
    told = {"method": "mlp", "epochs": 2, "width": 8, "blocks": 1, "dropout": 0.0, "hide": 0.0, "patience": 2}
    settings = PlaceSettings(**told, batch_size=32, device="cpu", rank="family")
    one = train_place(plankton, tmp_path / "one", settings).network
    warm.torchrun("train", "place", plankton.path, *words.split(), "--batch-size", "16", "-o", tmp_path / "two")
    shares = [load_prior(tmp_path / name).shares(asked(latitude=80, longitude=3, day=200.0)) for name in ("one", "two")]
    assert one is not None and shares[0] == pytest.approx(shares[1], abs=1e-4)
    assert set(load_prior(tmp_path / "two").learnt) == set(one.learnt)


def test_rasters_are_seen_and_found_again(plankton: bc.Collection, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    (tmp_path / "rasters").mkdir()
    facts = {"driver": "GTiff", "count": 1, "dtype": "float32", "crs": "EPSG:4326", "width": 36, "height": 18, "nodata": -1}
    turn = rasterio.transform.from_origin(-180, 90, 10, 10)
    with rasterio.open(tmp_path / "rasters" / "cold.tif", "w", transform=turn, **facts) as file:
        cold = np.repeat(np.abs(np.linspace(85, -85, 18))[:, None], 36, 1).astype(np.float32)
        cold[:, :18] = -1
        file.write(cold, 1)
    told = PlaceSettings(method="mlp", epochs=1, rasters=str(tmp_path / "rasters"), **QUICK)
    train_place(plankton, tmp_path / "prior", told)
    here = asked(latitude=80, longitude=3, day=200.0)
    shares = load_prior(tmp_path / "prior").shares(here)
    assert (
        np.isfinite(shares).all() and np.isfinite(load_prior(tmp_path / "prior").shares(asked(latitude=80, longitude=-90))).all()
    )
    (tmp_path / "moved").mkdir()
    for name in ("prior", "rasters"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    assert (load_prior(tmp_path / "moved" / "prior").shares(here) == shares).all()
    (tmp_path / "moved" / "rasters").rename(tmp_path / "gone")
    with pytest.raises(BiocosmosError, match="are not here: bring those"):
        load_prior(tmp_path / "moved" / "prior")


def test_what_is_there_goes_on_or_is_refused(plankton: bc.Collection, tmp_path: Path) -> None:
    folder, settings = tmp_path / "prior", PlaceSettings(method="mlp", epochs=1, **QUICK)
    train_place(plankton, folder, settings)
    again = train_place(plankton, folder, settings)
    assert again.network is not None and again.network.already_done
    with pytest.raises(BiocosmosError, match="was begun with --selection"):
        train_place(plankton, folder, PlaceSettings(method="mlp", epochs=1, split="train", **QUICK))
    kernel = PlaceSettings(kilometres=500, days=30, rank="family")
    with pytest.raises(BiocosmosError, match="exists already"):
        train_place(plankton, folder, kernel)
    train_place(plankton, folder, kernel, overwrite=True)
    assert sorted(path.name for path in folder.iterdir()) == ["fitted.parquet", "kernel.npz"]
    with pytest.raises(BiocosmosError, match="exists already"):
        train_place(plankton, folder, settings)
    train_place(plankton, folder, settings, overwrite=True)
    assert not load_prior(folder).presence and not (folder / "kernel.npz").exists()


def test_a_damaged_folder_is_told_in_a_line(plankton: bc.Collection, tmp_path: Path) -> None:
    folder = tmp_path / "prior"
    train_place(plankton, folder, PlaceSettings(method="mlp", epochs=1, **QUICK))
    facts = json.loads((folder / "biocosmos.json").read_text())
    (folder / "biocosmos.json").write_text(json.dumps(facts | {"shape": facts["shape"] | {"season": False}}))
    with pytest.raises(BiocosmosError, match=r"layers|body"):
        load_prior(folder)
    (folder / "biocosmos.json").unlink()
    with pytest.raises(BiocosmosError, match="has not ended"):
        load_prior(folder)
