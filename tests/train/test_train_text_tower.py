"""Texts in the training of a space: our own transformer, projections of another encoder's vectors, encoders that are tuned."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import biocosmos as bc
from biocosmos.encoders.bert_texts import BertText
from biocosmos.encoders.spaces import read_space
from biocosmos.encoders.text_models import ProjectedTexts, TransformerTexts
from biocosmos.encoders.texts import load_text_encoder
from biocosmos.encoders.word_pieces import WordPieces
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.nn.barcode.transformer import BarcodeTransformer
from biocosmos.nn.text_transformer import PooledBert
from biocosmos.specimens import taxon_texts
from biocosmos.train.contrastive.settings import TEXT_TYPES, contrastive_settings
from biocosmos.train.contrastive.specimens import modal_rows
from biocosmos.train.contrastive.towers.texts import TextTower
from biocosmos.train.contrastive.training import train_contrastive
from biocosmos.train.loop.processes import Processes
from space_sample import both
from tiny_clip import save_tiny_clip

ALONE = Processes(0, 1, torch.device("cpu"))
SMALL: dict[str, Any] = {
    "targets": "specimen",
    "image": "",
    "dna": "kmer:5",
    "text": "tiny",
    "width": 16,
    "hidden": 8,
    "epochs": 2,
    "device": "cpu",
    "batch_size": 12,
}


@pytest.fixture(scope="module")
def _collection(tmp_path_factory: pytest.TempPathFactory) -> bc.Collection:
    made = both(tmp_path_factory.mktemp("space"), specimens=60, embedded=False)
    bc.embed(made, "kmer:5")
    return made


@pytest.fixture
def collection(_collection: bc.Collection, tmp_path: Path) -> bc.Collection:
    shutil.copytree(_collection.path, tmp_path / "both.cosmos")
    return bc.Collection.open(tmp_path / "both.cosmos")


def source_of(collection: bc.Collection, **given: Any) -> TextTower:
    settings = contrastive_settings(**{**SMALL, **given})
    torch.manual_seed(0)
    return TextTower(modal_rows(collection, settings), settings, ALONE, Failures())


def bert(folder: Path) -> str:
    torch.manual_seed(1)
    vocabulary = (
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        *"abcdefghijklmnopqrstuvwxyz0123456789",
        *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789"),
    )
    config = {
        "model_type": "bert",
        "vocab_size": len(vocabulary),
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config |= {"intermediate_size": 32, "max_position_embeddings": 64}
    BertText(PooledBert(BarcodeTransformer(len(vocabulary), 16, 1, 2, 32, 64)), WordPieces(vocabulary), config).save(folder)
    return str(folder)


def test_words_are_learnt_from_what_is_learnt_from_alone(collection: bc.Collection) -> None:
    source = source_of(collection)
    rows = modal_rows(collection, contrastive_settings(**SMALL))
    species = collection.take(rows.ids, columns=["id", "species"])["species"].to_pylist()
    learnt = {name for name in species[: rows.learnt] if name}
    unseen = [name for name in set(collection.table(["species"])["species"].to_pylist()) if name and name not in learnt]
    tokens = source.way.tokens  # type: ignore[attr-defined]
    assert unseen and all(tokens.unknown(name.split(" ", 1)[1]) for name in unseen), "their epithets come in pieces"
    assert not any(tokens.unknown(name) for name in learnt)


def test_a_batch_is_the_same_whenever_it_is_asked_for_and_specimens_of_one_text_get_one(collection: bc.Collection) -> None:
    source = source_of(collection)
    rows = np.flatnonzero(source.there)[:20]
    first = source.inputs(rows, torch.Generator().manual_seed(5))
    assert torch.equal(first, source.inputs(rows, torch.Generator().manual_seed(5)))
    plain = source.inputs(rows, None)
    assert first.shape == plain.shape and not torch.equal(first, plain)
    assert bool(((first >= 0).any(-1).sum(1) >= 1).all()), "a word is left of each"
    assert bool(((first == plain) | (first == -1)).all()), "and what is left is of the text"
    _, texts = torch.unique(plain.flatten(1), dim=0, return_inverse=True)
    for text in range(int(texts.max()) + 1):
        assert len(torch.unique(first[texts == text].flatten(1), dim=0)) == 1


@pytest.mark.parametrize("kind", ["tiny", "tiny:1", "bert heads", "bert full", "bert lora", "clip full", "text full"])
def test_a_space_with_names_is_trained_saved_and_read_again(kind: str, collection: bc.Collection, tmp_path: Path) -> None:
    given: dict[str, Any] = {}
    if kind == "tiny:1":
        given = {"text": kind}
    elif kind.startswith("bert"):
        given = {"text": bert(tmp_path / "bert"), "tune": f"text={kind.split()[1]}"}
    elif kind.startswith("clip"):
        given = {"text": str(save_tiny_clip(tmp_path / "clip")), "tune": "text=full"}
    elif kind.startswith("text"):
        train_contrastive(collection, contrastive_settings(**SMALL), tmp_path / "first")
        given = {"text": str(tmp_path / "first" / "text"), "tune": "text=full"}
    result = train_contrastive(collection, contrastive_settings(**{**SMALL, **given}), tmp_path / "run")
    assert len(result.history.epochs) == 2, result
    encoder = load_text_encoder(str(tmp_path / "run"))
    assert isinstance(encoder, TransformerTexts if kind.startswith("tiny") else ProjectedTexts) and encoder.dim == 16
    assert encoder.digest == read_space(tmp_path / "run").digests["text"]
    assert encoder.wording.ranks == collection.ranks
    if kind.endswith(("full", "lora")):
        assert (tmp_path / "run" / "text" / "base").is_dir()
        assert encoder.base.digest != load_text_encoder(given["text"]).digest, "its weights moved"  # type: ignore[union-attr]
    bc.embed(collection, str(tmp_path / "run"))
    assert set(collection.spaces()[str(tmp_path / "run")]) == {"dna", "text"}


def test_the_folder_gives_what_the_module_gave(collection: bc.Collection, tmp_path: Path) -> None:
    for name, given in (("tiny", {}), ("bert", {"text": bert(tmp_path / "b"), "tune": "text=full"})):
        source = source_of(collection, **given)
        module = source.module.eval()
        rows = np.flatnonzero(source.there)[:8]
        with torch.no_grad():
            wanted = nn.functional.normalize(module(source.inputs(rows, None)), dim=1).numpy()
        source.save(tmp_path / name, {"what": "for tests"})
        ids = modal_rows(collection, contrastive_settings(**{**SMALL, **given})).ids
        table = collection.take([ids[row] for row in rows])
        texts = source.wording.texts(table, collection.ranks)
        found = load_text_encoder(str(tmp_path / name)).encode_texts([text for text in texts if text])
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_texts_are_written_as_the_setting_says(collection: bc.Collection) -> None:
    assert set(TEXT_TYPES) == {*taxon_texts.TEXT_TYPES, "published"}
    assert source_of(collection, text_type="published").wording.missing == "not_classified"
    assert source_of(collection, text_type="sci", text_ranks="genus,species").wording == taxon_texts.Wording(
        ("genus", "species"), "sci"
    )
    layers = source_of(collection, text="tiny:1").module.network.shape()["layers"]  # type: ignore[union-attr, operator]
    assert layers == 1
    with pytest.raises(BiocosmosError, match="writes common names, and no column has them"):
        source_of(collection, text_type="com")
    with pytest.raises(BiocosmosError, match="write tiny, or tiny:1 to tiny:12"):
        source_of(collection, text="tiny:x")


def test_what_cannot_be_trained_is_refused_in_one_line(collection: bc.Collection, tmp_path: Path) -> None:
    with pytest.raises(BiocosmosError, match="--text-ranks names 'tribe'"):
        source_of(collection, text_ranks="order,tribe")
    with pytest.raises(BiocosmosError, match="is an encoder of barcodes"):
        source_of(collection, text="kmer:6")
    with pytest.raises(BiocosmosError, match="reads no texts"):
        source_of(collection, text="efficientnet-lite0")
    (Path(bert(tmp_path / "bert")) / "vocab.txt").unlink()
    with pytest.raises(BiocosmosError, match="without its tokenizer"):
        source_of(collection, text=str(tmp_path / "bert"))
