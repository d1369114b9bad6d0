"""Networks over places: projection, Fourier features, GeoCLIP's layout, and a net without a cut."""

from __future__ import annotations

import math

import pytest
import torch

from biocosmos.nn.location.capsules import GeoClipPlaces, SpherePlaces
from biocosmos.nn.location.environment import ResidualNet
from biocosmos.nn.location.equal_earth import equal_earth
from biocosmos.nn.location.fourier import FourierFeatures


def test_equal_earth_as_geoclip_scales_it() -> None:
    places = torch.tensor([[29.65, -82.32], [-33.45, -70.67], [43.7, 7.31], [90.0, 0.0], [60.0, 180.0]], dtype=torch.float64)
    wanted = torch.tensor(
        [
            [-0.4284527, 0.2166399],
            [-0.3611683, -0.2427369],
            [0.0351263, 0.309743],
            [0.0, 0.4867169],
            [0.7533575, 0.402087],
        ],
        dtype=torch.float64,
    )
    assert torch.allclose(equal_earth(places), wanted, atol=1e-7)


def test_fourier_features_by_hand() -> None:
    features = FourierFeatures(1.0, 2, 3).double()
    features.b.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, -2.0]], dtype=torch.float64)
    found = features(equal_earth(torch.tensor([[43.7, 7.31]], dtype=torch.float64)))
    wanted = torch.tensor([[0.975743, -0.366623, -0.801857, 0.218918, 0.930370, 0.597516]], dtype=torch.float64)
    assert torch.allclose(found, wanted, atol=1e-6)
    assert not features.b.requires_grad


def test_capsules_have_geoclips_state_and_are_summed() -> None:
    torch.manual_seed(0)
    network = GeoClipPlaces(8, sigmas=(1.0, 16.0), frequencies=4, hidden=6).eval()
    assert sorted(network.state_dict()) == sorted(
        f"LocEnc{scale}.{name}"
        for scale in (0, 1)
        for name in (
            "capsule.0.b",
            *(f"capsule.{layer}.{part}" for layer in (1, 3, 5) for part in ("weight", "bias")),
            "head.0.weight",
            "head.0.bias",
        )
    )
    places = torch.tensor([[52.0, 5.0], [-10.0, 170.0]])
    state, total = network.state_dict(), torch.zeros(2, 8)
    for scale in (0, 1):
        phase = 2 * math.pi * equal_earth(places) @ state[f"LocEnc{scale}.capsule.0.b"].T
        x = torch.cat([phase.cos(), phase.sin()], 1)
        for layer in (1, 3, 5):
            x = torch.relu(x @ state[f"LocEnc{scale}.capsule.{layer}.weight"].T + state[f"LocEnc{scale}.capsule.{layer}.bias"])
        total += x @ state[f"LocEnc{scale}.head.0.weight"].T + state[f"LocEnc{scale}.head.0.bias"]
    assert torch.allclose(network(places), total, atol=1e-5)
    published = GeoClipPlaces()
    assert tuple(published.LocEnc2.capsule[1].weight.shape) == (1024, 512) and published.dim == 512  # type: ignore[union-attr,index]
    assert published.LocEnc2.capsule[0].b.std().item() == pytest.approx(256, rel=0.1)  # type: ignore[union-attr,index]


def test_the_sphere_has_no_cut_and_says_what_it_does_not_know() -> None:
    torch.manual_seed(0)
    network = SpherePlaces(8, frequencies=8, hidden=16, season=True, depth=True).eval()
    nan = math.nan
    east, west = torch.tensor([[10.0, 180.0, 3.0, 5.0]]), torch.tensor([[10.0, -180.0, 3.0 + 365.25, 5.0]])
    assert torch.allclose(network(east), network(west), atol=1e-4)
    poles = network(torch.tensor([[90.0, 0.0, 3.0, 5.0], [90.0, 77.0, 3.0, 5.0], [-90.0, 0.0, 3.0, 5.0]]))
    assert torch.allclose(poles[0], poles[1], atol=1e-4) and not torch.allclose(poles[0], poles[2], atol=1e-2)
    unknown = network(torch.tensor([[10.0, 20.0, nan, nan], [10.0, 20.0, 0.0, 0.0]]))
    assert unknown.isfinite().all() and not torch.allclose(unknown[0], unknown[1], atol=1e-3)
    again = SpherePlaces(**network.shape())
    again.load_state_dict(network.state_dict())
    assert torch.equal(again.eval()(east), network(east))
    network(torch.tensor([[10.0, 20.0, nan, nan]])).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def test_the_environment_net_ends_in_the_positive_orthant() -> None:
    torch.manual_seed(0)
    network = ResidualNet(3, 8, depth=2).eval()
    assert sorted(network.state_dict()) == sorted(
        f"feats.{layer}.{part}"
        for layer, parts in ((0, ("",)), (2, ("w1.", "w2.")), (3, ("w1.", "w2.")))
        for name in parts
        for part in (f"{name}weight", f"{name}bias")
    )
    x = torch.randn(5, 3)
    state, found = network.state_dict(), network(x)
    y = torch.relu(x @ state["feats.0.weight"].T + state["feats.0.bias"])
    for layer in (2, 3):
        inner = torch.relu(y @ state[f"feats.{layer}.w1.weight"].T + state[f"feats.{layer}.w1.bias"])
        y = y + torch.relu(inner @ state[f"feats.{layer}.w2.weight"].T + state[f"feats.{layer}.w2.bias"])
    assert torch.allclose(found, y, atol=1e-6) and (found >= 0).all()
