"""A trunk gives maps and the encoder's own features, and can be cut after its frozen stages."""

from __future__ import annotations

from dataclasses import replace

import pytest
import timm
import torch
from torch import nn

from biocosmos.encoders.feature_maps import Trunk
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.registry import load_towers
from biocosmos.encoders.towers import Towers, trainable, with_weights
from biocosmos.errors import BiocosmosError
from biocosmos.train.loop.freezing import freeze_stages

SIZE = 64


def towers_of(name: str, **arguments) -> Towers:
    model = timm.create_model(name, num_classes=0, **arguments).eval()
    mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    return Towers(model, Preprocessing(SIZE, "pad", "bicubic", mean, std), "0" * 16)


@pytest.fixture(scope="module")
def shipped() -> Towers:
    towers = load_towers("efficientnet-lite0")
    return replace(towers, preprocessing=towers.preprocessing.replaced(size=SIZE))


def test_taps_are_the_outputs_of_the_stages_and_the_encoders_features(shipped) -> None:
    trunk = Trunk(shipped, taps=3).eval()
    images = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        early, middle, last = trunk(images)
        x = shipped.image.bn1(shipped.image.conv_stem(images))
        blocks = [x := block(x) for block in shipped.image.blocks]
        assert torch.equal(last, shipped.whole(images))
    assert torch.allclose(early, blocks[2], atol=1e-5)
    assert torch.allclose(middle, blocks[4], atol=1e-5)
    assert trunk.channels == [40, 112, 1280]
    assert trunk.tapped == ["blocks.2", "blocks.4"]
    assert Trunk(shipped, taps=[1], spatial_last=True).channels == [24, 320, 1280]
    assert Trunk(shipped, taps=1).channels == [1280]


def test_training_the_trunk_trains_the_encoder(shipped) -> None:
    trunk = Trunk(shipped)
    assert list(trunk.state_dict()) == list(trainable(shipped).state_dict())
    assert next(trunk.parameters()) is next(shipped.image.parameters())
    trunk.train()
    for tap in trunk(torch.randn(2, 3, SIZE, SIZE)):
        assert torch.autograd.grad(tap.sum(), shipped.image.conv_stem.weight, retain_graph=True)[0].abs().sum() > 0
    with_weights(shipped, trunk.state_dict())


@pytest.mark.parametrize(
    ("name", "arguments", "channels"),
    [
        ("resnet18", {}, [128, 256, 512]),
        ("convnext_atto", {}, [80, 160, 320]),
        ("vit_tiny_patch16_224", {"img_size": SIZE}, [192, 192, 192]),
        ("swin_tiny_patch4_window7_224", {"img_size": SIZE, "depths": (1, 1, 1, 1)}, [192, 384, 768]),
    ],
)
def test_timm_models_of_every_build_give_maps(name, arguments, channels) -> None:
    trunk = Trunk(towers_of(name, **arguments), taps=3).eval()
    assert trunk.channels == channels
    taps = trunk(torch.randn(2, 3, SIZE, SIZE))
    assert [tap.ndim for tap in taps] == [4, 4, 2]
    assert taps[0].shape[2] == taps[0].shape[3] > 1


def test_patch_tokens_lie_where_their_patches_lie() -> None:
    towers = towers_of("vit_tiny_patch16_224", img_size=SIZE, depth=2)
    trunk = Trunk(towers, taps=[0]).eval()
    image = torch.zeros(1, 3, SIZE, SIZE)
    image[:, :, 16:32, 48:64] = 5.0  # the patch of row 1, column 3
    difference = (trunk(image)[0] - trunk(torch.zeros(1, 3, SIZE, SIZE))[0]).square().sum(1)[0]
    assert divmod(int(difference.argmax()), 4) == (1, 3)


@pytest.mark.parametrize(
    ("name", "arguments", "stages"),
    [("tf_efficientnet_lite0", {}, 4), ("resnet18", {}, 2), ("convnext_atto", {}, 2), ("tf_efficientnetv2_b0", {}, 3)],
)
def test_the_front_and_the_back_are_the_whole(name, arguments, stages) -> None:
    towers = towers_of(name, **arguments)
    trunk = Trunk(towers, taps=3).eval()
    front, back = trunk.frozen_prefix(stages)
    images = torch.randn(2, 3, SIZE, SIZE)
    for ours, theirs in zip(back.eval()(front(images)), trunk(images), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4)
    frozen = {name for name, weights in towers.image.named_parameters() if not weights.requires_grad}
    other = towers_of(name, **arguments).image
    freeze_stages(other, stages)
    assert frozen == {name for name, weights in other.named_parameters() if not weights.requires_grad}
    trained = {id(weights) for weights in back.parameters()}
    assert trained == {id(weights) for weights in towers.image.parameters() if weights.requires_grad}
    assert set(back.state_dict()) < set(trunk.state_dict())
    assert not any(part.training for part in front.train().modules())


def test_the_activation_at_the_cut_may_itself_be_a_tap(shipped) -> None:
    trunk = Trunk(shipped, taps=[2, 3]).eval()
    front, back = trunk.frozen_prefix(4)  # the stem and blocks 0, 1 and 2
    x = front(torch.randn(1, 3, SIZE, SIZE))
    assert torch.equal(back(x)[0], x)


def test_what_cannot_be_done_is_said_with_its_reason(shipped) -> None:
    with pytest.raises(BiocosmosError, match=r"'blocks.1'.* inside the 4 frozen stages"):
        Trunk(shipped, taps=[1]).frozen_prefix(4)
    with pytest.raises(BiocosmosError, match="1 to 7"):
        Trunk(shipped).frozen_prefix(9)
    with pytest.raises(BiocosmosError, match="cannot be cut"):
        Trunk(towers_of("eva02_tiny_patch14_224", img_size=SIZE, patch_size=16, depth=2), taps=1).frozen_prefix(2)
    plain = replace(shipped, image=nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 8)))
    assert Trunk(plain, taps=1).channels == [8]
    with pytest.raises(BiocosmosError, match="too few"):
        Trunk(plain, taps=3)
    with pytest.raises(BiocosmosError, match="no stage 7"):
        Trunk(shipped, taps=[7])
