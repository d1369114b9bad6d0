"""Cached gradients: a large batch goes through a tower in chunks, with the memory of one chunk.

    forward    every chunk without its activations; its vectors are kept
    backward   the loss of all vectors; then each chunk is computed again, with its random numbers, and its gradient added

Gao et al., GradCache, RepL4NLP 2021 (arXiv:2101.06983). Here by torch's checkpointing of each chunk, without re-entrance, which
is the same computation in one graph: gradients are those of the whole batch, and a tower in DistributedDataParallel is called
once a step, its chunks inside. A step costs one forward pass more.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from biocosmos.nn.still import hold_still


class Chunked(nn.Module):
    """``module`` over a batch of any length, ``size`` rows at a time: (n, ...) -> (n, width).

    Batch norms stay in evaluation, in training too, as does what is frozen whole: statistics of a chunk are not those of the
    batch, and would move twice. Norms within a row (layer, group) do not care. Dropout draws for each chunk, and the same again
    in the second pass. A batch without rows goes through as one row that is left out, so that every weight has a gradient of
    zero: processes of which one has nothing of a modality wait for no one.

    size: rows of a chunk; None for the batch in one go, whose activations are kept.
    """

    def __init__(self, module: nn.Module, size: int | None) -> None:
        super().__init__()
        self.module, self.size = module, size
        self.train(self.training)

    def train(self, mode: bool = True) -> Chunked:
        super().train(mode)
        hold_still(self.module, norms=True)
        return self

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """batch: (n, ...) of any type. Returns: (n, width)."""
        if not len(batch):
            return self.module(batch.new_zeros(1, *batch.shape[1:]))[:0]  # type: ignore[no-any-return]
        if self.size is None or len(batch) <= self.size:
            return self.module(batch)  # type: ignore[no-any-return]
        parts = torch.split(batch, self.size)
        if not torch.is_grad_enabled():
            return torch.cat([self.module(part) for part in parts])
        return torch.cat([checkpoint(self.module, part, use_reentrant=False) for part in parts])

    def extra_repr(self) -> str:
        return f"size={self.size}"
