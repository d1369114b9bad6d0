"""From the tokens of barcodes to one vector each: the encoder of a language model, its pooling, and what is laid beside it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from biocosmos.nn.barcode.pooling import pooled
from biocosmos.nn.barcode.transformer import BarcodeTransformer


class BarcodeEmbedder(nn.Module):
    """(n, t) tokens, -1 for pads -> (n, width) vectors, not yet unit.

    Args:
        vocabulary, width, layers, heads, hidden, positions, segments, dropout: of :class:`BarcodeTransformer`.
        pad: the number of a pad in the vocabulary.
        pooling: "mean" over real tokens, pads never attended to; "mean-all" over all, pads attended to; "cls", the first
            token's, pads attended to.
        window: so many neighbouring tokens are summed to one place of the transformer (over the root of their number), so that
            overlapping k-mers, one from each base, cost no more attention than k-mers side by side.
        bag: add what the transformer says to the unit sum of all token vectors, through a linear layer that is zero at the start.
            Random token vectors keep the cosines of k-mer counts (Johnson and Lindenstrauss 1984), so that training begins near
            the k-mer encoder and moves from there. Without layers the sum is all. Ours, not BarcodeBERT's.
    """

    def __init__(
        self,
        vocabulary: int,
        width: int = 256,
        layers: int = 4,
        heads: int = 4,
        hidden: int | None = None,
        positions: int = 512,
        segments: int = 2,
        dropout: float = 0.1,
        *,
        pad: int = 1,
        pooling: str = "mean",
        window: int = 1,
        bag: bool = False,
    ) -> None:
        super().__init__()
        self.pad, self.pooling, self.window, self.width = pad, pooling, window, width
        self.heads, self.inner, self.bag = heads, hidden or 4 * width, bag
        self.encoder = BarcodeTransformer(vocabulary, width, layers, heads, hidden, positions, segments, dropout)
        self.beside: nn.Linear | None = None
        if bag:
            nn.init.normal_(self.encoder.embeddings.tokens.weight)
        if bag and layers:
            self.beside = nn.Linear(width, width)
            nn.init.zeros_(self.beside.weight)
            nn.init.zeros_(self.beside.bias)
        elif bag:  # nothing looks around: the sum of the token vectors is all, and places are not looked at
            for weights in self.encoder.embeddings.parameters():
                weights.requires_grad_(weights is self.encoder.embeddings.tokens.weight)

    def hidden(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """((n, places, width) last hidden states, (n, places) bool of those with a real token)."""
        hidden, real, _ = self._states(tokens)
        return hidden, real

    def _states(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        real = tokens >= 0
        ids = tokens.masked_fill(~real, self.pad)
        bag = None
        inputs = ids
        if self.window > 1 or self.bag:
            inputs, real = self._folded(ids, real)
            bag = nn.functional.normalize(inputs.sum(1), dim=1)
            inputs = inputs / self.window**0.5
        return self.encoder(inputs, real if self.pooling == "mean" else None), real, bag

    def _folded(self, ids: torch.Tensor, real: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(sums of the token vectors of each window (n, places, width), whether a window has a real token)."""
        missing = -ids.shape[1] % self.window
        ids, real = nn.functional.pad(ids, (0, missing)), nn.functional.pad(real, (0, missing))
        n, t = ids.shape
        counted = real & (ids != self.pad)  # a k-mer with N says nothing, as in counts of k-mers
        vectors = nn.functional.embedding_bag(
            ids.view(-1, self.window),
            self.encoder.embeddings.tokens.weight,
            per_sample_weights=counted.to(self.encoder.embeddings.tokens.weight.dtype).view(-1, self.window),
            mode="sum",
        )
        return vectors.view(n, t // self.window, -1), real.view(n, -1, self.window).any(-1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens: (n, t) int64, -1 for pads."""
        if self.bag and self.beside is None:
            real = tokens >= 0
            return nn.functional.normalize(self._folded(tokens.masked_fill(~real, self.pad), real)[0].sum(1), dim=1)
        hidden, real, bag = self._states(tokens)
        vectors = pooled(hidden, real, self.pooling)
        return vectors if self.beside is None or bag is None else bag + self.beside(vectors)

    def shape(self) -> dict[str, Any]:
        """The arguments that build it again, dropout as it is."""
        e = self.encoder
        return {
            "vocabulary": e.embeddings.tokens.num_embeddings,
            "width": self.width,
            "layers": len(e.layers),
            "heads": self.heads,
            "hidden": self.inner,
            "positions": e.embeddings.positions.num_embeddings,
            "segments": e.embeddings.segments.num_embeddings,
            "dropout": e.embeddings.dropout.p,
            "pad": self.pad,
            "pooling": self.pooling,
            "window": self.window,
            "bag": self.bag,
        }
