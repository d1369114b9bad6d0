"""Activations of frozen stages: the same whether computed at once, in two goes or for more views later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import biocosmos as bc
from biocosmos.encoders.feature_maps import Trunk
from biocosmos.encoders.folding import folded
from biocosmos.encoders.registry import load_towers
from biocosmos.errors import BiocosmosError
from biocosmos.train.batches import stage_cache
from biocosmos.train.batches.augment import PLANKTON
from biocosmos.train.batches.images import Images
from biocosmos.train.batches.stage_cache import CacheBatches, StageCache
from biocosmos.train.loop.loop import derived_seed

SIZE, SEED = 32, 5


class Pixels(nn.Module):
    """Bytes to what the front gives, as the recipe of heads has it."""

    def __init__(self, front: nn.Module) -> None:
        super().__init__()
        self.front = front

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.front(images.float() / 127.5 - 1)


@pytest.fixture(scope="module")
def front() -> nn.Module:
    towers = load_towers("efficientnet-lite0")
    towers = replace(towers, preprocessing=towers.preprocessing.replaced(size=SIZE))
    return Pixels(Trunk(towers, taps=1).frozen_prefix(3)[0])


@pytest.fixture
def images(tiny_collection: bc.Collection) -> Images:
    preprocessing = load_towers("efficientnet-lite0").preprocessing.replaced(size=SIZE)
    return Images(tiny_collection, tiny_collection.table(["id"])["id"].to_pylist(), preprocessing, cache_gb=1)


def opened(folder: Path, images: Images, front: nn.Module, views: int = 2, **changes) -> StageCache:
    options = {"augment": PLANKTON, "seed": SEED, "digest": "d" * 16, "stages": 3, "workers": 1, **changes}
    return StageCache.open(folder, images=images, front=front, views=views, **options)


def test_a_view_is_the_front_of_the_changed_images(tmp_path, images, front) -> None:
    cache = opened(tmp_path, images, front)
    rows = np.arange(64, 120)
    changed = PLANKTON(images.read(rows)[0], torch.Generator().manual_seed(derived_seed(SEED, 1, 64, 4)))
    with torch.no_grad():
        expected = front(changed).permute(0, 2, 3, 1).numpy()
    assert cache.view(1).shape == (120, *expected.shape[1:])
    assert np.allclose(cache.view(1)[64:], expected, rtol=2e-3, atol=2e-3)
    assert not np.allclose(cache.view(0)[64:], expected, rtol=2e-3, atol=2e-3)


def test_a_start_that_was_killed_goes_on_and_nothing_is_computed_twice(tmp_path, images, front, monkeypatch) -> None:
    monkeypatch.setattr(stage_cache, "KEPT_EVERY", 1)
    seen: list[int] = []
    read = images.read

    def killed_at(limit: int):
        def reading(rows):
            if rows[0] >= limit:
                raise KeyboardInterrupt
            seen.extend(rows.tolist())
            return read(rows)

        return reading

    monkeypatch.setattr(images, "read", killed_at(64))
    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path / "two", images, front)
    monkeypatch.setattr(images, "read", killed_at(1000))
    two = opened(tmp_path / "two", images, front)
    assert seen == list(range(120))
    opened(tmp_path / "two", images, front)
    assert seen == list(range(120))
    three = opened(tmp_path / "two", images, front, views=3)  # one more view
    monkeypatch.setattr(images, "read", read)
    one = opened(tmp_path / "one", images, front, views=3)
    for view in range(2):
        assert np.array_equal(one.view(view), two.view(view))
    assert np.array_equal(one.view(2), three.view(2))
    assert not list(two.folder.glob(".view*"))


def test_other_settings_have_a_cache_of_their_own(tmp_path, images, front) -> None:
    folders = {opened(tmp_path, images, front, 1, **change).folder for change in ({}, {"seed": 6}, {"digest": "e" * 16})}
    assert len(folders) == 3


class Drawn:
    """A cache whose activation tells image and view."""

    def __init__(self, count: int, views: int, good: np.ndarray | None = None) -> None:
        self.ids, self.views = [f"s{i}" for i in range(count)], views
        self.good = np.ones(count, np.bool_) if good is None else good

    def __len__(self) -> int:
        return len(self.ids)

    def view(self, number: int) -> np.ndarray:
        return (np.arange(len(self))[:, None, None, None] + 100.0 * number).astype(np.float16)


def batches(cache: Drawn, epoch: int = 0, start: int = 0, **options) -> Iterator:
    return CacheBatches(cache, torch.arange(len(cache)), batch_size=4, seed=1, **options).epoch(epoch, start)


def test_batches_draw_every_image_once_and_another_view_each_epoch() -> None:
    cache = Drawn(16, 2)
    for epoch in range(3):
        drawn = [batch for rank in (0, 1) for batch in batches(cache, epoch, rank=rank, size=2)]
        assert sorted(id_ for batch in drawn for id_ in batch.ids) == sorted(cache.ids)
        for batch in drawn:
            assert torch.equal(batch.inputs.flatten(), batch.targets + 100.0 * (epoch % 2))
    assert [b.ids for b in batches(cache, 1, 2)] == [b.ids for b in batches(cache, 1)][2:]


def test_an_unreadable_image_is_stood_in_for() -> None:
    good = np.ones(16, np.bool_)
    good[[3, 9]] = False
    drawn = [id_ for batch in batches(Drawn(16, 1, good)) for id_ in batch.ids]
    assert len(drawn) == 16
    assert not {"s3", "s9"} & set(drawn)
    with pytest.raises(BiocosmosError, match="none of 4 images can be read"):
        list(batches(Drawn(16, 1, np.zeros(16, np.bool_))))


def test_folding_changes_no_result_and_is_given_up_where_it_would() -> None:
    model = load_towers("efficientnet-lite0").image
    x = torch.randn(2, 3, SIZE, SIZE)
    fast = folded(model, x)
    assert sum(isinstance(part, nn.BatchNorm2d) for part in fast.modules()) == 0
    with torch.no_grad():
        assert torch.allclose(fast(x), model(x), atol=1e-3)

    class Twice(nn.Module):
        """The convolution's output is also used before the norm."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
            nn.init.constant_(self.norm.bias, 3.0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            return y + self.norm(y)

    twice = Twice().eval()
    with torch.no_grad():
        assert torch.equal(folded(twice, x)(x), twice(x))
