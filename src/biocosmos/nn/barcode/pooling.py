"""From the hidden states of a barcode's tokens to one vector: a stated choice, since published code makes three."""

from __future__ import annotations

import torch

POOLINGS = ("mean", "mean-all", "cls")
"""mean over real tokens (BarcodeBERT's evaluation); mean over all tokens, pads too (its model card); the first token (CLIBD's
vocabulary has a <CLS>)."""


def pooled(hidden: torch.Tensor, real: torch.Tensor, how: str) -> torch.Tensor:
    """(n, width) from hidden states (n, t, width); real: (n, t) bool. A barcode without a real token has the mean of all."""
    if how == "cls":
        return hidden[:, 0]
    if how == "mean-all":
        return hidden.mean(1)
    weights = real.to(hidden.dtype)
    weights = torch.where(real.any(1, keepdim=True), weights, torch.ones_like(weights))
    return (hidden * weights[..., None]).sum(1) / weights.sum(1, keepdim=True)
