"""The network of SINR (Cole et al. 2023), which is geo_prior's (Mac Aodha et al. 2019): a vector of a place, a score a taxon."""

from __future__ import annotations

import torch
from torch import nn


class Residual(nn.Module):
    """x + relu(W₂ dropout(relu(W₁ x))): (n, width) -> (n, width)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width), nn.ReLU())

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(n, width) float32."""
        changed: torch.Tensor = self.layers(inputs)
        return inputs + changed


class PlaceNetwork(nn.Module):
    """inputs (n, inputs) float32 -> (n, taxa) logits; the class layer has no bias, as published.

    inputs: of :mod:`biocosmos.nn.place.inputs`, side by side, environment behind them; width: of the vector of a place;
    blocks: residual ones, 4 as published; dropout: .5 as published.
    """

    def __init__(self, inputs: int, taxa: int, *, width: int = 256, blocks: int = 4, dropout: float = 0.5) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), *(Residual(width, dropout) for _ in range(blocks)))
        self.taxa = nn.Linear(width, taxa, bias=False)

    def vectors(self, inputs: torch.Tensor) -> torch.Tensor:
        """(n, inputs) -> (n, width): the embedding of a place, before the class layer."""
        found: torch.Tensor = self.body(inputs)
        return found

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(n, inputs) -> (n, taxa) logits, of a sigmoid each or of one softmax, as the loss has it."""
        found: torch.Tensor = self.taxa(self.vectors(inputs))
        return found


__all__ = ["PlaceNetwork"]
