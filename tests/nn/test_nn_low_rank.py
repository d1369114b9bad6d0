"""LoRA: which weights change, that the change can be merged, and what is refused."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import nn

from biocosmos.errors import BiocosmosError
from biocosmos.nn.barcode.convolution import BarcodeCNN
from biocosmos.nn.barcode.embedder import BarcodeEmbedder
from biocosmos.nn.low_rank import add_low_rank, has_low_rank, merge_low_rank

WIDTH, DEPTH = 32, 2


def tiny_vit() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=WIDTH, depth=DEPTH, num_heads=2, num_classes=0
    ).eval()


def torch_attention() -> nn.Module:
    torch.manual_seed(0)
    return nn.TransformerEncoderLayer(WIDTH, 2, 2 * WIDTH, batch_first=True).eval()


def barcode_bert() -> nn.Module:
    torch.manual_seed(0)
    return BarcodeEmbedder(70, WIDTH, DEPTH, 2).eval()


def small_cnn() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("efficientnet_lite0", num_classes=0).eval()


IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
STATES = torch.randn(3, 5, WIDTH, generator=torch.Generator().manual_seed(1))
TOKENS = torch.randint(70, (3, 20), generator=torch.Generator().manual_seed(1))
MODELS = {
    "a timm transformer": (tiny_vit, IMAGES, DEPTH),
    "torch's attention, as open_clip has it": (torch_attention, STATES, 1),
    "BarcodeBERT": (barcode_bert, TOKENS, 2 * DEPTH),
    "a CNN": (small_cnn, IMAGES, None),
}


def disturb(model: nn.Module) -> None:
    """As after training: the second factors are zero at the start, and nothing would be seen of them."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.requires_grad:
                weights.add_(0.1 * torch.randn(weights.shape, generator=generator))


@pytest.mark.parametrize("kind", MODELS)
def test_a_change_begins_as_nothing_and_merges_into_plain_weights(kind: str) -> None:
    make, inputs, places = MODELS[kind]
    model = make()
    names, before = list(model.state_dict()), model(inputs)
    found = add_low_rank(model)
    assert places in (None, found)
    torch.testing.assert_close(model(inputs), before, atol=1e-6, rtol=0)
    disturb(model)
    with torch.enable_grad():
        changed = model(inputs)
    assert float((changed - before).abs().max().detach()) > 1e-4  # otherwise the test sees nothing
    merged = merge_low_rank(copy.deepcopy(model))
    assert not has_low_rank(merged) and list(merged.state_dict()) == names
    torch.testing.assert_close(merged(inputs), changed, atol=1e-5, rtol=0)
    plain = make()
    plain.load_state_dict(merged.state_dict())
    torch.testing.assert_close(plain(inputs), changed, atol=1e-5, rtol=0)


def test_only_queries_and_values_of_every_block_change_by_rank_4() -> None:
    model, before = tiny_vit(), tiny_vit().state_dict()
    add_low_rank(model)
    trained = sum(weights.numel() for weights in model.parameters() if weights.requires_grad)
    assert trained == DEPTH * 2 * 2 * 4 * WIDTH  # blocks, q and v, two factors
    disturb(model)
    after = merge_low_rank(model).state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {f"blocks.{block}.attn.qkv.weight" for block in range(DEPTH)}
    for name in moved:
        query, key, value = (after[name] - before[name]).split(WIDTH)
        assert float(key.abs().max()) == 0
        assert [int(torch.linalg.matrix_rank(part, atol=1e-5)) for part in (query, value)] == [4, 4]


def test_the_scale_is_alpha_over_the_rank() -> None:
    weight = tiny_vit().state_dict()["blocks.0.attn.qkv.weight"]
    moved = []
    for alpha in (4.0, 8.0):
        model = tiny_vit()
        torch.manual_seed(3)
        add_low_rank(model, rank=4, alpha=alpha)
        disturb(model)
        moved.append(merge_low_rank(model).state_dict()["blocks.0.attn.qkv.weight"] - weight)
    torch.testing.assert_close(moved[1], 2 * moved[0], atol=1e-6, rtol=1e-4)


def test_in_a_cnn_without_attention_only_convolutions_of_one_pixel_change() -> None:
    model, before = small_cnn(), small_cnn().state_dict()
    add_low_rank(model)
    disturb(model)
    after = merge_low_rank(model).state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all(before[name].shape[2:] == (1, 1) for name in moved)
    barcodes = BarcodeCNN(60, 8)
    assert add_low_rank(barcodes) == 1  # its linear layer


def test_what_has_nothing_to_change_is_refused_by_name() -> None:
    bag = BarcodeEmbedder(70, WIDTH, 0, 1, bag=True, window=4)
    with pytest.raises(BiocosmosError, match=r"'new:bag' has no attention.*--tune full"):
        add_low_rank(bag, what="'new:bag'")
    model = tiny_vit()
    add_low_rank(model)
    with pytest.raises(BiocosmosError, match="already"):
        add_low_rank(model)
