"""SINR's residual network (Cole et al. 2023), as TaxaBind puts it over 20 values of the environment."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class ResidualLayer(nn.Module):
    """x + relu(W2 dropout(relu(W1 x)))."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.w1, self.w2 = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (n, width). Returns: (n, width)."""
        return x + torch.relu(self.w2(self.dropout(torch.relu(self.w1(x)))))


class ResidualNet(nn.Module):
    """Values of the environment to a vector none of whose numbers is negative: the net ends in sums of ReLUs.

    Its state dict is the published one: ``feats.0.weight``, ``feats.2.w1.weight``, ..., ``feats.5.w2.bias``.
    """

    takes = ("place",)

    def __init__(self, inputs: int = 20, dim: int = 512, *, depth: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        self.inputs, self.dim, self._shape = inputs, dim, {"depth": depth, "dropout": dropout}
        layers: list[nn.Module] = [nn.Linear(inputs, dim), nn.ReLU()]
        self.feats = nn.Sequential(*layers, *(ResidualLayer(dim, dropout) for _ in range(depth)))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """values: (n, inputs) floats, each of mean 0 and deviation 1 over land. Returns: (n, dim), not yet unit vectors."""
        return self.feats(values)  # type: ignore[no-any-return]

    def shape(self) -> dict[str, Any]:
        """What it must be called with to build it again, for JSON."""
        return {"inputs": self.inputs, "dim": self.dim, **self._shape}
