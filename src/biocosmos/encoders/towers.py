"""What a loader hands over: the plain torch modules of a model, its preprocessing and the digest of its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from biocosmos.encoders.preprocess import Preprocessing

DIGEST_LENGTH = 16
"""Hex digits of a weights digest that are kept: 64 bits tell any two checkpoints apart."""


@dataclass(frozen=True)
class Towers:
    """A loaded model on the CPU in float32.

    Attributes:
        image: (n, 3, size, size) float32, normalised -> (n, dim) features, not yet unit vectors.
        preprocessing: from the model's own configuration.
        digest: of the weights, see :func:`weights_digest`.
        text: (n, context) int64 tokens -> (n, dim) features; None without a text tower.
        tokenize: texts -> (n, context) int64 tokens.
        takes_bytes: ``image`` takes uint8 and normalises by itself (a callable of the user's).
        source: where the weights came from, for people.
    """

    image: nn.Module
    preprocessing: Preprocessing
    digest: str
    text: nn.Module | None = None
    tokenize: Callable[[list[str]], torch.Tensor] | None = None
    takes_bytes: bool = False
    source: str = ""


def weights_digest(state: Mapping[str, torch.Tensor]) -> str:
    """sha256 over the name, type, shape and bytes of every tensor in order, first :data:`DIGEST_LENGTH` hex digits."""
    total = hashlib.sha256()
    for name, tensor in state.items():
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()[:DIGEST_LENGTH]
