"""A BERT as an encoder of texts, from a folder as Hugging Face keeps it: ``config.json``, a tokenizer, and the weights.

CLIBD's text tower is one (prajjwal1/bert-small). The network is that of :mod:`biocosmos.encoders.public_barcode_bert`, which was
checked against transformers' BertModel; no library of models is needed, and no code of a folder is run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file

from biocosmos.encoders.public_barcode_bert import CONFIG, SAFE, arguments_of, published, read_config, read_tensors
from biocosmos.encoders.towers import plain_state
from biocosmos.encoders.weights import filled
from biocosmos.encoders.word_pieces import WordPieces
from biocosmos.errors import BiocosmosError
from biocosmos.facts import read_facts
from biocosmos.files import is_file
from biocosmos.nn.barcode.transformer import EPSILON, BarcodeTransformer
from biocosmos.nn.text_transformer import PooledBert
from biocosmos.tables import replacing

LENGTH = 64
"""Tokens of a text that are read: CLIBD has 20, which cuts long names."""
POOLING = Path("1_Pooling") / "config.json"
"""Of sentence-transformers: how hidden states become one vector."""


class BertText:
    """A BERT with its tokenizer, on the CPU in float32: ``network`` takes what :meth:`inputs` gives."""

    def __init__(self, network: PooledBert, tokens: WordPieces, config: dict[str, Any]) -> None:
        self.network, self.tokens, self.config = network, tokens, config
        self.length = min(LENGTH, int(config["max_position_embeddings"]))

    @classmethod
    def load(cls, folder: Path) -> BertText:
        """From a folder. Raises BiocosmosError for a tokenizer that is missing or of another model, and for damaged weights."""
        config = read_config(folder, "the configuration of a BERT of texts")
        tokens = WordPieces.load(folder, int(config["vocab_size"]))
        width, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        if width % heads:
            raise BiocosmosError(f"{folder / CONFIG} shares {width} numbers among {heads} heads: restore it")
        pooling = "mean"
        if is_file(folder / POOLING):
            told = {"what": "the pooling of a text model", "remedy": "restore it, or remove it to take the mean"}
            told_pooling = read_facts(folder / POOLING, {"pooling_mode_cls_token?": bool}, **told)
            pooling = "cls" if told_pooling.get("pooling_mode_cls_token") else "mean"
        weights, path = read_tensors(folder)

        def build() -> BarcodeTransformer:
            return BarcodeTransformer(*arguments_of(config))

        return cls(PooledBert(filled(build, weights, path), pooling), tokens, config)

    def inputs(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
        """(n, t) int64 ids, -1 for pads."""
        return self.tokens.of(texts, self.length)

    def save(self, folder: Path) -> list[str]:
        """Write it as :meth:`load` and Hugging Face's library read it; returns the names of the files."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {published(name): tensor for name, tensor in plain_state(self.network.encoder).items()}
        with replacing(folder / SAFE) as temporary:
            save_file(state, temporary, metadata={"format": "pt"})
        (folder / POOLING).parent.mkdir(exist_ok=True)
        pooled = {
            f"pooling_mode_{how}": self.network.pooling == which for how, which in (("cls_token", "cls"), ("mean_tokens", "mean"))
        }
        (folder / POOLING).write_text(json.dumps({"word_embedding_dimension": self.network.width, **pooled}) + "\n")
        names = self.tokens.save(folder)
        with replacing(folder / CONFIG) as temporary:
            config = {"layer_norm_eps": EPSILON, "hidden_act": "gelu", **self.config, "architectures": ["BertModel"]}
            temporary.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        return [CONFIG, SAFE, *names]
