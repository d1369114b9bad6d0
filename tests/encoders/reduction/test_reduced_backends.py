"""A reduced network by every backend: the same vectors as torch in float32, one image or many, and what cannot be is refused."""

import gc
import os
import signal

import pytest
import timm
import torch

from biocosmos import machine
from biocosmos.encoders import ways
from biocosmos.encoders.preprocess import Preprocessing
from biocosmos.encoders.reduction.reduced import reduced
from biocosmos.encoders.reduction.spec import METHODS, Reduction
from biocosmos.encoders.registry import build_encoder
from biocosmos.encoders.towers import Towers, weights_digest, with_projection
from biocosmos.errors import BiocosmosError
from biocosmos.nn.projection import Projection

SIZE = 64
CUT, WHOLE = "atc-0.5", "topk-0.5"


pytestmark = [
    pytest.mark.usefixtures("nothing_remembered"),
    pytest.mark.skipif(
        "ONEDNN_MAX_CPU_ISA" in os.environ, reason="held back so, OpenVINO finds no softmax for a transformer, or crashes in it"
    ),
]


@pytest.fixture(scope="module")
def vit():
    """Sixteen patches, four blocks: the stages stand in the blocks 1, 2 and 3, and leave as many tokens as heads."""
    torch.manual_seed(0)
    arguments = {"img_size": SIZE, "patch_size": 16, "embed_dim": 48, "depth": 4, "num_heads": 3, "num_classes": 0}
    model = timm.create_model("vit_tiny_patch16_224", **arguments).eval()
    with torch.no_grad():
        for block in model.blocks:  # as begun, they attend to all tokens alike, and the last bits decide which are kept
            block.attn.qkv.weight.mul_(10)
    architecture = {"kind": "timm", "name": "vit_tiny_patch16_224", "arguments": arguments}
    return Towers(model, Preprocessing(size=SIZE), weights_digest(model.state_dict()), architecture=architecture)


@pytest.fixture(scope="module")
def pictures():
    return ways._pictures(SIZE, 6)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    return tmp_path_factory.mktemp("converted")


@pytest.fixture
def openvino(converted, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(converted))
    return converted / "biocosmos" / "openvino"


def encoder(towers, spec, **how):
    return build_encoder(f"vit+{spec}", reduced(towers, Reduction.parse(spec)), device="cpu", **how)


def alike(mine, theirs):
    return (torch.from_numpy(mine) * theirs).sum(dim=1).mean()


@pytest.mark.parametrize("spec", [WHOLE, CUT, "atc.single-0.9/0.3@1/2"])
def test_openvino_gives_the_vectors_of_torch(openvino, vit, pictures, spec):
    mine = encoder(vit, spec, backend="openvino", precision="float32")
    vectors = mine.encode_images(pictures)
    torch.testing.assert_close(torch.from_numpy(vectors), mine.reference(pictures), rtol=0, atol=1e-5)
    for place in range(len(pictures)):  # a batch of n is n batches of one
        assert (mine.encode_images(pictures[place : place + 1])[0] == vectors[place]).all()


def test_a_clustered_network_runs_in_parts_that_are_kept(openvino, vit, pictures):
    mine = encoder(vit, "atc.complete-0.9@1/2", backend="openvino", precision="float32")
    made = {path: path.stat().st_mtime_ns for path in openvino.iterdir()}
    assert [f"{i}of3" in {path.stem[-4:] for path in made if path.suffix == ".xml"} for i in (1, 2, 3)] == [True] * 3
    halved = encoder(vit, "atc.complete-0.9@1/2", backend="openvino", precision="bfloat16")
    assert {path: path.stat().st_mtime_ns for path in openvino.iterdir()} == made  # once for both precisions
    assert alike(halved.encode_images(pictures), mine.reference(pictures)) > 0.9  # clusters of some images are others
    encoder(vit, "atc-1", backend="openvino", precision="float32")  # nothing is clustered: one part
    assert len(set(openvino.glob("*.xml")) - made.keys()) == 1


@pytest.mark.filterwarnings("ignore:lance is not fork-safe")
def test_a_signal_is_heard_when_encoders_have_come_and_gone(openvino, vit, pictures):
    """Ctrl-C after OpenVINO was a segmentation fault: its plugin had taken the stack of signals with it."""
    for spec in (WHOLE, CUT, WHOLE):
        encoder(vit, spec, backend="openvino", precision="float32").encode_images(pictures)
        gc.collect()
    child = os.fork()
    if not child:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        signal.raise_signal(signal.SIGTERM)
        os._exit(8)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_projection_stands_behind_the_last_part(openvino, vit, pictures):
    torch.manual_seed(1)
    reduction = reduced(vit, Reduction.parse("atc-0.5@2"))
    for frozen in (None, "vit"):
        towers = with_projection(reduction, Projection(48, 8), frozen=frozen)
        mine = build_encoder("projected", towers, device="cpu", backend="openvino", precision="float32")
        torch.testing.assert_close(torch.from_numpy(mine.encode_images(pictures)), mine.reference(pictures), rtol=0, atol=1e-5)


def test_torch_in_bfloat16_agrees_where_no_choice_is_close(vit, pictures):
    for spec in ("topk-0.9@3", "atc-0.9@3"):
        halved = encoder(vit, spec, backend="torch", precision="bfloat16")
        assert alike(halved.encode_images(pictures), halved.reference(pictures)) > 0.99


def test_openvino_refuses_a_number_of_tokens_that_the_image_decides(openvino, vit):
    with pytest.raises(BiocosmosError, match=r"fixed shapes, and reduction ats-0.5 .*use --backend torch, or a reduction"):
        encoder(vit, "ats-0.5", backend="openvino")
    assert {way.backend for way in ways._ways(reduced(vit, Reduction.parse("ats-0.5")), "cpu", "auto", None)} == {"torch"}


def test_openvino_refuses_int8_where_the_network_is_cut(openvino, vit):
    with pytest.raises(BiocosmosError, match=r"int8 is not for reduction atc-0.5, whose network runs in 4 parts: use"):
        encoder(vit, CUT, backend="openvino", precision="int8")


def test_the_way_is_chosen_for_each_reduction_and_recorded(vit, monkeypatch):
    said = {"torch-float32": 2.0, "torch-bfloat16": 1.0, "openvino-float32": 4.0, "openvino-bfloat16": 4.0}
    monkeypatch.setattr(machine, "_timed", lambda candidates, *_: {name: said[name] for name in candidates})
    monkeypatch.setattr(ways, "_agrees", lambda *_: True)
    fast = encoder(vit, CUT, precision="fast")
    assert (fast.precision, fast.metadata()["chosen"]["way"], fast.chosen["source"]) == ("bfloat16", "torch-bfloat16", "measured")
    said["torch-bfloat16"] = 9.0
    machine.forget()
    assert encoder(vit, CUT, precision="fast").chosen["source"] == "remembered"
    other = encoder(vit, WHOLE, precision="fast")  # what one reduction was fastest in says nothing of another
    assert (other.precision, other.chosen["source"]) == ("float32", "measured")


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"ats", "topk", "atc"}))
def test_every_method_of_a_fixed_number_runs_in_openvino(openvino, vit, pictures, method):
    towers = reduced(vit, Reduction(method, keep=(0.7,), locations=(2,)))
    mine = build_encoder(method, towers, device="cpu", backend="openvino", precision="float32")
    torch.testing.assert_close(torch.from_numpy(mine.encode_images(pictures)), mine.reference(pictures), rtol=0, atol=1e-5)
