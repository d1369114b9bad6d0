"""Random Fourier features (Rahimi and Recht 2007; Tancik et al. 2020): fixed frequencies, drawn once."""

from __future__ import annotations

import math

import torch
from torch import nn


class FourierFeatures(nn.Module):
    """[cos 2πBv, sin 2πBv], with B (frequencies, inputs) drawn from N(0, sigma²) by torch's global generator; never trained.

    The weight is called ``b``, as GeoCLIP's files have it.
    """

    def __init__(self, sigma: float, inputs: int, frequencies: int) -> None:
        super().__init__()
        self.b = nn.Parameter(torch.randn(frequencies, inputs) * sigma, requires_grad=False)

    def forward(self, v: torch.Tensor) -> torch.Tensor:
        """v: (n, inputs). Returns: (n, 2 · frequencies)."""
        phase = 2 * math.pi * v @ self.b.T
        return torch.cat([torch.cos(phase), torch.sin(phase)], dim=-1)
