"""The frame that every reduction stands in: all tokens kept is the dense model, folders and names, patches found again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st

from biocosmos import BiocosmosError, load_encoder
from biocosmos.encoders.input_size import at_size
from biocosmos.encoders.modality import modality_of
from biocosmos.encoders.reduction.blocks import taken_apart
from biocosmos.encoders.reduction.network import ReducedVit, network_of
from biocosmos.encoders.reduction.reduced import reduced, step_weights
from biocosmos.encoders.reduction.spec import METHODS, VARIANTS, Reduction, reduced_name, split_name
from biocosmos.encoders.reduction.tokens import composed, unmerge
from biocosmos.encoders.registry import load_towers
from biocosmos.encoders.saving import save_encoder
from biocosmos.encoders.towers import current_digest, trainable, with_projection, with_weights
from biocosmos.nn.projection import Projection
from small_vits import KINDS, PATCHES, SIZE, pictures, small_vit, write_vit

HALF = Reduction.parse("topk-0.5")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vit(tmp_path_factory.mktemp("vit") / "vit")


# ---------------------------------------------------------------------- the network


@pytest.mark.parametrize("kind", KINDS)
def test_all_tokens_kept_is_the_dense_network_bit_for_bit(kind: str) -> None:
    vit, images = small_vit(kind), pictures(3)
    with torch.inference_mode():
        assert torch.equal(ReducedVit(vit, Reduction.parse("topk-1"), SIZE)(images), vit(images))


@pytest.mark.parametrize("kind", KINDS)
def test_taken_apart_a_block_computes_what_it_does_whole(kind: str) -> None:
    network = network_of(small_vit(kind))
    with torch.inference_mode():
        for module in network.blocks():
            block, x = taken_apart(module, batch_first=network.batch_first), torch.randn(2, 11, network.width)
            q, k, v = block.heads_of(x)
            weights = (q @ k.transpose(-2, -1) * block.scale).softmax(dim=-1)
            torch.testing.assert_close(block.mlp(block.attended(x, weights @ v)), block.whole(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_has_its_features_whatever_is_beside_it(kind: str) -> None:
    network, images = ReducedVit(small_vit(kind), HALF, SIZE), pictures(4)
    with torch.inference_mode():
        together = network(images)
        alone = torch.cat([network(images[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_a_trace_says_where_every_patch_is() -> None:
    network, images = ReducedVit(small_vit(), HALF, SIZE), pictures(3)
    with torch.inference_mode():
        features, trace = network.trace(images)
        assert torch.equal(features, network(images)), "looking on changes nothing"
    assert [stage.block for stage in trace.stages] == [1, 2, 3] and trace.grid == (8, 8)
    left = set(range(PATCHES))
    for stage, count in zip(trace.stages, (32, 16, 8)):
        kept = {int(patch) for patch in torch.nonzero(stage.source[0] >= 0)}
        assert len(kept) == count and kept <= left, "what is dropped stays dropped"
        assert sorted(stage.source[0][stage.source[0] >= 0].tolist()) == list(range(count))
        left = kept
    assert trace.tokens is not None and trace.source is not None
    dense = unmerge(trace.tokens[:, 1:], trace.source, fill=float("nan"))
    assert dense.shape == (3, PATCHES, trace.tokens.shape[2]) and int((~dense.isnan()).all(-1)[0].sum()) == 8


@given(st.lists(st.integers(-1, 4), min_size=6, max_size=6), st.lists(st.integers(-1, 2), min_size=5, max_size=5))
def test_two_steps_are_composed(first: list[int], second: list[int]) -> None:
    found = composed(torch.tensor([first]), torch.tensor([second]))[0].tolist()
    assert found == [-1 if place < 0 else second[place] for place in first]


def test_gradients_reach_the_patches(folder: Path) -> None:
    network, images = ReducedVit(small_vit(), HALF, SIZE).train(), pictures(2).requires_grad_()
    network(images).square().sum().backward()
    assert images.grad is not None and float(images.grad.abs().sum()) > 0
    assert all(weights.grad is not None for name, weights in network.named_parameters() if "head" not in name)


@pytest.mark.parametrize(
    ("architecture", "said"),
    [
        ("efficientnet_lite0", r"convolutional network \(EfficientNet\)"),
        ("swin_tiny_patch4_window7_224", "SwinTransformer is no vision transformer"),
        ("eva02_tiny_patch14_224", "EvaBlock"),
    ],
)
def test_what_has_no_such_tokens_is_refused_by_its_name(architecture: str, said: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(architecture, num_classes=0)
    with pytest.raises(BiocosmosError, match=said):
        ReducedVit(model, HALF, 224)


# ---------------------------------------------------------------------- what is said


def test_shares_leave_what_the_published_code_leaves() -> None:
    """The counts of the papers, 196 patches and 12 blocks."""
    wanted = {"0.9": (176, 158, 142), "0.7": (137, 96, 67), "0.5": (98, 49, 24), "0.25": (49, 12, 3)}
    for keep, counts in wanted.items():
        assert Reduction.parse(f"atc-{keep}").counts(196, 12) == dict(zip((3, 6, 9), counts))
    assert Reduction.parse("tome-r16").counts(196, 12)[11] == 196 - 12 * 16
    assert Reduction.parse("tome-r16").counts(64, 4) == {0: 48, 1: 32, 2: 16, 3: 1}, "one token is left at least"
    assert Reduction.parse("evit-0.9/0.7/0.5").counts(100, 24) == {6: 90, 12: 70, 18: 50}
    assert Reduction.parse("topk-0.5").counts(100, 2) == {0: 50, 1: 25}
    with pytest.raises(BiocosmosError, match="999 tokens fewer leave nothing of the 196 patches"):
        Reduction.parse("tome-r999").counts(196, 12)


SHARES = st.sampled_from([0.1, 0.25, 0.5, 0.7, 0.9, 1.0])
AMOUNTS = st.one_of(
    st.tuples(SHARES).map(lambda keep: {"keep": keep}),
    st.lists(SHARES, min_size=2, max_size=4).map(lambda keep: {"keep": tuple(sorted(keep, reverse=True))}),
    st.integers(1, 400).map(lambda remove: {"remove": remove}),
)


@given(st.sampled_from(sorted(METHODS)), AMOUNTS, st.sets(st.integers(0, 11), max_size=4), st.booleans(), st.data())
def test_a_name_says_all_of_a_reduction(
    method: str, amount: dict, places: set[int], published: bool, data: st.DataObject
) -> None:
    variant = data.draw(st.sampled_from(VARIANTS.get(method, ("",))))
    locations = tuple(sorted(places)) if len(amount.get("keep", ())) in (0, 1, len(places)) else ()
    reduction = Reduction(method, **amount, locations=locations, variant=variant, published=published)
    assert Reduction.parse(str(reduction)) == reduction
    assert split_name(reduced_name("open_clip:ViT-B-32/laion2b", reduction)) == ("open_clip:ViT-B-32/laion2b", reduction)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("topc-0.5", "did you mean topk"),
        ("topk-0", "keep 0 must be more than 0"),
        ("topk-1.5", "at most 1"),
        ("topk-0.5/0.9", "must fall"),
        ("topk-0.5@6/3", "must rise"),
        ("topk-0.9/0.5@1/2/3", "2 shares for 3 blocks"),
        ("atc.nearest-0.5", "choose average or single or complete"),
        ("topk.single-0.5", "it has no kinds"),
        ("topk-0.0000001", "keep 0 must be more"),
        ("topk", "does not say how many tokens are kept"),
    ],
)
def test_what_cannot_be_is_refused(spec: str, said: str) -> None:
    with pytest.raises(BiocosmosError, match=said):
        split_name(f"vit+{spec}")


def test_a_plus_in_a_name_is_not_always_a_reduction(tmp_path: Path) -> None:
    (tmp_path / "mine+atc-0.5").mkdir()
    for name in (str(tmp_path / "mine+atc-0.5"), "a+b", "open_clip:ViT-B-32+", "+atc-0.5"):
        assert split_name(name) == (name, None)
    assert modality_of("kmer:6") == "dna" and modality_of("run+atc-0.5") == "image"
    with pytest.raises(BiocosmosError, match="already"):
        reduced_name("run+atc-0.5", HALF)


# ---------------------------------------------------------------------- encoders


def test_an_encoder_is_loaded_by_its_name_with_the_reduction(folder: Path) -> None:
    images = torch.randint(0, 256, (3, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    dense, half, most = (load_encoder(f"{folder}{spec}") for spec in ("", "+topk-0.5", "/+topk-0.9"))
    assert half.name == f"{folder}+topk-0.5" and most.name == f"{folder}+topk-0.9"
    assert len({dense.digest, half.digest, most.digest}) == 3, "their vectors are never one column"
    vectors = [each.encode_images(images) for each in (dense, most, half)]
    near, far = ((vectors[0] * other).sum(1).mean() for other in vectors[1:])
    assert 0.5 < far < near < 1 - 1e-6


def test_a_reduction_has_one_name(folder: Path) -> None:
    usual, said = (load_encoder(f"{folder}+{spec}") for spec in ("topk-0.5", "topk-0.50@1/2/3"))
    assert said.name == usual.name and said.digest == usual.digest
    assert str(Reduction("topk", keep=(1e-5,))) == "topk-0.00001"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("{}+topk-0.5@2/9", "there is no block 9, this network has 4"),
        ("{}+topk-0.9/0.8/0.7/0.6/0.5", "5 stages are more than the 4 blocks"),
        ("{}+sinkhorn-0.5", "train heads"),
        ("efficientnet-lite0+topk-0.5", r"convolutional network \(EfficientNet\)"),
        ("kmer:6+topk-0.5", "takes DNA barcodes"),
        ("nowhere+topk-0.5", "encoder 'nowhere' is not known"),
        ("python:torch.nn:Identity+topk-0.5", "python:torch.nn:Identity"),
    ],
)
def test_an_encoder_that_cannot_be_reduced_says_so(folder: Path, name: str, said: str) -> None:
    with pytest.raises(BiocosmosError, match=said) as caught:
        load_encoder(name.format(folder), allow_code=True)
    assert "\n" not in str(caught.value)


def test_a_folder_of_a_reduced_encoder_is_one(folder: Path, tmp_path: Path) -> None:
    towers = load_towers(f"{folder}+topk-0.5")
    digest = save_encoder(tmp_path / "fast", towers, base=str(folder))
    images = pictures(2)
    loaded = load_towers(str(tmp_path / "fast"))
    assert (loaded.digest, loaded.reduction) == (digest, HALF) and current_digest(loaded) == digest
    with torch.inference_mode():
        assert torch.equal(loaded.whole(images), towers.whole(images))
    with pytest.raises(BiocosmosError, match="already"):
        load_encoder(f"{tmp_path / 'fast'}+topk-0.5")
    timm_reads = timm.create_model(f"local-dir:{tmp_path / 'fast'}", pretrained=True).eval()
    with torch.inference_mode():
        assert torch.allclose(timm_reads(images), small_vit()(images)), "timm opens the folder, with all tokens"


def test_training_changes_a_reduced_encoder_and_its_digest(folder: Path) -> None:
    towers = load_towers(f"{folder}+topk-0.5")
    state = {name: weights + 0.01 for name, weights in trainable(towers).state_dict().items()}
    after = with_weights(towers, state)
    assert after.reduction == HALF and after.digest != towers.digest and step_weights(after) == {}
    projected = with_projection(towers, Projection(towers.features(), 8))
    assert projected.digest == current_digest(projected) and projected.reduction == HALF
    frozen = with_projection(towers, Projection(towers.features(), 8), frozen=f"{folder}+topk-0.5")
    assert frozen.reduction is None and frozen.digest == current_digest(frozen)


def test_another_size_has_the_same_shares(folder: Path) -> None:
    larger = at_size(load_towers(f"{folder}+topk-0.5"), 96)
    assert isinstance(larger.image, ReducedVit) and larger.image.grid == (12, 12)
    assert [step.keep for step in larger.image.steps.values()] == [72, 36, 18]
    assert np.isfinite(larger.whole(torch.zeros(1, 3, 96, 96)).detach().numpy()).all()


def test_only_an_encoder_with_weights_of_its_own_is_reduced(folder: Path) -> None:
    towers = load_towers(str(folder))
    frozen = with_projection(towers, Projection(towers.features(), 8), frozen=str(folder))
    with pytest.raises(BiocosmosError, match="frozen: reduce that one"):
        reduced(frozen, HALF)
    with pytest.raises(BiocosmosError, match="already"):
        reduced(reduced(towers, HALF), HALF)
