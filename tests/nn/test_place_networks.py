"""Networks over places: inputs and losses against values of the published code, the poles, gradients."""

import numpy as np
import pytest
import torch

from biocosmos.nn.place.inputs import depth_inputs, place_inputs, random_places, season_inputs
from biocosmos.nn.place.losses import an_full, an_slds, an_ssdl, geo_prior, random_others
from biocosmos.nn.place.network import PlaceNetwork

HERE = torch.tensor([[1.0, -2, 0.5], [0, 3, -1]], dtype=torch.float64, requires_grad=True)
ELSEWHERE = torch.tensor([[-1, 0.2, 0], [2, -3, 0.7]], dtype=torch.float64, requires_grad=True)
SEEN = torch.tensor([0, 2])


def test_places_as_published_and_on_the_sphere() -> None:
    published = place_inputs([29.65], [-82.32], published=True)
    assert published[0] == pytest.approx([-0.991030, 0.859852, 0.133640, 0.510543], abs=1e-6)
    both = place_inputs([90, -90], [0, 0], published=True)
    assert both[0] == pytest.approx(both[1], abs=1e-9)  # the published trap
    poles = place_inputs([90, -90], [0, 0])
    assert np.linalg.norm(poles[0] - poles[1]) == pytest.approx(2)
    near = place_inputs([10, 10], [179.999, -179.999])
    assert np.linalg.norm(near[0] - near[1]) < 1e-4
    assert (place_inputs([np.nan], [np.nan]) == 0).all()


def test_seasons_are_cyclic_and_published_days_run_to_one() -> None:
    assert season_inputs([0.0]) == pytest.approx(season_inputs([365.25]), abs=1e-9)
    assert season_inputs([100.0]).shape == (1, 4)
    days = np.array([0.0, 59, 181, 364])
    t = np.array([0, 0.1621, 0.4973, 1])
    assert season_inputs(days, published=True)[:, 1] == pytest.approx(np.cos(np.pi * (2 * t - 1)), abs=1e-3)
    assert depth_inputs([0.0, 1000, np.nan]).tolist() == [[0, 1], [1, 1], [0, 0]]


@pytest.mark.parametrize(("weight", "value"), [(1, 1.92533535), (3, 2.46749286), (2048, 556.82354145)])
def test_assumed_negative_full(weight: float, value: float) -> None:
    assert an_full(HERE, ELSEWHERE, SEEN, weight).item() == pytest.approx(value, abs=1e-7)


def test_the_other_published_losses() -> None:
    assert geo_prior(HERE, ELSEWHERE, SEEN).item() == pytest.approx(2.46749286, abs=1e-7)
    assert an_ssdl(HERE, ELSEWHERE, SEEN).item() == pytest.approx(1.52143822, abs=1e-7)
    assert an_slds(HERE, SEEN, torch.tensor([1, 0])).item() == pytest.approx(1.22325818, abs=1e-7)


def test_gradients() -> None:
    assert torch.autograd.gradcheck(lambda a, b: an_full(a, b, SEEN, 3.0), (HERE, ELSEWHERE))
    assert torch.autograd.gradcheck(lambda a, b: an_ssdl(a, b, SEEN), (HERE, ELSEWHERE))
    assert torch.autograd.gradcheck(lambda a: an_slds(a, SEEN, torch.tensor([1, 0])), (HERE,))


def test_random_others_are_others_and_random_places_lie_evenly() -> None:
    taxa = torch.arange(5).repeat(200)
    others = random_others(taxa, 5, torch.Generator().manual_seed(0))
    assert (others != taxa).all() and set(others.tolist()) == set(range(5))
    latitude, longitude = random_places(20_000, np.random.default_rng(0))
    assert (np.abs(latitude) > 60).mean() == pytest.approx(1 - np.sin(np.radians(60)), abs=0.01)
    assert np.abs(longitude).max() <= 180


def test_a_network_gives_a_vector_and_a_score_for_each_taxon() -> None:
    network = PlaceNetwork(9, 5, width=16).eval()
    inputs = torch.randn(3, 9)
    assert network(inputs).shape == (3, 5) and network.vectors(inputs).shape == (3, 16)
    assert network.taxa.bias is None and len(network.body) == 2 + 4
