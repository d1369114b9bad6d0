"""A small transformer over the words of a taxonomic string; plain torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from biocosmos.nn.barcode.transformer import SPREAD, BarcodeTransformer

POOLINGS = ("mean", "cls")


class TextTransformer(nn.Module):
    """(n, words, 1 + pieces) tokens, -1 for nothing -> (n, dim) vectors, not yet unit.

    A word w is E[own token] + mean E[pieces], either alone where the other is not there. What is given is A mean_w(w) + B
    pool(transformer(w + place)): the first term keeps texts that share words together, as the sum of fastText
    does, the second tells what their order and company say. Blocks: BERT's (:class:`BarcodeTransformer`).

    Args:
        vocabulary: tokens of words and of pieces; dim: of the vectors; width, layers, heads, dropout: of the transformer, left
            out with 0 layers.
        positions: most words of a text.
        pooling: "mean" of the hidden states of words, "cls": the state of one more token before them.
    """

    def __init__(
        self,
        vocabulary: int,
        dim: int,
        width: int = 256,
        layers: int = 2,
        heads: int = 4,
        positions: int = 24,
        dropout: float = 0.0,
        *,
        pooling: str = "mean",
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, not {pooling!r}")
        self.dim, self.width, self.heads, self.positions, self.pooling = dim, width, heads, positions, pooling
        self.tokens = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.tokens.weight, std=width**-0.5)
        self.bag = nn.Linear(width, dim)
        self.encoder: BarcodeTransformer | None = None
        if layers:
            self.encoder = BarcodeTransformer(1, width, layers, heads, positions=positions + 1, segments=1, dropout=dropout)
            self.encoder.embeddings.tokens.weight.requires_grad_(False)  # it is given vectors
            self.first = nn.Parameter(torch.randn(width) * SPREAD) if pooling == "cls" else None
            self.mixed = nn.Linear(width, dim)

    def words(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """((n, words, width) vectors, zero where there is no word; (n, words) bool of those that are there)."""
        there = tokens >= 0
        n, t, _ = tokens.shape
        weights = torch.cat([there[..., :1], there[..., 1:] / there[..., 1:].sum(-1, keepdim=True).clamp(min=1)], -1)
        vectors = nn.functional.embedding_bag(
            tokens.clamp(min=0).flatten(0, 1),
            self.tokens.weight,
            per_sample_weights=weights.flatten(0, 1).to(self.tokens.weight.dtype),
            mode="sum",
        )
        return vectors.view(n, t, -1), there.any(-1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens: (n, words, 1 + pieces) int64; a text without a word is zero times the weights, plus their constants."""
        words, real = self.words(tokens[:, : self.positions])
        count = real.sum(1, keepdim=True).clamp(min=1).to(words.dtype)
        vectors: torch.Tensor = self.bag(words.sum(1) / count)
        if self.encoder is None:
            return vectors
        if self.first is None:
            hidden = self.encoder(words, real)
            pooled = (hidden * real[..., None]).sum(1) / count
        else:
            words = torch.cat([self.first.expand(len(words), 1, -1), words], 1)
            real = torch.cat([real.new_ones(len(real), 1), real], 1)
            pooled = self.encoder(words, real)[:, 0]
        return vectors + self.mixed(pooled)  # type: ignore[no-any-return]

    def shape(self) -> dict[str, Any]:
        """The arguments that build it again."""
        return {
            "vocabulary": self.tokens.num_embeddings,
            "dim": self.dim,
            "width": self.width,
            "layers": 0 if self.encoder is None else len(self.encoder.layers),
            "heads": self.heads,
            "positions": self.positions,
            "dropout": 0.0 if self.encoder is None else self.encoder.embeddings.dropout.p,
            "pooling": self.pooling,
        }


class PooledBert(nn.Module):
    """A BERT and its pooling: (n, t) ids, -1 for pads -> (n, width) vectors, not yet unit.

    encoder: the hidden states; pooling: "mean" over tokens that are no pads (Reimers and Gurevych 2019, arXiv:1908.10084), or
    "cls".
    """

    def __init__(self, encoder: BarcodeTransformer, pooling: str = "mean") -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, not {pooling!r}")
        self.encoder, self.pooling, self.width = encoder, pooling, encoder.width

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens: (n, t) int64."""
        real = tokens >= 0
        hidden: torch.Tensor = self.encoder(tokens.clamp(min=0), real)
        if self.pooling == "cls":
            return hidden[:, 0]
        return (hidden * real[..., None]).sum(1) / real.sum(1, keepdim=True).clamp(min=1)


class DistinctRows(nn.Module):
    """A network that is run once for each distinct row of its inputs: specimens of one taxon share their text."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """inputs: (n, ...) of any type -> (n, dim)."""
        rows, place = torch.unique(inputs.flatten(1), dim=0, return_inverse=True)
        return self.network(rows.view(-1, *inputs.shape[1:]))[place]  # type: ignore[no-any-return]
