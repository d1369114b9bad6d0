"""A space: several encoders of one training, by one name and by their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import biocosmos as bc
from biocosmos.encoders.barcodes import load_barcode_encoder
from biocosmos.encoders.modality import modality_of, tower_name, towers_of
from biocosmos.encoders.projected_barcodes import load_projected_barcodes
from biocosmos.encoders.registry import load_encoder
from biocosmos.encoders.spaces import read_space, save_space, sibling, space_of
from biocosmos.errors import BiocosmosError
from space_sample import WIDTH, both, space


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("space")
    both(folder)
    space(folder / "run")
    return folder


def test_a_space_is_known_by_its_folder(place: Path) -> None:
    run = str(place / "run")
    assert towers_of(run + "/") == {"image": f"{run}/image", "dna": f"{run}/dna"}
    assert (tower_name(run), tower_name(run, "dna"), tower_name("kmer:5", "dna")) == (f"{run}/image", f"{run}/dna", "kmer:5")
    assert (modality_of(run), modality_of(f"{run}/dna"), modality_of(f"{run}/image")) == ("image", "dna", "image")
    told = read_space(run)
    assert told.dim == WIDTH and space_of(f"{run}/dna", told.digests["dna"]) == told.digest
    assert space_of(f"{run}/dna", "of other weights") is None
    assert sibling(f"{run}/image", told.digests["image"], "dna") == f"{run}/dna"
    assert sibling(f"{run}/image", told.digests["image"], "text") is None


def test_its_towers_embed_and_their_columns_belong_together(place: Path) -> None:
    run = (place / "run").as_posix()
    collection = bc.Collection.open(place / "both.cosmos")
    done = bc.embed(collection, run)
    assert [(one.encoder, one.images) for one in (done, *done.beside)] == [(f"{run}/image", 48), (f"{run}/dna", 48)]
    assert collection.spaces() == {run: {"image": f"{run}/image", "dna": f"{run}/dna"}}
    assert collection.tower(None, "dna") == collection.tower(f"{run}/image", "dna") == f"{run}/dna"
    assert collection.encoder_name(run) == f"{run}/image"
    with pytest.raises(BiocosmosError, match=r"no vectors of '.*run/text'"):
        collection.tower(run, "text")
    with pytest.raises(BiocosmosError, match="no space"):
        collection.tower("efficientnet-lite0", "dna")
    assert load_encoder(run).metadata()["space"] == read_space(run).digest


def test_a_projection_over_k_mers_says_what_its_parts_say(place: Path) -> None:
    made = load_barcode_encoder(str(place / "run"))
    projection = load_projected_barcodes(str(place / "run/dna")).projection
    barcodes = ["ACGTACGTTAGCATCGACTGAC" * 5, "NNNNNN", "TTGCATCGAGACT" * 9]
    dense = load_barcode_encoder("kmer:5").encode_barcodes(barcodes).dense()
    weight, bias = (each.detach().numpy() for each in (projection.linear.weight, projection.linear.bias))
    expected = dense / np.linalg.norm(dense, axis=1, keepdims=True).clip(1e-12) @ weight.T + bias
    expected /= np.linalg.norm(expected, axis=1, keepdims=True).clip(1e-12)
    expected[1] = 0
    np.testing.assert_allclose(made.encode_barcodes(barcodes), expected, atol=1e-5)


def test_what_was_changed_is_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(BiocosmosError, match="has 1 tower"):
        save_space(tmp_path, {"image": "a"}, dim=4, training={})
    save_space(tmp_path, {"image": "a", "dna": "b"}, dim=4, training={})
    described = tmp_path / "biocosmos.json"
    described.write_text(json.dumps(json.loads(described.read_text()) | {"digest": "c"}))
    with pytest.raises(BiocosmosError, match="was changed"):
        read_space(tmp_path)
    described.write_text('{"kind": "space", "towers": 3}')
    assert towers_of(str(tmp_path)) == {} and tower_name(str(tmp_path)) == str(tmp_path)
    with pytest.raises(BiocosmosError, match="description of a space"):
        read_space(tmp_path)
