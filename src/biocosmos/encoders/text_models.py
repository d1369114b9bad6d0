"""Encoders of texts in folders: text towers that were trained here, and BERTs as Hugging Face keeps them.

A folder of ours holds ``biocosmos.json`` (kind "text"), a model card, and either a transformer with its tokenizer (network
"transformer": ``model.safetensors``, ``taxon_tokens.json``) or a projection over another encoder of texts (network "projection":
``projection.safetensors``), which is named, or stands in ``base/`` where it was tuned with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from biocosmos.encoders.bert_texts import BertText
from biocosmos.encoders.modality import TEXT, TRAINED
from biocosmos.encoders.model_folder import (
    CARD,
    OF_PROJECTION,
    OWN_BASE,
    PROJECTION,
    base_beneath,
    card_text,
    describe,
    place_of_base,
    read_projection,
    refuse_changed_weights,
    save_weights,
)
from biocosmos.encoders.spaces import space_facts
from biocosmos.encoders.taxon_tokens import TaxonTokens
from biocosmos.encoders.texts import TEXTS_AT_ONCE, TextEncoder, load_text_encoder
from biocosmos.encoders.torch_backend import choose_device
from biocosmos.encoders.towers import DIGEST_LENGTH, plain_state, projected_digest, weights_digest
from biocosmos.encoders.weights import filled, read_weights
from biocosmos.errors import BiocosmosError
from biocosmos.facts import FILE_NAME, Number, read_facts
from biocosmos.files import is_file
from biocosmos.nn.projection import Projection
from biocosmos.nn.text_transformer import POOLINGS, TextTransformer
from biocosmos.provenance import encoder_name
from biocosmos.specimens.taxon_texts import NOT_CLASSIFIED, TEXT_TYPES, Wording
from biocosmos.trust import refuse_code

FORMAT = 1
WEIGHTS = "model.safetensors"
RUN = 64
"""Texts of a run of a network."""
_WHOLE = Number(1, 1 << 24, whole=True)
_TRANSFORMER = {
    "vocabulary": _WHOLE,
    "dim": Number(1, 1 << 20, whole=True),
    "width": Number(1, 1 << 20, whole=True),
    "layers": Number(0, 200, whole=True),
    "heads": Number(1, 1024, whole=True),
    "positions": Number(1, 4096, whole=True),
    "dropout": Number(0, 1),
    "pooling": POOLINGS,
}
_SHAPE = {
    "format": FORMAT,
    "kind": TEXT,
    "network": ("transformer", "projection"),
    "digest": str,
    "texts": {"ranks": [str], "kind": TEXT_TYPES, "missing": ("left out", NOT_CLASSIFIED)},
    "files": [FILE_NAME],
    "training": {},
}
_TOLD = {"what": "the description of an encoder of texts", "remedy": "restore it, or train the encoder again"}

Vectors = npt.NDArray[np.float32]


class _Texts:
    """What all encoders of texts here share: each distinct text is computed once, those of one length together."""

    modality: Literal["text"] = "text"
    batch_size = TEXTS_AT_ONCE

    def __init__(self, name: str, dim: int, digest: str, wording: Wording, device: str, source: str) -> None:
        self.name, self.dim, self.digest, self.wording, self.source = encoder_name(name), dim, digest, wording, source
        self.device = torch.device(choose_device(device))

    def metadata(self) -> dict[str, Any]:
        """See :class:`biocosmos.encoders.texts.TextEncoder`."""
        return {
            "name": self.name,
            "digest": self.digest,
            "dim": self.dim,
            "modality": self.modality,
            "preprocessing": {"texts": self.wording.as_dict(), **self._reads()},
            "precision": "float32",
            "backend": "torch",
            "device": self.device.type,
            "source": self.source,
            **space_facts(self.name, self.digest),
        }

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """See :class:`biocosmos.encoders.texts.TextEncoder`."""
        place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        vectors = self.features(list(place))
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
        return vectors[[place[text] for text in texts]]

    def features(self, texts: Sequence[str]) -> Vectors:
        """(n, dim) float32, not unit; zero for a text without a word."""
        raise NotImplementedError

    def _reads(self) -> dict[str, Any]:
        """How a text becomes tokens."""
        raise NotImplementedError

    @torch.inference_mode()
    def _computed(self, network: nn.Module, inputs: npt.NDArray[np.int64]) -> Vectors:
        """(n, dim): inputs of as many tokens go through together, always as many (the last are filled up), so that a vector does
        not depend on its neighbours'."""
        out = np.zeros((len(inputs), self.dim), np.float32)
        there = inputs >= 0
        counts = (there.any(-1) if there.ndim > 2 else there).sum(1)
        for count in np.unique(counts[counts > 0]):
            same = np.flatnonzero(counts == count)
            for start in range(0, len(same), RUN):
                rows = same[start : start + RUN]
                filled = inputs[np.resize(rows, RUN), :count]
                out[rows] = network(torch.from_numpy(filled).to(self.device))[: len(rows)].float().cpu().numpy()
        return out


class TransformerTexts(_Texts):
    """A transformer over taxonomic strings with its own tokenizer."""

    def __init__(
        self, name: str, network: TextTransformer, tokens: TaxonTokens, wording: Wording, device: str = "auto", source: str = ""
    ) -> None:
        super().__init__(name, network.dim, transformer_digest(network, tokens), wording, device, source)
        self.tokens, self.network = tokens, network.eval().to(self.device)

    def features(self, texts: Sequence[str]) -> Vectors:
        """See :class:`_Texts`."""
        return self._computed(self.network, self.tokens.of(texts))

    def _reads(self) -> dict[str, Any]:
        return {"tokens": self.tokens.digest}


class BertTexts(_Texts):
    """A BERT of words."""

    def __init__(self, name: str, model: BertText, device: str = "auto") -> None:
        digest = bert_digest(model)
        super().__init__(name, model.network.width, digest, Wording(), device, "a BERT of words")
        self.model, self.network = model, model.network.eval().to(self.device)

    def features(self, texts: Sequence[str]) -> Vectors:
        """See :class:`_Texts`. An empty text has a vector too: that of its marks of beginning and end."""
        return self._computed(self.network, self.model.inputs(texts))

    def _reads(self) -> dict[str, Any]:
        return {"tokens": self.model.tokens.digest, "length": self.model.length, "pooling": self.model.network.pooling}


class ProjectedTexts(_Texts):
    """A projection over another encoder of texts."""

    def __init__(
        self, name: str, base: TextEncoder, projection: Projection, wording: Wording, device: str = "auto", source: str = ""
    ) -> None:
        if projection.dim_in != base.dim:
            raise BiocosmosError(f"{name} projects {projection.dim_in} numbers, and '{base.name}' gives {base.dim}")
        super().__init__(name, projection.dim_out, projected_digest(base.digest, projection), wording, device, source)
        self.base, self.projection = base, projection.eval().to(self.device)

    @torch.inference_mode()
    def features(self, texts: Sequence[str]) -> Vectors:
        """See :class:`_Texts`."""
        base = self.base.encode_texts(texts)
        found: Vectors = self.projection(torch.from_numpy(base).to(self.device)).float().cpu().numpy()
        found[~base.any(axis=1)] = 0.0
        return found

    def _reads(self) -> dict[str, Any]:
        return {key: value for key, value in self.base.metadata()["preprocessing"].items() if key != "texts"}


def transformer_digest(network: TextTransformer, tokens: TaxonTokens) -> str:
    """Of the weights, of how they compute and of the words they are for."""
    how = {key: value for key, value in network.shape().items() if key != "dropout"}
    return _digest(weights_digest(plain_state(network)), json.dumps(how, sort_keys=True), tokens.digest)


def bert_digest(model: BertText) -> str:
    """Of the weights and of how a text is read."""
    return _digest(weights_digest(plain_state(model.network)), model.tokens.digest, str(model.length), model.network.pooling)


def _digest(*parts: str) -> str:
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:DIGEST_LENGTH]


def load_text_folder(folder: Path, *, name: str | None = None, device: str = "auto") -> TextEncoder:
    """The encoder in a folder of ours or of Hugging Face.

    Raises BiocosmosError where it, its tokenizer or the encoder beneath is missing, damaged or was changed.
    """
    name = str(folder) if name is None else name
    if not is_file(folder / TRAINED):
        return BertTexts(name, BertText.load(folder), device)
    facts = read_facts(folder / TRAINED, _SHAPE, **_TOLD)
    wording, source = Wording.from_dict(facts["texts"]), str(facts["training"].get("what") or "")
    made: TransformerTexts | ProjectedTexts
    if facts["network"] == "transformer":
        network, tokens = _transformer(folder)
        made = TransformerTexts(name, network, tokens, wording, device, source)
    else:
        made = ProjectedTexts(name, _base(folder, device), _projection(folder), wording, device, source)
    refuse_changed_weights(folder, made.digest, facts, "weights and tokenizer have")
    return made


def _transformer(folder: Path) -> tuple[TextTransformer, TaxonTokens]:
    shape = read_facts(folder / TRAINED, {"shape": _TRANSFORMER}, **_TOLD)["shape"]
    tokens = TaxonTokens.load(folder)
    if tokens.size != shape["vocabulary"]:
        raise BiocosmosError(
            f"{folder} has a tokenizer of {tokens.size:,} tokens and weights for {shape['vocabulary']:,}: they are of two "
            "trainings; restore the tokenizer that was saved with the weights"
        )
    if shape["width"] % shape["heads"]:
        raise BiocosmosError(f"{folder / TRAINED} gives {shape['width']} numbers to {shape['heads']} heads: {_TOLD['remedy']}")

    def build() -> TextTransformer:
        return TextTransformer(**{key: shape[key] for key in _TRANSFORMER})

    return filled(build, read_weights(folder / WEIGHTS), folder / WEIGHTS), tokens


def _projection(folder: Path) -> Projection:
    facts = read_facts(folder / TRAINED, {"projection": OF_PROJECTION}, **_TOLD)["projection"]
    return read_projection(folder / PROJECTION, facts)


def _base(folder: Path, device: str) -> TextEncoder:
    base = read_facts(folder / TRAINED, {"base": {"name": str, "digest": str}}, **_TOLD)["base"]
    refuse_code(place_of_base(folder, base["name"]), folder / TRAINED)
    return base_beneath(folder, base, lambda place: load_text_encoder(place, device=device))


def save_transformer(
    folder: str | Path, network: TextTransformer, tokens: TaxonTokens, wording: Wording, *, training: Mapping[str, Any]
) -> str:
    """Write a transformer with its tokenizer as an encoder; returns its digest.

    ``biocosmos.json`` comes last: a kill leaves a folder that is not yet an encoder. Raises BiocosmosError for weights that are
    no number.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder, WEIGHTS, network)
    files = [WEIGHTS, tokens.save(folder)]
    told = {"network": "transformer", "shape": network.shape(), "dim": network.dim, "words": len(tokens.words)}
    return _describe(folder, transformer_digest(network, tokens), told, wording, files, training)


def save_projected_texts(
    folder: str | Path,
    base: TextEncoder,
    projection: Projection,
    wording: Wording,
    *,
    training: Mapping[str, Any],
    own_base: bool = False,
) -> str:
    """Write a projection over ``base``, which is named, or stands in the sub-folder ``base`` already (own_base).

    Returns its digest. Raises BiocosmosError for weights that are no number.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder, PROJECTION, projection)
    told = {
        "network": "projection",
        "dim": projection.dim_out,
        "projection": projection.settings(),
        "base": {"name": OWN_BASE if own_base else base.name, "digest": base.digest},
    }
    return _describe(folder, projected_digest(base.digest, projection), told, wording, [PROJECTION], training)


def _describe(
    folder: Path, digest: str, told: dict[str, Any], wording: Wording, files: list[str], training: Mapping[str, Any]
) -> str:
    facts = {
        "format": FORMAT,
        "kind": TEXT,
        "digest": digest,
        **told,
        "texts": wording.as_dict(),
        "files": [*files, CARD],
        "training": dict(training),
    }
    return describe(folder, facts, _card)


def _card(name: str, facts: Mapping[str, Any]) -> str:
    texts = facts["texts"]
    ranks = ", ".join(texts["ranks"]) or "all that the collection has"
    over = f", over '{facts['base']['name']}'" if "base" in facts else f", for {facts['words']:,} words and their pieces"
    return card_text(
        name,
        facts,
        tags=("feature-extraction", "taxonomy"),
        default="An encoder of names of taxa trained with biocosmos.",
        weights=over,
        reads=f"names of taxa, ranks {ranks}, text type {texts['kind']}, missing ranks {texts['missing'].replace('_', ' ')}",
        advice="Similar vectors are a reason to look, not an identification.",
    )


__all__ = [
    "BertTexts",
    "ProjectedTexts",
    "TransformerTexts",
    "load_text_folder",
    "save_projected_texts",
    "save_transformer",
]
