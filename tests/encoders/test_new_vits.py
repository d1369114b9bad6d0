"""Untrained vision transformers by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from biocosmos.encoders.registry import load_encoder, load_towers
from biocosmos.encoders.saving import save_encoder
from biocosmos.errors import BiocosmosError


@pytest.mark.parametrize(("name", "tokens"), [("vit_tiny_patch8_32", 17), ("vit_tiny_patch16_64.reg4", 21)])
def test_a_new_transformer_is_the_same_every_time(name: str, tokens: int) -> None:
    before = torch.random.get_rng_state()
    one, two = load_towers(f"new:{name}"), load_towers(f"new:{name}")
    torch.testing.assert_close(torch.random.get_rng_state(), before)  # nobody else's chance is touched
    assert one.digest == two.digest and one.preprocessing.resize == "pad"
    size = one.preprocessing.size
    assert one.image.forward_features(torch.zeros(1, 3, size, size)).shape == (1, tokens, 192)  # type: ignore[operator]


def test_what_is_untrained_says_so_and_can_be_saved(tmp_path: Path) -> None:
    encoder = load_encoder("new:vit_tiny_patch8_32", backend="torch", device="cpu")
    assert encoder.hint == "this encoder is untrained, seed 0"
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    save_encoder(tmp_path / "kept", load_towers("new:vit_tiny_patch8_32"), base="new:vit_tiny_patch8_32")
    again = load_encoder(str(tmp_path / "kept"), backend="torch", device="cpu")
    assert again.preprocessing == encoder.preprocessing
    np.testing.assert_allclose(again.encode_images(images), encoder.encode_images(images), atol=1e-6)


@pytest.mark.parametrize("name", ["resnet50", "vit_tiny_patch7_32", "vit_tiny_patch0_32", "vit_tiny_patch1_4096"])
def test_a_name_that_is_none_is_one_line(name: str) -> None:
    with pytest.raises(BiocosmosError, match="new:"):
        load_towers(f"new:{name}")
