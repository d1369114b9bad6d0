"""Embedding with fewer tokens: a column of its own under a name that says the reduction, and plain refusals."""

import json
import re

import numpy as np
import pytest
import timm
import torch

import biocosmos as bc
from biocosmos import machine
from biocosmos.encoders.registry import load_encoder, load_towers
from biocosmos.encoders.saving import save_encoder
from biocosmos.encoders.spaces import save_space
from biocosmos.errors import BiocosmosError
from biocosmos.jobs.evaluate_clusters import parts_of
from biocosmos.jobs.settings import EmbedSettings
from biocosmos.specimens import guard

NAME = "run+topk-0.5"


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    """A tiny random vision transformer as timm saves it."""
    folder = tmp_path_factory.mktemp("models") / "vit"
    torch.manual_seed(0)
    timm.models.save_for_hf(timm.create_model("test_vit", num_classes=0), folder, safe_serialization=True)
    return folder


@pytest.fixture
def here(tiny_collection, vit, monkeypatch):
    """In the folder of a collection, where "run" is the vision transformer."""
    monkeypatch.chdir(tiny_collection.path.parent)
    (tiny_collection.path.parent / "run").symlink_to(vit)
    return tiny_collection


def test_every_reduction_is_a_column_of_its_own(here, biocosmos):
    biocosmos("embed", here.path, "-e", "run/", "--default")
    biocosmos("embed", here.path, "-e", "run/", "--reduce", "topk", "--keep", "0.5")
    biocosmos("embed", here.path, "-e", "run/+topk-0.50")  # the same, already there
    biocosmos("embed", here.path, "-e", "run", "--reduce", "topk", "--keep", "0.9,0.6", "--reduce-at", "1,4")
    collection = bc.Collection.open(here.path)
    assert set(collection.encoders) == {"run", NAME, "run+topk-0.9/0.6@1/4"}
    assert len({facts["digest"] for facts in collection.encoders.values()}) == 3
    assert collection.default_encoder == "run"
    dense, fewer = (collection.gallery(name).vectors for name in ("run", NAME))
    assert not np.allclose(dense, fewer, atol=1e-3)

    listed = biocosmos("encoders", here.path)
    assert NAME in listed
    found = biocosmos("search", here.path, "--id", collection.table(["id"])["id"][0].as_py(), "-e", NAME, "-k", "3")
    assert len(found.splitlines()) == 4


def test_a_folder_holds_the_same_encoder_as_the_name(vit, tmp_path):
    save_encoder(tmp_path / "run", load_towers(str(vit)), base=str(vit))
    towers = load_towers(f"{tmp_path / 'run'}+topk-0.5")
    digest = save_encoder(tmp_path / "fast", towers, base=str(vit))
    assert digest == towers.digest == load_encoder(str(tmp_path / "fast")).digest
    assert digest != load_towers(str(tmp_path / "run")).digest


def test_vectors_of_another_reduction_are_refused_under_the_same_name(here, tmp_path):
    for keep in ("0.5", "0.7"):
        save_encoder("fast", load_towers(f"run+topk-{keep}"), base="run")
        if keep == "0.5":
            bc.embed(here, "fast")
    with pytest.raises(BiocosmosError, match="has vectors of 'fast' with digest"):
        bc.embed(here, "fast")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--reduce", "topk"], "efficientnet-lite0.*convolutional network"),
        (["-e", "kmer:7", "--reduce", "topk"], "'kmer:7' takes DNA barcodes"),
        (["-e", "run", "--keep", "0.5"], "--keep does nothing here: it is used with --reduce"),
        (["-e", "run", "--reduce", "topk", "--keep", "0"], "keep 0 must be more than 0"),
        (["-e", "run", "--reduce", "topk", "--keep", "1.2"], "keep 1.2 must be more than 0 and at most 1"),
        (["-e", "run", "--reduce", "topk", "--keep", "half"], "'half' is no share of tokens"),
        (["-e", "run", "--reduce", "topk", "--reduce-at", "3,9"], "there is no block 9, this network has 6"),
        (["-e", "run", "--reduce", "topk", "--keep", "0.9,0.8,0.7,0.6,0.5,0.4,0.3"], "7 stages are more than the 6 blocks"),
        (["-e", "run", "--reduce", "sit"], "biocosmos train heads .* --encoder run --reduce sit"),
        (["-e", "run+topk-0.5", "--reduce", "evit"], "has a reduction of tokens already"),
        (["-e", "run", "--reduce", "topk", "--linkage", "single"], "has no kind 'single'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(here, biocosmos, options, says):
    said = biocosmos("embed", here.path, *options, fails=2 if "nothing here" in says or "no share" in says else 1)
    assert re.search(says, said), said
    assert "Traceback" not in said
    assert not bc.Collection.open(here.path).encoders


def test_settings_say_the_name():
    assert EmbedSettings(encoder="run", reduce="tome", keep="r16").name == "run+tome-r16"
    assert EmbedSettings(encoder="run", reduce="atc", linkage="single", reduce_at=(2, 5)).name == "run+atc.single-0.5@2/5"
    assert EmbedSettings(encoder="run").name == "run"


def test_what_an_encoder_has_seen_it_has_seen_with_fewer_tokens_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    guard.Fitted.of("the encoder in run", fitted=["a"]).save("run")
    with pytest.raises(BiocosmosError, match="trained the encoder in run"):
        guard.refuse(["a", "b"], NAME)
    assert guard.Fitted.of("a head", fitted=["b"], stands_on=[NAME]).stands_on == ("run",)


def test_encoders_joined_for_clustering_are_told_from_reductions(here):
    assert parts_of(here, "run+topk-0.5+kmer:7") == ["run+topk-0.5", "kmer:7"]
    assert parts_of(here, "run+kmer:7") == ["run", "kmer:7"]


def test_of_a_space_the_tower_of_images_is_reduced(here, biocosmos):
    digest = save_encoder("space/image", load_towers("run"), base="run")
    save_space("space", {"image": digest, "dna": "0" * 16}, dim=64, training={})
    biocosmos("embed", here.path, "-e", "space/", "--reduce", "topk")
    collection = bc.Collection.open(here.path)
    assert list(collection.encoders) == ["space/image+topk-0.5"]
    assert "space" not in collection.encoders["space/image+topk-0.5"]  # its vectors are not compared with barcodes
    assert not collection.spaces()


# ---------------------------------------------------------------------- a way that the folder tells


def test_auto_follows_the_way_of_the_folder_and_options_override_it(vit, tmp_path, monkeypatch):
    monkeypatch.delenv(machine.CHOOSE, raising=False)  # what the environment tells goes before a folder
    towers = load_towers(f"{vit}+topk-0.5")
    save_encoder(tmp_path / "fast", towers, base=str(vit), way={"backend": "torch", "precision": "bfloat16"})
    encoder = load_encoder(str(tmp_path / "fast"), device="cpu")
    assert (encoder.precision, encoder.backend, encoder.chosen["source"]) == ("bfloat16", "torch", "folder")
    assert load_encoder(str(tmp_path / "fast"), device="cpu", precision="float32").precision == "float32"


def test_a_way_that_is_not_here_is_replaced_with_a_hint(vit, tmp_path, monkeypatch):
    monkeypatch.delenv(machine.CHOOSE, raising=False)
    save_encoder(tmp_path / "fast", load_towers(str(vit)), base=str(vit), way={"backend": "openvino", "precision": "float32"})
    monkeypatch.setattr("biocosmos.encoders.ways.openvino_is_here", lambda: False)
    encoder = load_encoder(str(tmp_path / "fast"), device="cpu")
    assert (encoder.precision, encoder.backend) == ("float32", "torch")
    assert encoder.hint == "its folder asks for openvino in float32, and torch computes it here: OpenVINO is not installed"


def test_a_garbled_way_is_refused(vit, tmp_path):
    save_encoder(tmp_path / "fast", load_towers(str(vit)), base=str(vit), way={"backend": "torch", "precision": "float32"})
    path = tmp_path / "fast" / "biocosmos.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"way": {"backend": "magic", "precision": "float32"}}))
    with pytest.raises(BiocosmosError, match="way"):
        load_encoder(str(tmp_path / "fast"))
