"""Folders that hold encoders of barcodes: trained ones, and checkpoints as Hugging Face's library saves BarcodeBERT."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from biocosmos.barcodes.simulate import simulate_barcodes
from biocosmos.barcodes.tokens import KmerTokens
from biocosmos.encoders.barcode_models import BarcodeModel, load_barcode_folder, save_barcode_model
from biocosmos.encoders.barcodes import BarcodeEncoder, load_barcode_encoder
from biocosmos.encoders.modality import modality_of
from biocosmos.errors import BiocosmosError
from biocosmos.nn.barcode.convolution import BarcodeCNN
from biocosmos.nn.barcode.embedder import BarcodeEmbedder
from biocosmos.nn.barcode.transformer import BarcodeTransformer

SHORT = "ACGTTGCAAC" * 3


@pytest.fixture(scope="module")
def barcodes() -> list[str]:
    return [*simulate_barcodes(species=3, specimens=8)["barcode"].to_pylist(), SHORT, SHORT[:9]]


def made(tokens: KmerTokens, **more: object) -> BarcodeModel:
    torch.manual_seed(0)
    return BarcodeModel(BarcodeEmbedder(tokens.size, 16, 2, 4, pad=tokens.pad, **more), tokens)  # type: ignore[arg-type]


def public(folder: Path, k: int, *, extra: int = 2, safe: bool = True, config: Mapping[str, object] | None = None) -> None:
    """A checkpoint with random weights, under the names that Hugging Face's BertForTokenClassification has."""
    torch.manual_seed(0)
    vocabulary = 4**k + extra
    names = {"tokens": "word_embeddings", "positions": "position_embeddings", "segments": "token_type_embeddings"}
    inner = {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "attended": "attention.output.dense",
        "attended_norm": "attention.output.LayerNorm",
        "inner": "intermediate.dense",
        "outer": "output.dense",
        "outer_norm": "output.LayerNorm",
    }
    state = {"classifier.weight": torch.randn(4**k, 16), "classifier.bias": torch.zeros(4**k)}
    for name, tensor in BarcodeTransformer(vocabulary, 16, 2, 4, 32, 512).state_dict().items():
        first, *middle, leaf = name.split(".")
        if first == "embeddings":
            state[f"bert.embeddings.{names.get(middle[0], 'LayerNorm')}.{leaf}"] = tensor.clone()
        else:
            state[f"bert.encoder.layer.{middle[0]}.{inner[middle[1]]}.{leaf}"] = tensor.clone()
    facts = {
        "architectures": ["BertForTokenClassification"],
        "model_type": "bert",
        "vocab_size": vocabulary,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 32,
        "max_position_embeddings": 512,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        **(config or {}),
    }
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(facts))
    save_file(state, folder / "model.safetensors") if safe else torch.save(state, folder / "pytorch_model.bin")


def test_a_folder_is_an_encoder(tmp_path: Path, barcodes: list[str]) -> None:
    model = made(KmerTokens(4))
    digest = save_barcode_model(tmp_path, model, training={"what": "Trained."})
    assert modality_of(str(tmp_path)) == "dna"
    encoder = load_barcode_encoder(str(tmp_path), device="cpu")
    assert isinstance(encoder, BarcodeEncoder)
    assert (encoder.dim, encoder.digest, encoder.metadata()["preprocessing"]["pooling"]) == (16, digest, "mean")
    vectors = encoder.encode_barcodes(barcodes)
    assert isinstance(vectors, np.ndarray) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("more", [{}, {"window": 5, "bag": True}, {"pooling": "mean-all"}, {"pooling": "cls"}])
def test_vectors_do_not_depend_on_their_neighbours(more: dict[str, object], tmp_path: Path, barcodes: list[str]) -> None:
    """Barcodes of other lengths beside them, and pads, change nothing: against one barcode at a time, never trimmed."""
    tokens = KmerTokens(4, stride=2)
    model = made(tokens, **more)
    save_barcode_model(tmp_path, model, training={})
    vectors = load_barcode_folder(tmp_path, device="cpu").encode_barcodes(barcodes)
    for barcode, found in zip(barcodes, vectors):
        with torch.no_grad():
            one = model.network.eval()(torch.from_numpy(tokens.of([barcode])))
        np.testing.assert_allclose(found, nn.functional.normalize(one)[0].numpy(), atol=2e-6)


@pytest.mark.parametrize("vocabulary", ["barcodebert", "with-n", "clibd"])
def test_what_says_nothing_is_a_row_of_zeros(vocabulary: str, tmp_path: Path) -> None:
    save_barcode_model(tmp_path, made(KmerTokens(4, vocabulary=vocabulary)), training={})
    found = load_barcode_folder(tmp_path, device="cpu").encode_barcodes(["", "ACG", "N" * 60, "NACGN" * 20, "ACGTNNNN"])
    assert np.linalg.norm(found, axis=1).round(3).tolist() == [0, 0, 0, 0, 1]


@pytest.mark.parametrize(("extra", "vocabulary"), [(2, "barcodebert"), (3, "clibd")])
@pytest.mark.parametrize("safe", [True, False])
def test_public_checkpoints(extra: int, vocabulary: str, safe: bool, tmp_path: Path, barcodes: list[str]) -> None:
    public(tmp_path / "bert", 4, extra=extra, safe=safe)
    assert modality_of(str(tmp_path / "bert")) == "dna"
    encoder = load_barcode_folder(tmp_path / "bert", device="cpu")
    tokens = encoder.model.tokens
    assert (tokens.k, tokens.step, tokens.vocabulary, encoder.dim) == (4, 4, vocabulary, 16)
    mean = load_barcode_folder(tmp_path / "bert", device="cpu", pooling="mean-all").encode_barcodes([SHORT])
    assert not np.allclose(mean, encoder.encode_barcodes([SHORT]))  # pads count there
    network = encoder.model.network
    assert isinstance(network, BarcodeEmbedder)
    ids, real = tokens.padded(tokens.of([SHORT]))
    with torch.no_grad():
        hidden = network.encoder(torch.from_numpy(ids), torch.from_numpy(real))[0]
    by_hand = nn.functional.normalize(hidden[torch.from_numpy(real[0])].mean(0), dim=0)
    np.testing.assert_allclose(encoder.encode_barcodes([SHORT])[0], by_hand.numpy(), atol=2e-6)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"vocab_size": 30522}, "none of k-mers"),
        ({"hidden_act": "relu"}, "hidden_act"),
        ({"num_hidden_layers": 3}, "lacks layers.2"),
    ],
)
def test_other_berts_are_refused(config: dict[str, object], words: str, tmp_path: Path) -> None:
    public(tmp_path / "bert", 4, config=config)
    with pytest.raises(BiocosmosError, match=words):
        load_barcode_folder(tmp_path / "bert")


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "harm",))

    public(tmp_path / "bert", 3, safe=False)
    torch.save({"bert.embeddings.word_embeddings.weight": Harm()}, tmp_path / "bert" / "pytorch_model.bin")
    with pytest.raises(BiocosmosError, match="tensors alone"):
        load_barcode_folder(tmp_path / "bert")
    assert not (tmp_path / "harm").exists()


def test_a_cnn_with_a_head_of_species(tmp_path: Path, barcodes: list[str]) -> None:
    torch.manual_seed(0)
    model = BarcodeModel(BarcodeCNN(), KmerTokens(6), nn.Linear(500, 3), ("a", "b", "c"))
    save_barcode_model(tmp_path, model, training={})
    encoder = load_barcode_folder(tmp_path, device="cpu")
    assert encoder.encode_barcodes(barcodes).shape == (len(barcodes), 500)
    assert encoder.model.classes == ("a", "b", "c")
    np.testing.assert_allclose(np.exp(encoder.log_probabilities(barcodes)).sum(1), 1, atol=1e-5)
    with pytest.raises(BiocosmosError, match="no pooling"):
        load_barcode_folder(tmp_path, pooling="cls")


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    save_barcode_model(tmp_path, made(KmerTokens(4)), training={})
    facts = json.loads((tmp_path / "biocosmos.json").read_text())
    for wrong, words in (
        ({"digest": "0"}, "was changed"),
        ({"shape": {**facts["shape"], "width": "x"}}, "width"),
        ({"shape": {**facts["shape"], "layers": 100}}, "does not fit|described beside"),
        ({"tokens": {**facts["tokens"], "vocabulary": "bert"}}, "vocabulary"),
        ({"format": 2}, "format"),
    ):
        (tmp_path / "biocosmos.json").write_text(json.dumps(facts | wrong))
        with pytest.raises(BiocosmosError, match=words):
            load_barcode_folder(tmp_path)
