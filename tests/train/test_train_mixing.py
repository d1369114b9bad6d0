"""Mixing, weighted sampling, image sizes and recipes: what a training of heads draws and begins with."""

from __future__ import annotations

import math

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import biocosmos as bc
from biocosmos.errors import BiocosmosError
from biocosmos.images import read_image
from biocosmos.train.batches.image_sizes import image_sizes
from biocosmos.train.batches.mixing import cutmix, mixup
from biocosmos.train.batches.sampling import chances, drawn
from biocosmos.train.heads.recipes import recipe, recipe_file, recipes
from biocosmos.train.heads.settings import HeadSettings

IMAGES = torch.arange(12).view(12, 1, 1, 1).expand(12, 3, 16, 16).to(torch.uint8)
"""Image i is of the value i everywhere."""


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixup_blends_each_row_with_the_one_whose_target_it_names(alpha: float) -> None:
    for seed in range(5):
        mixed, other, share = mixup(IMAGES, torch.arange(12), alpha, seeded(seed))
        assert torch.allclose(mixed[:, 0, 0, 0], share * torch.arange(12) + (1 - share) * other, atol=1e-5)
        assert sorted(other.tolist()) == list(range(12)) and 0 <= share <= 1
        again = mixup(IMAGES, torch.arange(12), alpha, seeded(seed))
        assert torch.equal(again[0], mixed) and again[2] == share


def test_cutmix_shares_are_those_of_the_pixels() -> None:
    for seed in range(20):
        mixed, other, share = cutmix(IMAGES, torch.arange(12), 1.0, seeded(seed))
        assert mixed.dtype == torch.uint8
        for row in range(12):
            if other[row] != row:
                assert (mixed[row, 0] == row).float().mean().item() == pytest.approx(share)
                assert ((mixed[row] == row) | (mixed[row] == other[row])).all()
    with pytest.raises(BiocosmosError, match="use MixUp"):
        cutmix(torch.zeros(4, 8), torch.arange(4), 1.0, seeded(0))
    with pytest.raises(BiocosmosError, match="above 0"):
        mixup(torch.zeros(4, 8), torch.arange(4), 0.0)


def test_shares_are_beta_distributed() -> None:
    generator = seeded(0)
    shares = [mixup(torch.zeros(2, 1), torch.arange(2), 0.2, generator)[2] for _ in range(1000)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.05)
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * 0.2 + 1)), rel=0.12)  # of Beta(a, a)


def test_outliers_are_left_out_of_mixing_and_rare_taxa_are_partners_more_often() -> None:
    targets = torch.tensor([0] * 10 + [1, -1])
    counts = torch.tensor([10.0, 1.0])
    generator, seen = seeded(0), []
    for _ in range(100):
        mixed, other, _ = mixup(IMAGES, targets, 1.0, generator, weights=1 / counts[targets.clamp_min(0)])
        assert other[11] == -1 and (other[:11] >= 0).all() and (mixed[11] == 11).all()
        seen += other[:11].tolist()
    assert np.mean(seen) == pytest.approx(0.5, abs=0.06)


def test_without_a_generator_torchs_own_is_used_which_checkpoints_keep() -> None:
    torch.manual_seed(5)
    first = mixup(IMAGES, torch.arange(12), 0.4)
    torch.manual_seed(5)
    assert torch.equal(mixup(IMAGES, torch.arange(12), 0.4)[0], first[0])


@settings(max_examples=30, deadline=None)
@given(targets=st.lists(st.integers(-1, 4), min_size=1, max_size=60), q=st.floats(0, 1), seed=st.integers(0, 99))
def test_each_specimen_comes_as_often_as_its_taxons_size_says(targets: list[int], q: float, seed: int) -> None:
    sizes = {target: targets.count(target) for target in targets}
    weights = [sizes[target] ** -q if target >= 0 else None for target in targets]
    known = [weight for weight in weights if weight is not None]
    expected = [1.0 if weight is None else weight * len(known) / sum(known) for weight in weights]
    assert chances(np.array(targets), q) == pytest.approx(np.array(expected))
    rows = drawn(np.array(targets), q, seed, 0)
    assert len(rows) == len(targets)
    times = np.bincount(rows, minlength=len(targets))
    assert (np.abs(times - expected) < 1 + 1e-9).all()
    for target in sizes:  # and so does the taxon
        mine = np.array(targets) == target
        assert abs(times[mine].sum() - np.array(expected)[mine].sum()) < 1 + 1e-9
    assert (rows == drawn(np.array(targets), q, seed, 0)).all()


def test_epochs_differ_and_q_0_is_each_specimen_once() -> None:
    targets = np.repeat([0, 1, 2], [90, 9, 1])
    assert sorted(drawn(targets, 0.0, 0, 0)) == list(range(100))
    assert (drawn(targets, 1.0, 0, 0) != drawn(targets, 1.0, 0, 1)).any()
    assert np.bincount(targets[drawn(targets, 1.0, 0, 3)]) == pytest.approx([33.3, 33.3, 33.3], abs=1)
    with pytest.raises(BiocosmosError, match="0 to 1"):
        drawn(targets, 2.0, 0, 0)


def test_image_sizes_are_those_of_the_decoded_images(tiny_collection: bc.Collection) -> None:
    ids = tiny_collection.table(["id"])["id"].to_pylist()[:30][::-1]
    got = image_sizes(tiny_collection, ids)
    assert got.shape == (30, 2) and got.dtype == np.float32
    for id_, (height, width) in zip(ids, got):
        data = tiny_collection.image_bytes(id_)
        assert data is not None
        shape = read_image(data).pixels.shape
        assert (math.exp(height), math.exp(width)) == pytest.approx(shape[:2], rel=1e-5)
    with pytest.raises(BiocosmosError, match="no specimen 'nobody'"):
        image_sizes(tiny_collection, [ids[0], "nobody"])


def test_every_recipe_is_a_set_of_settings_for_a_model_that_timm_has() -> None:
    listed = recipes()
    assert len(listed) >= 7 and all(what for _, what in listed)
    for name, _ in listed:
        made = HeadSettings(**recipe(name))
        kind, _, model = made.encoder.rpartition(":")
        if kind == "timm":
            assert model in timm.list_pretrained(model)
        else:
            assert made.encoder == "efficientnet-lite0"


def test_a_recipe_of_ones_own_is_a_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    own = tmp_path_factory.mktemp("own") / "mine.toml"
    own.write_text("# mine\nepochs = 3\n")
    assert recipe(str(own)) == {"epochs": 3} and recipe_file("convnext").name == "convnext.toml"
    with pytest.raises(BiocosmosError, match="no recipe 'resnet': choose bioscan1m-resnet50, bioscan1m-vit-b, convnext"):
        recipe("resnet")
