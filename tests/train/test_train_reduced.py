"""Fine-tuning a vision transformer that computes with fewer tokens, its first blocks frozen and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import biocosmos as bc
from biocosmos.encoders.feature_maps import Trunk
from biocosmos.encoders.reduction.reduced import reduced
from biocosmos.encoders.reduction.spec import METHODS, Reduction
from biocosmos.encoders.registry import load_towers
from biocosmos.errors import BiocosmosError
from biocosmos.identify.namers.heads import WEIGHTS, TrainedHead
from biocosmos.jobs.predict import predict_part
from biocosmos.train.heads.settings import head_settings
from biocosmos.train.heads.training import train_heads

VIT = "new:vit_tiny_patch8_32"
SMALL: dict[str, Any] = {
    "encoder": VIT,
    "epochs": 1,
    "batch_size": 32,
    "precision": "float32",
    "device": "cpu",
    "workers": 1,
    "ranks": "group,label",
    "head": "flat",
    "freeze_stages": 3,
    "cache_views": 1,
}


def train(collection: bc.Collection, output: Path, **given: Any) -> Any:
    return train_heads(collection, head_settings(**{**SMALL, **given}), output)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_fine_tuned_and_saved(few: bc.Collection, tmp_path: Path, method: str) -> None:
    result = train(few, tmp_path / "run", reduce=method, cache_folder=str(few.path / "stages"))
    assert np.isfinite(result.history.epochs[-1]["accuracy of label"])
    towers = load_towers(str(tmp_path / "run"))
    assert towers.reduction == Reduction(method, keep=(0.5,))
    found = predict_part(few, TrainedHead.load(tmp_path / "run"), "val")
    assert np.isfinite(found.logits).all()
    start, moved = load_towers(VIT).image.state_dict(), towers.image.dense.state_dict()  # type: ignore[union-attr]
    assert torch.equal(start["blocks.1.attn.qkv.weight"], moved["blocks.1.attn.qkv.weight"])
    assert not torch.equal(start["blocks.5.attn.qkv.weight"], moved["blocks.5.attn.qkv.weight"])


@pytest.mark.parametrize("method", ["", "atc"])
def test_kept_blocks_train_as_computed_ones_do(few: bc.Collection, tmp_path: Path, method: str) -> None:
    settings = {"augment": "none", "dropout": 0.0, "reduce": method or None}
    train(few, tmp_path / "plain", **settings, cache_views=None)
    train(few, tmp_path / "kept", **settings)
    a, b = load_file(tmp_path / "plain" / WEIGHTS), load_file(tmp_path / "kept" / WEIGHTS)
    for name in a:
        if a[name].ndim > 1:  # float16 activations: alike, not equal
            assert torch.nn.functional.cosine_similarity(a[name].flatten(), b[name].flatten(), 0) > 0.98


def test_fine_tuning_goes_on_with_the_head_that_is_there(few: bc.Collection, tmp_path: Path) -> None:
    train(few, tmp_path / "dense", freeze_stages=12)
    slow = {"encoder": str(tmp_path / "dense"), "lr": 1e-9, "with_head": True, "reduce": "atc", "keep_tokens": "0.9"}
    train(few, tmp_path / "fewer", **slow)
    before, after = (load_file(tmp_path / name / WEIGHTS) for name in ("dense", "fewer"))
    for name in before:
        torch.testing.assert_close(before[name], after[name], atol=1e-5, rtol=1e-4)
    with pytest.raises(BiocosmosError, match="train one of the same kind, ranks and classes"):
        train(few, tmp_path / "other", **{**slow, "ranks": "label"})
    with pytest.raises(BiocosmosError, match="holds no trained head"):
        train(few, tmp_path / "another", with_head=True)


@pytest.mark.parametrize("registers", ["", ".reg4"])
def test_a_transformer_in_two_parts_is_the_same(registers: str) -> None:
    towers = load_towers(VIT + registers)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for each in (towers, reduced(towers, Reduction.parse("tome-0.5"))):
        trunk = Trunk(each, taps=1).eval()
        front, back = trunk.frozen_prefix(3)
        assert front(images).shape == (2, 192, 17 + (4 if registers else 0), 1)
        torch.testing.assert_close(back(front(images))[0], trunk(images)[0])
        assert not any(weights.requires_grad for weights in front.parameters())
        name = "dense.blocks.2.attn.qkv.weight" if each.reduction else "blocks.2.attn.qkv.weight"
        assert each.image.get_parameter(name).requires_grad


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"reduce": "atc", "freeze_stages": 5}, "--freeze-stages may be 4 at most with --cache-views, not 5"),
        ({"reduce": "kmedoids", "freeze_stages": 4}, "looks at the block before: --freeze-stages may be 3 at most"),
        ({"reduce": "atc", "encoder": "efficientnet-lite0"}, "has no tokens to reduce"),
        ({"reduce": "atc", "head": "bcnn"}, "--head bcnn takes maps, and reduced tokens make none"),
        ({"reduce": "atc", "keep_tokens": "all"}, "--keep-tokens 'all' is no share of tokens"),
        ({"reduce": "atc", "keep_tokens": "2"}, "keep 2 must be more than 0"),
        ({"keep_tokens": "0.3"}, "--keep-tokens does nothing here: it is used with --reduce"),
        ({"reduce": "most"}, "--reduce 'most' is not known"),
        ({"freeze_stages": 13}, "must be 1 to"),
    ],
    ids=str,
)
def test_what_cannot_be_reduced_is_one_line(few: bc.Collection, tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(BiocosmosError, match=message) as error:
        train(few, tmp_path / "run", **given)
    assert "\n" not in str(error.value)
