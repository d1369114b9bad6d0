"""SatCLIP's encoder of places, from a file of its layout with random weights; public weights were never at hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import sph_harm_y

from biocosmos.encoders.modality import modality_of
from biocosmos.encoders.places.encoder import load_place_encoder
from biocosmos.encoders.places.models import PlaceModel, load_place_model, save_place_model
from biocosmos.errors import BiocosmosError
from biocosmos.nn.location.harmonics import SatClipPlaces, spherical_harmonics
from biocosmos.places import Places

WHERE = torch.tensor([[52.05, 5.05], [-33.45, -70.67], [89.9, 12.0], [-90.0, 0.0], [0.0, 180.0]], dtype=torch.float64)


@pytest.mark.parametrize("calculation", ["analytic", "closed-form"])
def test_harmonics_are_those_of_scipy_but_for_what_the_published_formulas_do(calculation: str) -> None:
    found = spherical_harmonics(WHERE, 41, calculation)
    assert found.shape == (5, 1681) and found.dtype == torch.float64
    tilt, turn = np.radians(WHERE[:, 0].numpy() + 90), np.radians(WHERE[:, 1].numpy() + 180)
    for degree, order in [(0, 0), (1, -1), (1, 0), (1, 1), (2, 2), (7, -3), (40, 0), (40, 17), (40, -40)]:
        true = sph_harm_y(degree, abs(order), tilt, turn)  # with the sign of Condon and Shortley
        sign = 1 if calculation == "closed-form" else (-1) ** order
        expected = {-1: sign * math.sqrt(2) * true.imag, 0: true.real, 1: sign * math.sqrt(2) * true.real}[np.sign(order)]
        scale = math.pi if calculation == "analytic" and order == 0 else 1
        np.testing.assert_allclose(found[:, degree * (degree + 1) + order], scale * expected, atol=1e-12)
    # of SatCLIP's own formulas: Yl0_m0, Yl1_m0 and Yl2_m0
    if calculation == "analytic":
        x = np.cos(tilt)
        for column, own in (
            (0, 0.886226925452758 + 0 * x),
            (2, 1.53499006191973 * x),
            (6, 2.97249547320451 * x**2 - 0.990831824401503),
        ):
            np.testing.assert_allclose(found[:, column], own, atol=1e-12)


def _file(folder: Path, degrees: int = 3, told: dict[str, object] | None = None) -> tuple[Path, dict[str, torch.Tensor]]:
    rng = torch.Generator().manual_seed(0)
    sizes = {"layers.0": (8, degrees**2), "layers.1": (8, 8), "last_layer": (4, 8)}
    weights = {f"nnet.{name}.weight": torch.randn(size, generator=rng) / 9 for name, size in sizes.items()}
    weights |= {f"nnet.{name}.bias": torch.randn(size[0], generator=rng) / 9 for name, size in sizes.items()}
    state = {f"model.location.{name}": tensor.double() for name, tensor in weights.items()} | {"model.visual.x": torch.ones(2)}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "satclip-vit16-l40.ckpt"
    torch.save({"state_dict": state, "hyper_parameters": told or {"le_type": "sphericalharmonics"}}, path)
    return path, weights


def test_a_checkpoint_gives_the_vectors_of_its_formula(tmp_path: Path) -> None:
    path, weights = _file(tmp_path / "satclip")
    assert modality_of(str(tmp_path / "satclip")) == "place"
    for name in (str(tmp_path / "satclip"), f"place:{path}"):
        encoder = load_place_encoder(name, device="cpu")
        places = Places.of_numbers(np.concatenate([WHERE.numpy(), np.full((5, 2), np.nan)], axis=1))
        y = spherical_harmonics(WHERE, 3).float()
        x = torch.sin(30 * (y @ weights["nnet.layers.0.weight"].T + weights["nnet.layers.0.bias"]))
        x = torch.sin(x @ weights["nnet.layers.1.weight"].T + weights["nnet.layers.1.bias"])
        x = x @ weights["nnet.last_layer.weight"].T + weights["nnet.last_layer.bias"]
        np.testing.assert_allclose(encoder.encode_places(places), torch.nn.functional.normalize(x).numpy(), atol=1e-4)


def test_it_is_saved_and_loaded_as_any_network_of_places(tmp_path: Path) -> None:
    model = PlaceModel("satclip", SatClipPlaces(4, degrees=3, hidden=8, calculation="closed-form"))
    save_place_model(tmp_path / "kept", model, training={})
    again = load_place_model(tmp_path / "kept")
    assert again.kind == "satclip" and torch.equal(again.network(WHERE), model.network(WHERE))


def test_what_is_no_satclip_is_refused(tmp_path: Path) -> None:
    path, _ = _file(tmp_path / "other", told={"le_type": "grid"})
    with pytest.raises(BiocosmosError, match="not of SatCLIP's published kind"):
        load_place_encoder(f"place:{path}", device="cpu")
    state = {"nnet.layers.0.weight": torch.ones(8, 7), "nnet.last_layer.weight": torch.ones(4, 8)}
    torch.save(state, tmp_path / "satclip-odd.ckpt")
    with pytest.raises(BiocosmosError, match="takes 7 numbers of a place"):
        load_place_encoder(f"place:{tmp_path / 'satclip-odd.ckpt'}", device="cpu")
