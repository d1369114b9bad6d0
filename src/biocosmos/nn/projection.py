"""A small map on top of an encoder's features: what training learns when the encoder itself stays as it is."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from biocosmos.errors import BiocosmosError


class Projection(nn.Module):
    """Features to features: ``y = W x + b``, or ``y = W x + b + V gelu(U x + a)`` with a hidden layer.

    It starts as near to doing nothing as its shapes allow: W is the identity (equal dimensions), the identity padded with
    zeros (more outputs), or random orthonormal rows (fewer); b and V are zero. Training therefore starts from the
    neighbourhoods of the encoder beneath, exactly those unless dimensions are dropped. The hidden layer beside the linear
    map is a residual branch with a zero last layer (De and Smith 2020, arXiv:2002.10444); orthogonal starts: Saxe et al. 2014,
    arXiv:1312.6120. The random parts come from torch's global generator.

    Args:
        dim_in: length of the features it takes, at least 1.
        dim_out: length of those it gives; as ``dim_in`` if None.
        hidden: units of the hidden layer; None for a linear map.
        normalise: make every input a unit vector first. A projection can be computed from stored embeddings only if it does,
            since those are unit vectors.

    Raises:
        BiocosmosError: a dimension below 1.
    """

    def __init__(self, dim_in: int, dim_out: int | None = None, *, hidden: int | None = None, normalise: bool = True) -> None:
        super().__init__()
        dim_out = dim_in if dim_out is None else dim_out
        for name, value in (("dim_in", dim_in), ("dim_out", dim_out), ("hidden", 1 if hidden is None else hidden)):
            if value < 1:
                raise BiocosmosError(f"a projection cannot have {name} {value}: give at least 1")
        self.dim_in, self.dim_out, self.hidden, self.normalise = dim_in, dim_out, hidden, normalise
        self.linear = nn.Linear(dim_in, dim_out)
        with torch.no_grad():
            self.linear.bias.zero_()
            if dim_out >= dim_in:
                nn.init.eye_(self.linear.weight)
            else:
                nn.init.orthogonal_(self.linear.weight)
        self.branch: nn.Sequential | None = None
        if hidden is not None:
            last = nn.Linear(hidden, dim_out)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.branch = nn.Sequential(nn.Linear(dim_in, hidden), nn.GELU(), last)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """features: (n, dim_in) floats of any type. Returns: (n, dim_out) in the type of the weights, not unit vectors."""
        x = F.normalize(features.float(), dim=-1) if self.normalise else features
        x = x.to(self.linear.weight.dtype)
        y = self.linear(x)
        return y if self.branch is None else y + self.branch(x)  # type: ignore[no-any-return]

    def settings(self) -> dict[str, Any]:
        """What :class:`Projection` must be called with to build it again, for JSON."""
        return {"dim_in": self.dim_in, "dim_out": self.dim_out, "hidden": self.hidden, "normalise": self.normalise}

    def extra_repr(self) -> str:
        return f"normalise={self.normalise}"
