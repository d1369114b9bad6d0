"""Vectors of the model that is being trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

BLOCK = 64
"""Images that go through the model at once: more would leave the processor's caches."""

Array = npt.NDArray[Any]


@torch.no_grad()
def encode(model: nn.Module, inputs: torch.Tensor, device: torch.device) -> Array:
    """Unit vectors (n, dim) float32 of ``inputs`` (n, ...), by a model in eval mode, a block at a time."""
    parts = []
    for start in range(0, len(inputs), BLOCK):
        found = model(inputs[start : start + BLOCK].to(device))
        parts.append(nn.functional.normalize(found.float(), dim=-1).cpu().numpy())
    vectors: Array = np.concatenate(parts)
    vectors[~vectors.any(axis=1), 0] = 1.0  # features that are all zero have no direction: any will do, and will be wrong
    return vectors
