"""Encoders of barcodes that were trained: folders of ``biocosmos train barcode``, and BarcodeBERT checkpoints of Hugging Face.

    encoder = load_barcode_folder("run/")             # or a folder with config.json (model_type bert) and its weights
    vectors = encoder.encode_barcodes(["ACGT..."])    # (n, dim) float32 unit rows

Everything in a folder is data: safetensors, or a pickle of tensors read without running code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from biocosmos.barcodes.tokens import PAD, VOCABULARIES, KmerTokens
from biocosmos.encoders.modality import BARCODE, TRAINED
from biocosmos.encoders.model_folder import CARD, card_text, describe, refuse_changed_weights, save_weights
from biocosmos.encoders.public_barcode_bert import is_public, load_public
from biocosmos.encoders.torch_backend import choose_device
from biocosmos.encoders.towers import DIGEST_LENGTH, plain_state, weights_digest
from biocosmos.encoders.weights import fill, filled, read_weights
from biocosmos.errors import BiocosmosError
from biocosmos.facts import FILE_NAME, Number, read_facts
from biocosmos.nn.barcode.convolution import FEATURES, BarcodeCNN
from biocosmos.nn.barcode.embedder import BarcodeEmbedder
from biocosmos.nn.barcode.pooling import POOLINGS
from biocosmos.provenance import encoder_name

FORMAT = 1
WEIGHTS, HEAD = "model.safetensors", "head.safetensors"
BATCH = 64
BUCKET = 16
"""Barcodes go through with others of as many tokens, rounded up to a multiple of this: pads cost time and change nothing."""
_WHOLE = Number(1, 1 << 20, whole=True)
_TRANSFORMER = {
    "vocabulary": _WHOLE,
    "width": _WHOLE,
    "layers": Number(0, 200, whole=True),
    "heads": Number(1, 1024, whole=True),
    "hidden": _WHOLE,
    "positions": _WHOLE,
    "segments": Number(1, 16, whole=True),
    "dropout": Number(0, 1),
    "pad": Number(0, 1 << 24, whole=True),
    "pooling": POOLINGS,
    "window": Number(1, 4096, whole=True),
    "bag": bool,
}
_SHAPE = {
    "format": FORMAT,
    "kind": BARCODE,
    "digest": str,
    "network": ("transformer", "cnn"),
    "tokens": {"k": _WHOLE, "stride": Number(0, 64, whole=True), "vocabulary": VOCABULARIES, "length": _WHOLE},
    "shape": {},
    "classes": (None, [str]),
    "files": [FILE_NAME],
    "training": {},
}

Array = npt.NDArray[Any]


@dataclass(eq=False)
class BarcodeModel:
    """A network over barcodes with its tokenizer, on the CPU in float32.

    network: :class:`BarcodeEmbedder` or :class:`BarcodeCNN`; tokens: what it reads; head: logits of ``classes``, species that it
    was fine-tuned to name, from its vectors; facts: about the training; source: for people.
    """

    network: BarcodeEmbedder | BarcodeCNN
    tokens: KmerTokens
    head: nn.Linear | None = None
    classes: tuple[str, ...] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    source: str = ""

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self.network.width

    @property
    def digest(self) -> str:
        """Of the weights and of how barcodes are read."""
        how = json.dumps([self.tokens.as_dict(), self.shape()], sort_keys=True)
        return hashlib.sha256(f"{weights_digest(plain_state(self.network))} {how}".encode()).hexdigest()[:DIGEST_LENGTH]

    def shape(self) -> dict[str, Any]:
        """The arguments of the network."""
        if isinstance(self.network, BarcodeCNN):
            return {"length": self.tokens.length, "features": self.network.width}
        return {name: value for name, value in self.network.shape().items() if name != "dropout"}

    def inputs(self, barcodes: Sequence[str], offsets: npt.NDArray[np.int64] | None = None) -> Array:
        """What the network takes: (n, t) int64 tokens, or letters for a CNN."""
        letters, lengths = self.tokens.letters(barcodes, offsets)
        return letters.astype(np.int64) if isinstance(self.network, BarcodeCNN) else self.tokens.of_letters(letters, lengths)


class TrainedBarcodes:
    """An encoder of barcodes, as ``load_barcode_encoder`` gives it: see :mod:`biocosmos.encoders.barcodes`."""

    modality: Literal["dna"] = "dna"
    stored: Literal["k-mers", "vectors"] = "vectors"
    batch_size = BATCH

    def __init__(self, name: str, model: BarcodeModel, device: str = "auto") -> None:
        self.name, self.model, self.device = encoder_name(name), model, torch.device(choose_device(device))
        self.dim, self.digest = model.dim, model.digest
        self._network = model.network.eval().to(self.device)
        if model.head is not None:
            model.head.eval().to(self.device)

    def metadata(self) -> dict[str, Any]:
        """What a collection keeps beside the vectors."""
        return {
            "name": self.name,
            "digest": self.digest,
            "dim": self.dim,
            "modality": self.modality,
            "stored": self.stored,
            "network": "cnn" if isinstance(self.model.network, BarcodeCNN) else "transformer",
            "tokens": self.model.tokens.as_dict(),
            "pooling": self.pooling,
            "source": self.model.source,
            "preprocessing": {"tokens": self.model.tokens.as_dict(), "pooling": self.pooling},
            "precision": "float32",
            "backend": "torch",
            "device": self.device.type,
        }

    @property
    def pooling(self) -> str | None:
        """How hidden states become one vector; None for a CNN."""
        return self.model.network.pooling if isinstance(self.model.network, BarcodeEmbedder) else None

    def encode_barcodes(self, barcodes: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n, dim) float32 unit rows. A barcode without a k-mer of A, C, G and T says nothing: its row is zero."""
        vectors = self.features(barcodes)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.where(lengths > 0, lengths, 1.0)
        vectors[~says_something(self.model, barcodes)] = 0.0
        return vectors

    @torch.no_grad()
    def features(self, barcodes: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n, dim) float32, as they are before they are made unit length: what a linear probe takes."""
        out = np.zeros((len(barcodes), self.dim), np.float32)
        for rows, inputs in self._batches(barcodes):
            found = self._network(torch.from_numpy(inputs).to(self.device))
            out[rows] = found.float().cpu().numpy()
        return out

    @torch.no_grad()
    def log_probabilities(self, barcodes: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n, classes) float32 by the species head. Raises BiocosmosError where the model was not fine-tuned to species."""
        if self.model.head is None:
            raise BiocosmosError(f"{self.name} has no head of species: fine-tune one with train barcode --objective species")
        features = torch.from_numpy(self.features(barcodes)).to(self.device)
        found: npt.NDArray[np.float32] = self.model.head(features).log_softmax(1).cpu().numpy()
        return found

    def _batches(self, barcodes: Sequence[str]) -> Iterator[tuple[Array, Array]]:
        """(rows, inputs) of at most :data:`BATCH` barcodes, those of one number of tokens together.

        A barcode's length in tokens is its own, so that its vector does not depend on its neighbours'.
        """
        inputs = self.model.inputs(barcodes)
        whole = np.full(len(inputs), inputs.shape[1])
        if isinstance(self.model.network, BarcodeEmbedder) and self.model.network.pooling == "mean":
            step = BUCKET * self.model.network.window
            whole = np.minimum(-(-(inputs != PAD).sum(1) // step) * step, whole).clip(min=step)
        order = np.argsort(whole, kind="stable")
        starts = np.flatnonzero(np.diff(whole[order], prepend=-1))
        for first, last in zip(starts, [*starts[1:], len(order)]):
            for at in range(first, last, BATCH):
                rows = order[at : min(at + BATCH, last)]
                yield rows, inputs[rows, : whole[rows[0]]]


def says_something(model: BarcodeModel, barcodes: Sequence[str]) -> npt.NDArray[np.bool_]:
    """(n,) whether a barcode has a token of A, C, G and T alone."""
    tokens = model.tokens.of(barcodes)
    special = (tokens == PAD) | (tokens == model.tokens.unknown)
    if model.tokens.start is not None:
        special[:, 0] = True
    if model.tokens.vocabulary == "with-n":
        special |= tokens >= model.tokens.special + 4**model.tokens.k
    found: npt.NDArray[np.bool_] = ~special.all(1)
    return found


def load_barcode_folder(folder: str | Path, *, device: str = "auto", pooling: str | None = None) -> TrainedBarcodes:
    """The encoder in a folder: one of ``biocosmos train barcode``, or a BarcodeBERT checkpoint as Hugging Face saves it.

    pooling: in place of the model's own; a checkpoint of Hugging Face does not say it, and "mean" is taken (of
    :data:`biocosmos.nn.barcode.pooling.POOLINGS`). Raises BiocosmosError for a folder that is neither, is damaged or was changed.
    """
    return TrainedBarcodes(str(folder), load_barcode_model(folder, pooling=pooling), device)


def load_barcode_model(folder: str | Path, *, pooling: str | None = None) -> BarcodeModel:
    """The modules of :func:`load_barcode_folder`, to train them further."""
    folder = Path(folder).expanduser()
    if pooling is not None and pooling not in POOLINGS:
        raise BiocosmosError(f"pooling '{pooling}' is not known: choose {', '.join(POOLINGS)}")
    if is_public(folder):
        network, tokens = load_public(folder)
        model = BarcodeModel(network, tokens, source="a BarcodeBERT checkpoint of Hugging Face")
    else:
        model = _own(folder)
    if pooling is not None:
        if isinstance(model.network, BarcodeCNN):
            raise BiocosmosError(f"{folder} is a CNN, which has no pooling: leave pooling out")
        model.network.pooling = pooling
    return model


def _own(folder: Path) -> BarcodeModel:
    told = {"what": "the description of an encoder of barcodes", "remedy": "restore it, or train the encoder again"}
    facts = read_facts(folder / TRAINED, _SHAPE, **told)
    if facts["network"] == "transformer":
        facts |= read_facts(folder / TRAINED, {"shape": _TRANSFORMER}, **told)
    tokens = KmerTokens(**{name: facts["tokens"][name] for name in ("k", "stride", "vocabulary", "length")})

    def build() -> BarcodeEmbedder | BarcodeCNN:
        if facts["network"] == "cnn":
            return BarcodeCNN(tokens.length, FEATURES)
        return BarcodeEmbedder(**{name: facts["shape"][name] for name in _TRANSFORMER})

    network = filled(build, read_weights(folder / WEIGHTS), folder / WEIGHTS)
    head, classes = None, facts["classes"]
    if classes is not None:
        head = nn.Linear(network.width, len(classes))
        fill(head, read_weights(folder / HEAD), folder / HEAD)
    what = facts["training"].get("what") or "trained on barcodes"
    model = BarcodeModel(network, tokens, head, None if classes is None else tuple(classes), facts["training"], str(what))
    refuse_changed_weights(folder, model.digest, facts)
    return model


def save_barcode_model(folder: str | Path, model: BarcodeModel, *, training: Mapping[str, Any]) -> str:
    """Write a trained model as a folder that every command takes as an encoder; returns its digest.

    training: facts for ``biocosmos.json`` and the model card; ``what`` is a sentence. ``biocosmos.json`` comes last: a kill
    leaves a folder that is not yet an encoder. Raises BiocosmosError for weights that are no number.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, nn.Module] = {WEIGHTS: model.network}
    if model.head is not None:
        parts[HEAD] = model.head
    for name, module in parts.items():
        save_weights(folder, name, module)
    shape = model.shape()
    if isinstance(model.network, BarcodeEmbedder):
        shape["dropout"] = model.network.shape()["dropout"]
    facts = {
        "format": FORMAT,
        "kind": BARCODE,
        "digest": model.digest,
        "dim": model.dim,
        "network": "cnn" if isinstance(model.network, BarcodeCNN) else "transformer",
        "tokens": model.tokens.as_dict(),
        "shape": shape,
        "classes": None if model.classes is None else list(model.classes),
        "files": [*parts, CARD],
        "training": dict(training),
    }
    return describe(folder, facts, _card)


def _card(name: str, facts: Mapping[str, Any]) -> str:
    tokens = facts["tokens"]
    step = tokens["stride"] or tokens["k"]
    return card_text(
        name,
        facts,
        tags=("dna",),
        default="An encoder of DNA barcodes trained with biocosmos.",
        weights="",
        reads=f"{tokens['length']} bases, k-mers of {tokens['k']}, one every {step}, vocabulary {tokens['vocabulary']}",
        advice="Compare it with `-e kmer:7`, which needs no training, on your\n"
        "own data. Similar vectors are a reason to look, not an identification.",
    )


__all__ = [
    "BATCH",
    "BarcodeModel",
    "TrainedBarcodes",
    "load_barcode_folder",
    "load_barcode_model",
    "save_barcode_model",
    "says_something",
]
