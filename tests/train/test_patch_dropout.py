"""Training on a part of each image's patches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import open_clip
import pytest
import timm
import torch
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from biocosmos.encoders.reduction.network import ReducedVit
from biocosmos.encoders.reduction.spec import Reduction
from biocosmos.errors import BiocosmosError
from biocosmos.train.loop.patch_dropout import PatchDropout, drop_patches

SMALL = {"img_size": 32, "patch_size": 4, "embed_dim": 24, "depth": 4, "num_heads": 3, "num_classes": 0}
NETWORKS = {
    "class": lambda: VisionTransformer(**SMALL),
    "registers": lambda: VisionTransformer(**SMALL, reg_tokens=3),
    "no class": lambda: VisionTransformer(**SMALL, class_token=False, global_pool="avg"),
    "distilled": lambda: VisionTransformerDistilled(**SMALL),
    "open_clip": lambda: open_clip.transformer.VisionTransformer(
        image_size=32, patch_size=4, width=24, layers=4, heads=3, mlp_ratio=2.0, output_dim=16
    ),
    "rotary": lambda: timm.create_model(
        "eva02_tiny_patch14_224",
        img_size=32,
        patch_size=4,
        depth=2,
        embed_dim=24,
        num_heads=3,
        num_classes=0,
        ref_feat_shape=(8, 8),
    ),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_kind_of_transformer_drops_patches_in_training_only(kind: str) -> None:
    torch.manual_seed(0)
    make: Callable[[], nn.Module] = NETWORKS[kind]
    dense, batch = make().eval(), torch.randn(2, 3, 32, 32)
    want = dense(batch)
    seen: list[int] = []
    blocks: Any = dense.blocks if hasattr(dense, "blocks") else dense.transformer.resblocks
    prefix = getattr(dense, "num_prefix_tokens", 1)
    drop_patches(dense, 0.5)
    blocks[0].register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
    torch.testing.assert_close(dense(batch), want)
    dense.train()(batch).sum().backward()
    assert seen == [prefix + 64, prefix + 32]
    drop_patches(dense, 0.0)
    torch.testing.assert_close(dense.eval()(batch), want)
    assert set(dense.state_dict()) == set(make().state_dict())


def test_a_reduced_network_is_trained_on_a_part_of_its_patches() -> None:
    tower = ReducedVit(NETWORKS["class"](), Reduction.parse("topk-0.5"), 32)
    drop_patches(tower, 0.25)
    tower.train()(torch.randn(2, 3, 32, 32)).sum().backward()


def test_other_patches_of_each_image_are_left_in_the_order_of_the_image() -> None:
    dropout = PatchDropout(0.5, prefix=2)
    x = torch.arange(34.0).expand(8, -1).unsqueeze(-1)
    torch.manual_seed(0)
    left = dropout(x)[..., 0]
    assert torch.equal(left[:, :2], x[:, :2, 0]) and left.shape == (8, 18)
    assert (left.diff(dim=1) > 0).all() and len({tuple(row.tolist()) for row in left}) == 8
    assert torch.equal(dropout.eval()(x), x)
    assert PatchDropout(0.99, prefix=0)(x[:, :3]).shape == (8, 1, 1)


def test_a_share_of_all_patches_is_refused() -> None:
    with pytest.raises(BiocosmosError, match="share of 1 "):
        drop_patches(NETWORKS["class"](), 1.0)
