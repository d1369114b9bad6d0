"""The names of specimens as a tower: a small transformer of our own, or an encoder of texts with a projection over it.

Specimens of one taxon share their text. It is read once, and in a batch a network is run once for each distinct text.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from biocosmos.encoders.modality import modality_of
from biocosmos.encoders.taxon_tokens import PAD, TaxonTokens
from biocosmos.encoders.texts import TextEncoder, load_text_encoder
from biocosmos.errors import BiocosmosError, Failures
from biocosmos.nn.chunked import Chunked
from biocosmos.nn.low_rank import merge_low_rank
from biocosmos.nn.projection import Projection
from biocosmos.nn.text_transformer import DistinctRows, TextTransformer
from biocosmos.progress import progress
from biocosmos.provenance import encoder_name
from biocosmos.specimens.taxon_texts import NOT_CLASSIFIED, Wording
from biocosmos.train.batches.drawing import Rows
from biocosmos.train.contrastive.settings import PUBLISHED, ContrastiveSettings
from biocosmos.train.contrastive.specimens import ModalRows
from biocosmos.train.contrastive.towers.own_base import guard_own_base
from biocosmos.train.contrastive.towers.text_networks import TextNetwork, network_of
from biocosmos.train.loop.processes import Processes

TINY = "tiny"
WIDTH, LAYERS, HEADS = 256, 0, 4
"""Of the network that is trained from nothing. Without layers its words are averaged: on the real names and barcodes of
docs/modalities.md that named unseen species better than a layer did, in a quarter of its time."""
MOST_LAYERS = 12
AS_NEW, LEFT_OUT, CUT = 0.2, 0.2, 0.1
"""Share of words that a text shows by their pieces alone, as words of a species nobody saw come; of words it leaves out; of texts
that end at a coarser rank, as "Diptera" does."""
TUNED = 0.05
"""Learning rate of weights that are tuned, against that of new ones: CLIBD's highest is 5e-5."""
CHUNK = 256
"""Texts that go through a tuned encoder at once where nothing is asked for."""
_AT_ONCE = 4096


class TextTower:
    """The tower of texts; see :class:`biocosmos.train.contrastive.towers.source.TowerSource`.

    ``way`` is what is done with a text: ``tiny`` is trained whole whatever ``tune`` says; of another encoder a projection of its
    vectors (heads), or its weights too (lora, full).
    """

    modality: Literal["text"] = "text"

    def __init__(self, rows: ModalRows, settings: ContrastiveSettings, where: Processes, failures: Failures) -> None:
        collection = rows.collection
        asked = tuple(rank.strip() for rank in settings.text_ranks.split(",") if rank.strip())
        if unknown := [rank for rank in asked if rank not in collection.ranks]:
            known = ", ".join(collection.ranks)
            raise BiocosmosError(f"--text-ranks names '{unknown[0]}', and {collection.path} has {known}: choose of these")
        self.wording = _wording(settings.text_type, asked or tuple(collection.ranks))
        table = collection.take(rows.ids, columns=["id", *self.wording.columns(collection.ranks, collection.stored_columns)])
        written = self.wording.texts(table, collection.ranks)
        distinct = {text: i for i, text in enumerate(dict.fromkeys(text for text in written if text is not None))}
        self.there = np.array([text is not None for text in written], np.bool_)
        self._place = np.array([-1 if text is None else distinct[text] for text in written], np.int64)
        learnt = [text for text in dict.fromkeys(written[: rows.learnt]) if text is not None]
        self.way = _way(list(distinct), learnt, settings)
        self.module = self.way.module

    def inputs(self, rows: Rows, generator: torch.Generator | None) -> torch.Tensor:
        """Tokens, or the vectors of an encoder that stays as it is; rows of one text have the same, changed alike."""
        texts, place = np.unique(self._place[rows], return_inverse=True)
        return self.way.inputs(texts, generator)[torch.from_numpy(place.reshape(-1))]

    def lr_factor(self, name: str) -> float:
        """See :data:`TUNED`."""
        return self.way.lr_factor(name)

    def save(self, folder: Path, facts: dict[str, Any]) -> str:
        """An encoder of texts, kind "text"."""
        return self.way.save(folder, self.wording, facts)


class _Way(ABC):
    """What is done with the distinct texts of a training."""

    module: nn.Module

    @abstractmethod
    def inputs(self, texts: npt.NDArray[np.int64], generator: torch.Generator | None) -> torch.Tensor:
        """Of texts by their numbers."""

    def lr_factor(self, name: str) -> float:
        """Of a weight of the module."""
        return 1.0

    @abstractmethod
    def save(self, folder: Path, wording: Wording, facts: dict[str, Any]) -> str:
        """Write the encoder; returns its digest."""


class _Tiny(_Way):
    """A network from nothing, with a tokenizer of the words that are learnt from; layers: of its transformer."""

    def __init__(self, texts: Sequence[str], learnt: Sequence[str], settings: ContrastiveSettings, layers: int) -> None:
        self.tokens = TaxonTokens.learnt(learnt)
        self._read = torch.from_numpy(self.tokens.of(texts))
        network = TextTransformer(self.tokens.size, settings.width, WIDTH, layers, HEADS, self.tokens.length)
        self.module = DistinctRows(network)

    def inputs(self, texts: npt.NDArray[np.int64], generator: torch.Generator | None) -> torch.Tensor:
        """(m, words, 1 + pieces) int64. In training changed as :data:`AS_NEW` and the others say."""
        tokens = self._read[torch.from_numpy(texts)].clone()
        if generator is None:
            return tokens
        n, words, _ = tokens.shape
        new, absent, cut, end = torch.rand((4, n, words), generator=generator)
        tokens[..., 0][new < AS_NEW] = PAD
        there = (tokens >= 0).any(-1)
        last = torch.where(cut[:, 0] < CUT, (end[:, 0] * there.sum(1)).long() + 1, words)
        there &= there.cumsum(1) <= last[:, None]
        kept = there & (absent >= LEFT_OUT)
        kept |= there & ~kept.any(1, keepdim=True)
        return tokens.masked_fill(~kept[..., None], PAD)

    def save(self, folder: Path, wording: Wording, facts: dict[str, Any]) -> str:
        """See :class:`_Way`."""
        from biocosmos.encoders.text_models import save_transformer

        network = self.module.network.cpu()
        assert isinstance(network, TextTransformer)
        return save_transformer(folder, network, self.tokens, wording, training=facts)


class _Heads(_Way):
    """A projection of the vectors of an encoder that stays as it is."""

    def __init__(self, texts: Sequence[str], encoder: TextEncoder, settings: ContrastiveSettings) -> None:
        self.encoder, parts = encoder, [np.empty((0, encoder.dim), np.float32)]
        with progress(f"encode texts with {encoder.name}", total=len(texts), unit="texts") as bar:
            for start in range(0, len(texts), _AT_ONCE):
                parts.append(encoder.encode_texts(texts[start : start + _AT_ONCE]))
                bar.advance(len(parts[-1]))
        self._vectors = torch.from_numpy(np.concatenate(parts))
        self.module = Projection(encoder.dim, settings.width, hidden=settings.hidden or None)

    def inputs(self, texts: npt.NDArray[np.int64], generator: torch.Generator | None) -> torch.Tensor:
        """(m, dim) float32 unit vectors."""
        return self._vectors[torch.from_numpy(texts)]

    def save(self, folder: Path, wording: Wording, facts: dict[str, Any]) -> str:
        """See :class:`_Way`."""
        from biocosmos.encoders.text_models import save_projected_texts

        assert isinstance(self.module, Projection)
        return save_projected_texts(folder, self.encoder, self.module.cpu(), wording, training=facts)


class _Tuned(_Way):
    """An encoder whose weights learn too, with a projection over it."""

    def __init__(self, texts: Sequence[str], encoder: TextEncoder, settings: ContrastiveSettings) -> None:
        self._of: TextNetwork = network_of(encoder)
        self._read = torch.from_numpy(self._of.inputs(texts))
        self._lora = settings.tune_of("text") == "lora"
        if self._lora:
            self._of.add_low_rank(settings.lora_rank, encoder.name)
        projection = Projection(encoder.dim, settings.width, hidden=settings.hidden or None)
        base = DistinctRows(Chunked(self._of.network, settings.chunk or CHUNK))
        self.module = nn.Sequential(OrderedDict(base=base, projection=projection))

    def inputs(self, texts: npt.NDArray[np.int64], generator: torch.Generator | None) -> torch.Tensor:
        """(m, t) int64 tokens, or (m, words, 1 + pieces)."""
        return self._read[torch.from_numpy(texts)]

    def lr_factor(self, name: str) -> float:
        """Changes of low rank and the projection are new."""
        return TUNED if name.startswith("base.") and not self._lora else 1.0

    def save(self, folder: Path, wording: Wording, facts: dict[str, Any]) -> str:
        """The tuned encoder stands in ``base/``."""
        from biocosmos.encoders.model_folder import OWN_BASE
        from biocosmos.encoders.text_models import save_projected_texts

        network: nn.Module = copy.deepcopy(self.module.base.network.module).cpu().eval()  # type: ignore[union-attr]
        merge_low_rank(network)
        guard_own_base(folder, folder / OWN_BASE)
        self._of.save(folder / OWN_BASE, network)
        base = load_text_encoder(str(folder / OWN_BASE), device="cpu")
        projection = self.module.projection.cpu()
        assert isinstance(projection, Projection)
        return save_projected_texts(folder, base, projection, wording, training=facts, own_base=True)


def _wording(text_type: str, ranks: tuple[str, ...]) -> Wording:
    if text_type == PUBLISHED:
        return Wording(ranks, missing=NOT_CLASSIFIED)
    return Wording(ranks, text_type)  # type: ignore[arg-type]  # a choice of the setting


def _way(texts: Sequence[str], learnt: Sequence[str], settings: ContrastiveSettings) -> _Way:
    """Raises BiocosmosError for an encoder that reads no texts, and one that cannot be tuned."""
    kind, colon, layers = settings.text.partition(":")
    if kind == TINY:
        if colon and not (layers.isdecimal() and int(layers) <= MOST_LAYERS):
            raise BiocosmosError(f"--text {settings.text}: write {TINY}, or {TINY}:1 to {TINY}:{MOST_LAYERS} for so many layers")
        if not learnt:
            raise BiocosmosError(f"no specimen of part '{settings.split}' has a name to learn from: leave text out (--text '')")
        return _Tiny(texts, learnt, settings, int(layers or LAYERS))
    if modality_of(settings.text) == "dna":
        raise BiocosmosError(f"--text {settings.text} is an encoder of barcodes: name {TINY}, or an encoder of texts")
    encoder = load_text_encoder(encoder_name(settings.text), device="cpu")
    return (_Heads if settings.tune_of("text") == "heads" else _Tuned)(texts, encoder, settings)


__all__ = ["TextTower"]
