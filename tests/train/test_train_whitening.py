"""Whitening: what all vectors share counts less; and the frozen first stages of a tower stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

from biocosmos.errors import BiocosmosError
from biocosmos.train.loop.freezing import freeze_stages
from biocosmos.train.unicom.whitening import whitened, whitening


def test_every_direction_varies_by_the_root_of_what_it_did_and_the_mean_is_taken_away() -> None:
    rng = np.random.default_rng(0)
    spread = np.array([4.0, 1.0, 0.25], np.float32)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0].astype(np.float32)
    x = (rng.normal(size=(40_000, 3)).astype(np.float32) * spread) @ turn.T + 5
    w, b = whitening(x)
    y = x @ w.T + b
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-4)
    deviations = y.std(0)
    np.testing.assert_allclose(deviations / deviations[0], np.sqrt(spread / spread[0]), rtol=0.02)
    assert np.sqrt((y**2).sum(1).mean()) == pytest.approx(1, rel=1e-3)
    full = x @ (parts := whitening(x, power=1.0))[0].T + parts[1]
    np.testing.assert_allclose(np.cov(full.T) * 3, np.eye(3), atol=0.01)  # unit length over three directions


def test_fewer_directions_are_kept_when_the_vectors_vary_in_fewer() -> None:
    rng = np.random.default_rng(1)
    flat = (rng.normal(size=(50, 2)) @ rng.normal(size=(2, 6))).astype(np.float32)
    assert whitening(flat, 5)[0].shape == (2, 6)
    assert whitening(flat, 1)[0].shape == (1, 6)
    np.testing.assert_allclose(np.linalg.norm(whitened(flat), axis=1), 1, atol=1e-5)
    with pytest.raises(BiocosmosError, match="all alike"):
        whitening(np.ones((4, 3), np.float32))


def test_frozen_stages_do_not_change_and_the_rest_does() -> None:
    torch.manual_seed(0)
    model = timm.create_model("resnet10t", num_classes=0)
    freeze_stages(model, 2)
    frozen = {name for name, weights in model.named_parameters() if not weights.requires_grad}
    assert any(name.startswith("layer1") for name in frozen) and not any(name.startswith("layer4") for name in frozen)
    with pytest.raises(BiocosmosError, match=r"--freeze-stages must be 1 to \d+ for this model, not 99"):
        freeze_stages(timm.create_model("resnet10t", num_classes=0), 99)
    with pytest.raises(BiocosmosError, match="knows the stages of timm models only"):
        freeze_stages(torch.nn.Linear(2, 2), 1)


def test_the_norms_of_many_processes_keep_their_activations() -> None:
    """torch's own conversion loses the activation inside timm's batch norms: the loop must use timm's."""
    from biocosmos.train.loop import loop

    torch.manual_seed(0)
    model = timm.create_model("test_efficientnet", num_classes=0).eval()
    picture = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = model(picture)
        after = loop.with_common_norms(model).eval()(picture)
    torch.testing.assert_close(after, before)
