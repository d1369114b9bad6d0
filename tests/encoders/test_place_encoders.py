"""Encoders of places and of the environment there: kernels, folders of ours, published layouts, and columns of a collection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import biocosmos as bc
from biocosmos.barcodes.simulate import simulate_barcodes
from biocosmos.embed import strings as embedding
from biocosmos.encoders.modality import modality_of, tower_name, towers_of
from biocosmos.encoders.places.encoder import PlaceEncoder, load_place_encoder
from biocosmos.encoders.places.environment import Environment
from biocosmos.encoders.places.environment_models import save_environment
from biocosmos.encoders.places.models import load_place_model, new_place_model, save_place_model
from biocosmos.encoders.places.projected import save_projected_places
from biocosmos.encoders.registry import load_encoder
from biocosmos.encoders.spaces import save_space
from biocosmos.errors import BiocosmosError
from biocosmos.nn.location.capsules import GeoClipPlaces
from biocosmos.nn.location.environment import ResidualNet
from biocosmos.nn.projection import Projection
from biocosmos.places import Places

NAN = float("nan")


def places(*rows: tuple[float, float, float, float]) -> Places:
    """(latitude, longitude, day, depth) each."""
    latitude, longitude, day, depth = np.array(rows, np.float64).T
    unknown = np.full(len(rows), np.nan)
    country = np.full(len(rows), None, object)
    return Places(
        latitude=latitude, longitude=longitude, uncertainty=unknown, depth=depth, altitude=unknown, day=day, country=country
    )


def rasters(folder: Path, sea: int = 3) -> Path:
    """Two bands over the globe in cells of 10 degrees, without a value in the row ``sea``."""
    rasterio = pytest.importorskip("rasterio")
    folder.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(1).normal(10, 2, (2, 18, 36)).astype(np.float32)
    values[0, sea] = -1
    turn = rasterio.transform.from_origin(-180, 90, 10, 10)
    for name, band in zip(("bio_1", "bio_2"), values):
        how = {"driver": "GTiff", "height": 18, "width": 36, "count": 1, "dtype": "float32", "nodata": -1.0}
        with rasterio.open(folder / f"{name}.tif", "w", crs="EPSG:4326", transform=turn, **how) as file:
            file.write(band, 1)
    return folder


def test_cosines_are_the_kernel_of_distance_season_and_depth() -> None:
    rng = np.random.default_rng(0)
    rows = np.stack(
        [52 + rng.normal(0, 0.3, 60), 5 + rng.normal(0, 0.4, 60), rng.uniform(0, 365.25, 60), rng.uniform(0, 60, 60)], 1
    )
    at = places(*rows)
    lat, lon = np.radians(rows[:, 0]), np.radians(rows[:, 1])
    haversine = np.sin((lat[:, None] - lat) / 2) ** 2 + np.cos(lat[:, None]) * np.cos(lat) * np.sin((lon[:, None] - lon) / 2) ** 2
    km = 2 * 6371.0088 * np.arcsin(np.sqrt(haversine))
    days = np.abs(rows[:, 2][:, None] - rows[:, 2])
    days = np.minimum(days, 365.25 - days)
    metres = rows[:, 3][:, None] - rows[:, 3]
    for spec, wanted in (
        ("30km", np.exp(-(km**2) / 1800)),
        ("15d", np.exp(-(days**2) / 450)),
        ("30km-15d-20m", np.exp(-(km**2) / 1800 - days**2 / 450 - metres**2 / 800)),
    ):
        vectors = load_place_encoder(f"place:{spec}").encode_places(at)
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
        error = vectors @ vectors.T - wanted
        assert np.sqrt((error**2).mean()) < 0.05 and np.abs(error).max() < 0.2
    year = load_place_encoder("place:40d").encode_places(places((0, 0, 0.0, 0), (0, 0, 365.25, 0)))
    assert year[0] == pytest.approx(year[1], abs=1e-4)
    poles = load_place_encoder("place:500km").encode_places(places((90, 0, 0, 0), (90, 120, 0, 0), (-90, 0, 0, 0)))
    assert poles[0] @ poles[1] == pytest.approx(1, abs=1e-5) and abs(poles[0] @ poles[2]) < 0.15


def test_what_is_not_known_has_no_vector() -> None:
    at = places((52, 5, NAN, NAN), (52, 5, 100, NAN), (NAN, NAN, 100, 3), (52, 5, 100, 3))
    for spec, there in (("15km", [1, 1, 0, 1]), ("15km-15d", [0, 1, 0, 1]), ("15d-9m", [0, 0, 1, 1]), ("9m", [0, 0, 1, 1])):
        assert load_place_encoder(f"place:{spec}").encode_places(at).any(axis=1).tolist() == [bool(one) for one in there]
    assert len({load_place_encoder(f"place:{spec}").digest for spec in ("15km", "16km", "15d", "15km-15d")}) == 4


@pytest.mark.parametrize("spec", ["", "15", "km", "0km", "15d-15km", "15km15d", "-15km", "15km-", "1e3km", "15km-15km"])
def test_a_kernel_without_widths_is_refused(spec: str) -> None:
    with pytest.raises(BiocosmosError, match="say the widths"):
        load_place_encoder(f"place:{spec}")


@pytest.mark.parametrize("kind", ["sphere", "geoclip"])
def test_a_trained_folder_is_an_encoder_of_places(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden": 8, "frequencies": 4}
    model = new_place_model(kind, 6, **shape)
    digest = save_place_model(tmp_path / "run", model, training={"what": "nothing was learnt"})
    name = f"{tmp_path}/run"
    assert modality_of(name) == "place" and tower_name(name) == name
    encoder = load_place_encoder(name)
    assert isinstance(encoder, PlaceEncoder) and (encoder.digest, encoder.dim) == (digest, 6)
    at = places((52, 5, 100, NAN), (NAN, 5, 100, NAN), (-90, 180, NAN, NAN))
    found = encoder.encode_places(at)
    wanted = torch.nn.functional.normalize(model.network.eval()(model.inputs(at.take(np.array([0, 2])))), dim=1)
    assert found[[0, 2]] == pytest.approx(wanted.detach().numpy(), abs=1e-6) and not found[1].any()
    assert "nothing was learnt" in (tmp_path / "run" / "README.md").read_text()
    with pytest.raises(BiocosmosError, match="takes places, and images are asked for"):
        load_encoder(name)
    facts = json.loads((tmp_path / "run" / "biocosmos.json").read_text())
    for key, value, said in (("digest", "0" * 16, "was changed"), ("network", "other", "biocosmos.json"), ("shape", {}, "shape")):
        (tmp_path / "run" / "biocosmos.json").write_text(json.dumps({**facts, key: value}))
        with pytest.raises(BiocosmosError, match=said):
            load_place_model(name)
    (tmp_path / "run" / "biocosmos.json").write_text(json.dumps(facts))
    (tmp_path / "run" / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(BiocosmosError, match="cannot read"):
        load_place_encoder(name)


def test_published_weights_of_places_are_found_in_every_layout(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = GeoClipPlaces(5, frequencies=4, hidden=6).eval()
    state = network.state_dict()
    geoclip, hub, trainer = (tmp_path / name for name in ("geoclip", "hub", "trainer"))
    for folder in (geoclip, hub, trainer):
        folder.mkdir()
    torch.save(state, geoclip / "location_encoder_weights.pth")
    torch.save({"x": torch.zeros(1)}, geoclip / "logit_scale_weights.pth")
    save_file(dict(state), hub / "model.safetensors")
    (hub / "config.json").write_text("{}")
    whole = {f"location_encoder.{name}": tensor for name, tensor in state.items()} | {"model.logit_scale": torch.zeros(1)}
    torch.save({"state_dict": whole, "epoch": 3}, trainer / "last.ckpt")
    at = places((52, 5, NAN, NAN), (-33.45, -70.67, NAN, NAN))
    wanted = torch.nn.functional.normalize(network(torch.tensor([[52.0, 5], [-33.45, -70.67]])), dim=1).detach().numpy()
    for name in (str(geoclip), str(hub), f"place:{trainer}/last.ckpt", f"place:{hub}"):
        assert modality_of(name) == "place"
        encoder = load_place_encoder(name)
        assert encoder.encode_places(at) == pytest.approx(wanted, abs=1e-5)
        assert encoder.metadata()["network"] == "geoclip"
    torch.save({"state_dict": {"model.visual.proj": torch.zeros(2, 2)}}, trainer / "last.ckpt")
    with pytest.raises(BiocosmosError, match="holds no encoder of places"):
        load_place_encoder(f"place:{trainer}/last.ckpt")
    del state["LocEnc1.head.0.bias"]
    torch.save(state, geoclip / "location_encoder_weights.pth")
    with pytest.raises(BiocosmosError, match=r"lacks LocEnc1\.head\.0\.bias"):
        load_place_encoder(str(geoclip))
    (geoclip / "location_encoder_weights.pth").write_bytes(b"no pickle")
    with pytest.raises(BiocosmosError, match="cannot read"):
        load_place_encoder(str(geoclip))


def test_the_environment_is_a_kernel_over_scaled_bands_and_the_sea_is_told(tmp_path: Path) -> None:
    folder = rasters(tmp_path / "rasters")
    name = f"environment:{folder}"
    encoder = load_place_encoder(name)
    at = places((5, 5, NAN, NAN), (-45, 100, NAN, NAN), (55, 5, NAN, NAN), (NAN, 5, NAN, NAN))
    vectors = encoder.encode_places(at)
    assert vectors.any(axis=1).tolist() == [True, True, False, False]
    environment = Environment.of(folder)
    z = environment.at(at)
    assert vectors[0] @ vectors[1] == pytest.approx(np.exp(-((z[0] - z[1]) ** 2).mean() / 2), abs=0.1)
    assert encoder.reasons(at.take(np.array([2]))) == ["bio_1 lacks a value here (sea, no data, or off the grid)"]
    published = load_place_encoder(f"{name}!published")
    assert published.encode_places(at).any(axis=1).tolist() == [True, True, True, False]
    assert published.digest != encoder.digest
    with pytest.raises(BiocosmosError, match="name a folder of rasters"):
        load_place_encoder("environment:")
    with pytest.raises(BiocosmosError, match="no folder of rasters"):
        load_place_encoder("environment:nowhere")


def test_networks_over_the_environment_published_and_trained(tmp_path: Path) -> None:
    folder = rasters(tmp_path / "rasters")
    torch.manual_seed(0)
    network = ResidualNet(2, 5, depth=2).eval()
    environment = Environment.of(folder)
    at = places((5, 5, NAN, NAN), (55, 5, NAN, NAN))
    wanted = torch.nn.functional.normalize(network(torch.from_numpy(environment.at(at)[:1])), dim=1).detach().numpy()
    hub = tmp_path / "env"
    hub.mkdir()
    state = {**network.state_dict(), "class_emb.weight": torch.zeros(7, 5)}
    save_file({f"env_encoder.{name}": tensor for name, tensor in state.items()}, hub / "model.safetensors")
    found = load_place_encoder(f"environment:{folder}@{hub}").encode_places(at)
    assert found[0] == pytest.approx(wanted[0], abs=1e-6) and not found[1].any()
    digest = save_environment(tmp_path / "run" / "environment", environment, network, training={})
    name = f"{tmp_path}/run/environment"
    encoder = load_place_encoder(name)
    assert modality_of(name) == "environment" and encoder.digest == digest
    assert encoder.encode_places(at) == pytest.approx(found, abs=1e-6)
    assert load_place_encoder(f"environment:{folder}@{name}").digest == digest
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(BiocosmosError, match="are not here: name them"):
        load_place_encoder(name)
    assert load_place_encoder(f"environment:{tmp_path}/elsewhere@{name}").digest == digest
    (tmp_path / "elsewhere" / "bio_2.tif").rename(tmp_path / "elsewhere" / "bio_3.tif")
    with pytest.raises(BiocosmosError, match="trained on 2 bands"):
        load_place_encoder(f"environment:{tmp_path}/elsewhere@{name}")
    save_file(dict(ResidualNet(3, 5, depth=1).state_dict()), hub / "model.safetensors")
    with pytest.raises(BiocosmosError, match="takes 3 values"):
        load_place_encoder(f"environment:{tmp_path}/elsewhere@{hub}")


def test_a_projection_over_places_is_a_folder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    at = places((52, 5, 100, NAN), (NAN, 5, 100, NAN))
    for base, name in (("place:15km-15d", "place"), (f"environment:{rasters(tmp_path / 'rasters')}", "environment")):
        encoder, projection = load_place_encoder(base), Projection(1024, 5)
        at = places((5, 5, 100, NAN), (NAN, 5, 100, NAN))
        digest = save_projected_places(tmp_path / "run" / name, encoder, projection, training={})
        made = load_place_encoder(f"{tmp_path}/run/{name}")
        assert (made.digest, made.dim, modality_of(made), made.takes) == (digest, 5, name, encoder.takes)
        found = made.encode_places(at)
        wanted = torch.nn.functional.normalize(projection.cpu()(torch.from_numpy(encoder.encode_places(at))), dim=1)
        assert found[0] == pytest.approx(wanted[0].detach().numpy(), abs=1e-5) and not found[1].any()
    save_space(tmp_path / "run", {"place": digest, "environment": digest}, dim=5, training={})
    assert list(towers_of(str(tmp_path / "run"))) == ["place", "environment"]
    assert load_place_encoder(str(tmp_path / "run")).name.endswith("run/place")


@pytest.fixture
def collection(tmp_path: Path) -> bc.Collection:
    """Twelve barcodes: two without a place, one of them without a day either."""
    table = simulate_barcodes(seed=1, species=3, specimens=12)
    latitude = [52.0 + row / 10 for row in range(10)] + [None, None]
    table = table.append_column("latitude", [latitude]).append_column("longitude", [[5.0] * 10 + [None, None]])
    table = table.append_column("date", [["2026-06-04"] * 6 + [None] * 4 + ["2026-06-04", None]])
    made = bc.Collection.create(tmp_path / "mine.cosmos")
    made.add(table)
    return made


def test_a_column_of_places_is_kept_searched_and_forgotten_when_a_place_changes(
    collection: bc.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "PART_ROWS", 5)
    done = bc.embed(collection, "place:15km")
    assert (done.images, done.without_image, done.unit, done.lacking) == (10, 2, "places", "a place")
    assert collection.encoders["place:15km"]["modality"] == "place"
    season = bc.embed(collection, "place:15km-15d")
    assert (season.images, season.without_image, season.lacking) == (6, 6, "a place and a day")
    ids = list(collection.vectors("place:15km").ids)
    hits = collection.gallery("place:15km").search(collection.gallery("place:15km"), 1, exclude_self=True)
    assert (hits.scores[:, 0] > 0.6).all()
    again = bc.embed(collection, "place:15km")
    assert (again.images, again.kept) == (0, 10)
    bc.embed(collection, "kmer:5")
    collection.change({"id": [ids[0]], "latitude": [53.5]}, verb="update")
    collection.change({"id": [ids[1]], "barcode": ["ACGT" * 50]}, verb="update")
    collection.change({"id": [ids[2]], "date": ["2026-07-01"]}, verb="update")
    left = {name: set(ids) - set(collection.vectors(name).ids) for name in ("place:15km", "place:15km-15d", "kmer:5")}
    assert ids[0] in left["place:15km"] and ids[1] not in left["place:15km"] and left["kmer:5"] == {ids[1]}
    assert {ids[0], ids[2]} <= left["place:15km-15d"]
    assert bc.embed(collection, "place:15km").images == len(left["place:15km"])
    assert collection.default_encoder == "kmer:5"


def test_the_sea_is_a_failure_of_the_collection(collection: bc.Collection, tmp_path: Path) -> None:
    folder = rasters(tmp_path / "rasters")
    done = bc.embed(collection, f"environment:{folder}")
    assert (done.images, done.failed, done.without_image) == (0, 10, 2)  # 52 to 53 degrees are in the row without values
    assert "bio_1 lacks a value here" in done.failures.gravest()
    folder = rasters(tmp_path / "others", sea=9)
    assert bc.embed(collection, f"environment:{folder}").images == 10
