"""The transformer of BarcodeBERT: BERT as published, so that public checkpoints give the same hidden states.

Devlin et al., BERT, NAACL 2019 (arXiv:1810.04805); Arias et al., BarcodeBERT, 2023 (arXiv:2311.02401). Attention by torch's
scaled_dot_product_attention.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

EPSILON = 1e-12
"""Of BERT's layer norms."""
SPREAD = 0.02
"""Standard deviation of BERT's weights at the start."""


class Embeddings(nn.Module):
    """Tokens, places and the one segment of BERT, summed, normalised: (n, t) ids -> (n, t, width)."""

    def __init__(self, vocabulary: int, width: int, positions: int, segments: int, dropout: float) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(positions, width)
        self.segments = nn.Embedding(segments, width)
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: torch.Tensor, places: torch.Tensor | None = None) -> torch.Tensor:
        """tokens: (n, t) int64, or (n, t, width) vectors in their place; places: (n, t) int64, by default 0 to t - 1."""
        vectors = tokens if tokens.is_floating_point() else self.tokens(tokens)
        at = self.positions.weight[: vectors.shape[1]] if places is None else self.positions(places)
        return self.dropout(self.norm(vectors + self.segments.weight[0] + at))  # type: ignore[no-any-return]


class Layer(nn.Module):
    """One block of BERT: attention and a GELU network, the norm after each sum (post-norm)."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.attended = nn.Linear(width, width)
        self.attended_norm = nn.LayerNorm(width, eps=EPSILON)
        self.inner = nn.Linear(width, hidden)
        self.outer = nn.Linear(hidden, width)
        self.outer_norm = nn.LayerNorm(width, eps=EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, seen: torch.Tensor | None) -> torch.Tensor:
        """x: (n, t, width); seen: (n, 1, 1, t) bool, which tokens may be attended to; None for all."""
        n, t, width = x.shape
        query, key, value = (part(x).view(n, t, self.heads, -1).transpose(1, 2) for part in (self.query, self.key, self.value))
        dropout = self.dropout.p if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=dropout)
        mixed = mixed.transpose(1, 2).reshape(n, t, width)
        x = self.attended_norm(x + self.dropout(self.attended(mixed)))
        return self.outer_norm(x + self.dropout(self.outer(F.gelu(self.inner(x)))))  # type: ignore[no-any-return]


class BarcodeTransformer(nn.Module):
    """BERT's encoder without its pooler: (n, t) ids -> (n, t, width) hidden states.

    vocabulary: tokens; width, layers, heads, hidden: as in BERT; positions: most tokens of a barcode; segments: kept for the
    weights of public checkpoints, the first is used; dropout: on sums and on attention, in training alone.
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
    ) -> None:
        super().__init__()
        self.width = width
        self.embeddings = Embeddings(vocabulary, width, positions, segments, dropout)
        self.layers = nn.ModuleList(Layer(width, heads, hidden or 4 * width, dropout) for _ in range(layers))
        self.apply(_begin)

    def forward(self, tokens: torch.Tensor, real: torch.Tensor | None = None, places: torch.Tensor | None = None) -> torch.Tensor:
        """tokens: (n, t) int64, or (n, t, width) vectors in their place; real: (n, t) bool, tokens of the barcode, None for all;
        places: (n, t) int64 of each token in its barcode. What is not real is never attended to."""
        x: torch.Tensor = self.embeddings(tokens, places)
        seen = None
        if real is not None:  # a barcode too short for one token attends to its pads: softmax over nothing is no number
            seen = (real | ~real.any(1, keepdim=True))[:, None, None, :]
        for layer in self.layers:
            x = layer(x, seen)
        return x


class TokenHead(nn.Module):
    """Which k-mer stands at each token: (n, t, width) -> (n, t, 4^k) logits, BertForTokenClassification's own head."""

    def __init__(self, width: int, classes: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, classes)
        self.apply(_begin)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of the k-mers, special tokens not among them."""
        return self.linear(self.dropout(hidden))  # type: ignore[no-any-return]


def _begin(module: nn.Module) -> None:
    """BERT's start: normal weights of :data:`SPREAD`, no biases."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=SPREAD)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
