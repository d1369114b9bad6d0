"""Public checkpoints of BarcodeBERT from a local folder: ``config.json`` and the weights, as Hugging Face's library saves them.

k is told by the size of the vocabulary: 4^k + 2, 4^k + 3 for the older one that CLIBD kept, 5^k + 2 for k-mers with N. Checked
once against transformers 4.57.1's BertModel (random weights, masks of three lengths): hidden states differ by at most 6e-7.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from biocosmos.barcodes.tokens import LARGEST_K, KmerTokens
from biocosmos.encoders.weights import check_room, fill, read_weights
from biocosmos.errors import BiocosmosError, first_line
from biocosmos.facts import Number, read_facts
from biocosmos.files import is_file
from biocosmos.nn.barcode.embedder import BarcodeEmbedder
from biocosmos.nn.barcode.transformer import EPSILON

CONFIG = "config.json"
SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
_WHOLE = Number(1, 1 << 20, whole=True)
_SHAPE = {
    "model_type": "bert",
    "vocab_size": Number(1, 1 << 24, whole=True),
    "hidden_size": _WHOLE,
    "num_hidden_layers": Number(1, 200, whole=True),
    "num_attention_heads": Number(1, 1024, whole=True),
    "intermediate_size": _WHOLE,
    "max_position_embeddings": _WHOLE,
    "type_vocab_size?": Number(1, 16, whole=True),
    "hidden_act?": "gelu",
    "position_embedding_type?": (None, "absolute"),
    "layer_norm_eps?": EPSILON,
    "hidden_dropout_prob?": Number(0, 1),
}
_EMBEDDINGS = {
    "word_embeddings": "tokens",
    "position_embeddings": "positions",
    "token_type_embeddings": "segments",
    "LayerNorm": "norm",
}
_LAYER = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "attended",
    "attention.output.LayerNorm": "attended_norm",
    "intermediate.dense": "inner",
    "output.dense": "outer",
    "output.LayerNorm": "outer_norm",
}
_OTHER_HEADS = ("classifier.", "cls.", "pooler.", "dropout.")
"""Parts of a checkpoint that say nothing of the hidden states."""


def is_public(folder: Path) -> bool:
    """Whether a folder holds such a checkpoint: a ``config.json`` that says it is a BERT."""
    config = folder / CONFIG
    return is_file(config) and b'"bert"' in config.read_bytes()[: 1 << 16]


def load_public(folder: Path) -> tuple[BarcodeEmbedder, KmerTokens]:
    """The encoder of a checkpoint and its tokenizer; the mean over real tokens as pooling, k-mers side by side.

    Raises BiocosmosError: no weights; a vocabulary that is none of k-mers; tensors that do not fit; another activation or norm.
    """
    config = read_config(folder, "the configuration of a BERT over k-mers")
    tokens = tokens_of_size(config["vocab_size"], folder)
    weights, path = read_tensors(folder)

    def build() -> BarcodeEmbedder:
        return BarcodeEmbedder(*arguments_of(config), pad=tokens.pad)

    check_room(build, weights, path)
    network = build()
    fill(network.encoder, weights, path)
    return network, tokens


def read_config(folder: Path, what: str) -> dict[str, Any]:
    """The ``config.json`` of a BERT that computes as ours does. Raises BiocosmosError for another."""
    return read_facts(folder / CONFIG, _SHAPE, what=what, remedy="restore it, or name another folder")


def arguments_of(config: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a transformer is built with: vocabulary, width, layers, heads, hidden, positions, segments, dropout."""
    return (
        config["vocab_size"],
        config["hidden_size"],
        config["num_hidden_layers"],
        config["num_attention_heads"],
        config["intermediate_size"],
        config["max_position_embeddings"],
        config.get("type_vocab_size", 2),
        config.get("hidden_dropout_prob", 0.1),
    )


def read_tensors(folder: Path) -> tuple[dict[str, torch.Tensor], Path]:
    """The weights of a BERT's hidden states under our names, and their file. Raises BiocosmosError where there are none."""
    path = next((folder / name for name in (SAFE, PICKLED) if is_file(folder / name)), None)
    if path is None:
        raise BiocosmosError(f"{folder} has a {CONFIG} and neither {SAFE} nor {PICKLED}: fetch the weights too")
    return renamed(read_weights(path) if path.name == SAFE else _read_pickled(path)), path


def tokens_of_size(size: int, folder: Path) -> KmerTokens:
    """The tokenizer whose vocabulary has so many tokens. Raises BiocosmosError where none has."""
    for k in range(1, LARGEST_K + 1):
        for vocabulary in ("barcodebert", "clibd", "with-n"):
            tokens = KmerTokens(k, vocabulary=vocabulary)
            if tokens.size == size:
                return tokens
    raise BiocosmosError(
        f"{folder / CONFIG} has a vocabulary of {size:,} tokens, which is none of k-mers: BarcodeBERT's have 4^k + 2, 4^k + 3 or "
        "5^k + 2; name a BarcodeBERT"
    )


def renamed(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The encoder's tensors under our names; heads left out, what is not known kept as it is, to be refused."""
    out = {}
    for name, tensor in weights.items():
        short = name.removeprefix("bert.").removeprefix("encoder.bert.")
        if short.startswith(_OTHER_HEADS) or short.endswith("position_ids"):
            continue
        stem, _, leaf = short.rpartition(".")
        leaf = {"gamma": "weight", "beta": "bias"}.get(leaf, leaf)  # of old checkpoints
        parts = stem.split(".", 3)
        if parts[0] == "embeddings" and len(parts) == 2 and parts[1] in _EMBEDDINGS:
            short = f"embeddings.{_EMBEDDINGS[parts[1]]}.{leaf}"
        elif parts[:2] == ["encoder", "layer"] and len(parts) == 4 and parts[3] in _LAYER:
            short = f"layers.{parts[2]}.{_LAYER[parts[3]]}.{leaf}"
        out[short] = tensor
    return out


def published(name: str) -> str:
    """A tensor's name as Hugging Face has it: the way back from :func:`renamed`."""
    first, *middle, leaf = name.split(".")
    theirs = {ours: their for names in (_EMBEDDINGS, _LAYER) for their, ours in names.items()}
    if first == "embeddings":
        return f"embeddings.{theirs[middle[0]]}.{leaf}"
    return f"encoder.layer.{middle[0]}.{theirs[middle[1]]}.{leaf}"


def _read_pickled(path: Path) -> dict[str, torch.Tensor]:
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)  # tensors alone, no code
        return {str(name): tensor for name, tensor in found.items() if isinstance(tensor, torch.Tensor)}
    except Exception as error:  # torch, pickle, zip and the file system each raise their own
        raise BiocosmosError(f"cannot read {path} as tensors alone: {first_line(error)}; fetch {SAFE} instead") from error
