"""The CNN that BarcodeBERT is compared with: three convolutions along the barcode, as in its baselines."""

from __future__ import annotations

import torch
from torch import nn

LETTERS = 5
"""A, C, G, T, N, one column each."""
CHANNELS = (64, 32, 16)
POOL = 3
FEATURES = 500


class BarcodeCNN(nn.Module):
    """One-hot letters -> 3 x (convolution of 3 bases, batch norm, ReLU, pool of 3) -> 500 tanh features.

    The columns of the letters stay apart until the linear layer, as in the published baseline (660 x 5 gives 1,920 numbers).
    """

    def __init__(self, length: int = 660, features: int = FEATURES) -> None:
        super().__init__()
        self.width = features
        blocks, before, left = [], 1, length
        for channels in CHANNELS:
            convolution = nn.Conv2d(before, channels, (3, 1), padding=(1, 0))
            blocks += [convolution, nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d((POOL, 1))]
            before, left = channels, left // POOL
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(before * left * LETTERS, features)

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        """letters: (n, length) int64, 0 to 4 for A, C, G, T, N -> (n, features)."""
        columns = nn.functional.one_hot(letters, LETTERS).to(self.linear.weight.dtype)
        return torch.tanh(self.linear(self.blocks(columns[:, None]).flatten(1)))
