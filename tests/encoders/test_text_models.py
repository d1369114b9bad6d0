"""Folders that hold encoders of texts: towers trained here, BERTs as Hugging Face keeps them, the text half of open_clip."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import biocosmos as bc
from biocosmos.encoders.bert_texts import BertText
from biocosmos.encoders.modality import modality_of
from biocosmos.encoders.spaces import read_space, save_space
from biocosmos.encoders.taxon_tokens import FILE, TaxonTokens
from biocosmos.encoders.text_models import save_projected_texts, save_transformer
from biocosmos.encoders.texts import TextEncoder, load_text_encoder
from biocosmos.encoders.word_pieces import WordPieces
from biocosmos.errors import BiocosmosError
from biocosmos.nn.barcode.transformer import BarcodeTransformer
from biocosmos.nn.projection import Projection
from biocosmos.nn.text_transformer import DistinctRows, TextTransformer
from biocosmos.specimens.taxon_texts import Wording
from space_sample import space
from tiny_clip import save_tiny_clip

TEXTS = ["Diptera Culicidae Aedes vexans", "Diptera Culicidae Culex pipiens", "Coleoptera Carabidae Carabus auratus"]
WORDING = Wording(("order", "family", "genus", "species"))
VOCABULARY = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "un",
    "##aff",
    "##able",
    "dip",
    "##tera",
    "a",
    ",",
    "昆",
    "aedes",
    "vex",
    "##ans",
)


def tower(folder: Path, *, pooling: str = "mean", dim: int = 16, seed: int = 0) -> str:
    torch.manual_seed(seed)
    tokens = TaxonTokens.learnt(TEXTS)
    network = TextTransformer(tokens.size, dim, 32, 2, 4, tokens.length, pooling=pooling)
    return save_transformer(folder, network, tokens, WORDING, training={"what": "random, for tests"})


def described(folder: Path, **shape: int) -> None:
    facts = json.loads((folder / "biocosmos.json").read_text())
    (folder / "biocosmos.json").write_text(json.dumps(facts | {"shape": facts["shape"] | shape}))


def bert(folder: Path, *, config: Mapping[str, object] | None = None) -> BarcodeTransformer:
    """A BERT with random weights, as Hugging Face's library saves a BertModel."""
    torch.manual_seed(1)
    folder.mkdir(parents=True, exist_ok=True)
    encoder = BarcodeTransformer(len(VOCABULARY), 16, 2, 4, 32, 40)
    facts = {
        "model_type": "bert",
        "vocab_size": len(VOCABULARY),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 32,
        "max_position_embeddings": 40,
        **(config or {}),
    }
    from biocosmos.nn.text_transformer import PooledBert

    BertText(PooledBert(encoder), WordPieces(VOCABULARY), facts).save(folder)
    return encoder


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_tower_saved_is_the_one_that_is_loaded(pooling: str, tmp_path: Path) -> None:
    digest = tower(tmp_path / "text", pooling=pooling)
    assert modality_of(str(tmp_path / "text")) == "text"
    encoder = load_text_encoder(str(tmp_path / "text"))
    assert isinstance(encoder, TextEncoder) and encoder.digest == digest and encoder.wording == WORDING
    asked = ["Diptera", "order DIPTERA", TEXTS[0], "Diptera Culicidae Aedes cinereus", "昆虫", "!", ""]
    vectors = encoder.encode_texts(asked)
    assert vectors.dtype == np.float32 and np.allclose(np.linalg.norm(vectors[:5], axis=1), 1, atol=1e-6)
    assert not vectors[5:].any(), "no word to read"
    assert np.array_equal(vectors[0], vectors[1])
    assert vectors[3] @ vectors[2] > vectors[3] @ encoder.encode_texts(TEXTS[2:])[0], "near what it shares words with"
    for row, text in enumerate(asked):
        np.testing.assert_allclose(encoder.encode_texts([text])[0], vectors[row], atol=2e-6)
    assert encoder.encode_texts([]).shape == (0, 16)
    assert encoder.metadata()["preprocessing"]["texts"] == WORDING.as_dict()


def test_the_vector_of_a_text_is_what_its_docstring_says() -> None:
    tokens = TaxonTokens.learnt(TEXTS)
    torch.manual_seed(0)
    network = TextTransformer(tokens.size, 8, 16, 1, 2, 24).eval()
    read = torch.from_numpy(tokens.of(["Diptera novum"]))
    words = []
    for own, *pieces in read[0].tolist():
        parts = [network.tokens.weight[piece] for piece in pieces if piece >= 0]
        words.append(torch.stack(parts).mean(0) + (network.tokens.weight[own] if own >= 0 else 0))
    stacked = torch.stack(words)
    assert network.encoder is not None
    by_hand = network.bag(stacked.mean(0)) + network.mixed(network.encoder(stacked[None])[0].mean(0))
    torch.testing.assert_close(network(read)[0], by_hand)
    seen: list[int] = []

    class Counts(nn.Module):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            seen.append(len(rows))
            return rows.float().flatten(1).cumsum(1)

    many = torch.from_numpy(tokens.of([TEXTS[0], TEXTS[1], TEXTS[0], TEXTS[0]]))
    torch.testing.assert_close(DistinctRows(Counts())(many), many.float().flatten(1).cumsum(1))
    assert seen == [2], "each distinct text once"


def test_a_projection_over_a_tower_stands_on_its_weights(tmp_path: Path) -> None:
    tower(tmp_path / "base")
    base = load_text_encoder(str(tmp_path / "base"))
    projection = Projection(16, 8, hidden=4)
    digest = save_projected_texts(tmp_path / "run", base, projection, WORDING, training={})
    encoder = load_text_encoder(str(tmp_path / "run"))
    assert encoder.digest == digest and encoder.dim == 8
    with torch.no_grad():
        by_hand = nn.functional.normalize(projection(torch.from_numpy(base.encode_texts(TEXTS))), dim=1).numpy()
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), by_hand, atol=1e-6)
    assert not encoder.encode_texts(["?"]).any()
    tower(tmp_path / "base", seed=9)
    with pytest.raises(BiocosmosError, match=r"is a projection over .* and here it has"):
        load_text_encoder(str(tmp_path / "run"))


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda folder: (folder / FILE).unlink(), "is not the tokenizer of a text tower"),
        (lambda folder: (folder / FILE).write_text("{"), "is not the tokenizer of a text tower"),
        (lambda folder: TaxonTokens.learnt(TEXTS[:1]).save(folder), "they are of two trainings"),
        (
            lambda folder: (folder / FILE).write_text((folder / FILE).read_text().replace('"vexans"', '"vexani"')),
            "changed after it was",
        ),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x"), "cannot read"),
        (lambda folder: described(folder, heads=2), "changed after it was"),
        (lambda folder: described(folder, heads=3), "gives 32 numbers to 3 heads"),
        (
            lambda folder: (folder / "biocosmos.json").write_text('{"kind": "text"}'),
            "is not the description of an encoder of texts",
        ),
    ],
)
def test_a_damaged_folder_is_refused_in_one_line(harm: object, says: str, tmp_path: Path) -> None:
    tower(tmp_path / "text")
    harm(tmp_path / "text")  # type: ignore[operator]
    with pytest.raises(BiocosmosError, match=says) as caught:
        load_text_encoder(str(tmp_path / "text"))
    assert "\n" not in str(caught.value)


def test_words_are_cut_as_berts_are() -> None:
    tokens = WordPieces(VOCABULARY)
    shown = [[VOCABULARY[i] for i in row if i >= 0] for row in tokens.of(["unaffable  DIPTERA, A昆虫", "x" * 200, ""], 12)]
    assert shown == [
        ["[CLS]", "un", "##aff", "##able", "dip", "##tera", ",", "a", "昆", "[UNK]", "[SEP]"],
        ["[CLS]", "[UNK]", "[SEP]"],
        ["[CLS]", "[SEP]"],
    ]
    assert tokens.of(["unaffable"], 3).tolist() == [[2, 5, 3]], "cut to its length, the end kept"


@pytest.mark.parametrize("tokenizer", ["vocab.txt", "tokenizer.json"])
def test_a_bert_of_words_from_its_folder(tokenizer: str, tmp_path: Path) -> None:
    network = bert(tmp_path / "bert").eval()
    if tokenizer == "tokenizer.json":
        (tmp_path / "bert" / "vocab.txt").unlink()
        facts = {"model": {"type": "WordPiece", "vocab": {piece: i for i, piece in enumerate(VOCABULARY)}}, "normalizer": None}
        (tmp_path / "bert" / "tokenizer.json").write_text(json.dumps(facts))
    assert modality_of(str(tmp_path / "bert")) == "text"
    encoder = load_text_encoder(str(tmp_path / "bert"))
    ids = torch.tensor([[2, 8, 9, 13, 14, 15, 3]])
    with torch.no_grad():
        by_hand = nn.functional.normalize(network(ids).mean(1), dim=1).numpy()
    np.testing.assert_allclose(encoder.encode_texts(["Diptera Aedes vexans", "a"])[:1], by_hand, atol=1e-6)
    (tmp_path / "bert" / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    with torch.no_grad():
        first = nn.functional.normalize(network(ids)[:, 0], dim=1).numpy()
    np.testing.assert_allclose(load_text_encoder(str(tmp_path / "bert")).encode_texts(["Diptera Aedes vexans"]), first, atol=1e-6)


def test_a_bert_without_its_tokenizer_says_which_files(tmp_path: Path) -> None:
    bert(tmp_path / "bert")
    (tmp_path / "bert" / "vocab.txt").rename(tmp_path / "kept")
    with pytest.raises(BiocosmosError, match=r"without its tokenizer: it has neither vocab\.txt nor tokenizer\.json"):
        load_text_encoder(str(tmp_path / "bert"))
    (tmp_path / "bert" / "vocab.txt").write_text("[PAD]\n[UNK]\n")
    with pytest.raises(BiocosmosError, match=r"it lacks \[CLS\]"):
        load_text_encoder(str(tmp_path / "bert"))
    (tmp_path / "bert" / "vocab.txt").write_text("\n".join([*VOCABULARY, "more"]) + "\n")
    with pytest.raises(BiocosmosError, match="of two models"):
        load_text_encoder(str(tmp_path / "bert"))


def test_the_text_half_of_open_clip_and_what_reads_no_texts(tmp_path: Path) -> None:
    name = str(save_tiny_clip(tmp_path / "clip"))
    encoder, whole = load_text_encoder(name), bc.load_encoder(name)
    assert encoder.digest == whole.digest and encoder.modality == "text"
    np.testing.assert_array_equal(encoder.encode_texts(TEXTS), whole.encode_texts(TEXTS))
    with pytest.raises(BiocosmosError, match="reads no texts: name the folder of a text tower"):
        load_text_encoder("efficientnet-lite0")
    with pytest.raises(BiocosmosError, match="takes DNA barcodes"):
        load_text_encoder("kmer:6")
    with pytest.raises(BiocosmosError, match="there is no such folder"):
        load_text_encoder(str(tmp_path / "nowhere"))
    tower(tmp_path / "text")
    with pytest.raises(BiocosmosError, match="takes texts, and images are asked for"):
        bc.load_encoder(str(tmp_path / "text"))


def test_the_tower_of_images_reads_names_by_the_tower_beside_it(tmp_path: Path) -> None:
    space(tmp_path / "run")
    assert bc.load_encoder(str(tmp_path / "run")).modality == "image"
    digests = dict(read_space(tmp_path / "run").digests)
    digests["text"] = tower(tmp_path / "run" / "text")
    told = save_space(tmp_path / "run", digests, dim=16, training={})
    image, text = bc.load_encoder(str(tmp_path / "run")), load_text_encoder(str(tmp_path / "run"))
    assert text.metadata()["space"] == told == image.metadata()["space"]
    assert image.modality == "image+text" and image.templates == ("{lineage}",) and image.text_wording == WORDING
    np.testing.assert_array_equal(image.encode_texts(["order Diptera"]), text.encode_texts(["diptera"]))
    with pytest.raises(BiocosmosError, match="has no word of a name: ask for a taxon"):
        image.encode_texts(["Diptera", "..."])
    tower(tmp_path / "run" / "text", seed=3)
    with pytest.raises(BiocosmosError, match=r"is not the tower of texts that .* was trained with"):
        bc.load_encoder(str(tmp_path / "run")).encode_texts(["Diptera"])
