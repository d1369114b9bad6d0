"""SatCLIP's encoder of places: real spherical harmonics and a network of sines (Klemmer et al. 2023, arXiv:2311.17179)."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

ANALYTIC, CLOSED_FORM = "analytic", "closed-form"
CALCULATIONS = (ANALYTIC, CLOSED_FORM)
_FIRST = 30.0
"""By which the first layer of a network of sines multiplies what it takes (Sitzmann et al. 2020, arXiv:2006.09661)."""


def spherical_harmonics(places: torch.Tensor, degrees: int, calculation: str = ANALYTIC) -> torch.Tensor:
    """Real spherical harmonics of degree 0 to ``degrees`` - 1, by degree, then by order from -degree to degree.

    places: (n, 2 or more) floats, degrees of latitude and longitude first. Returns: (n, degrees ** 2) float64.

    The colatitude begins at the south pole and the longitude at the antimeridian, as SatCLIP has it. "analytic", its default: the
    orders of a degree are orthonormal but for order 0, which is π times as large, since the program that wrote SatCLIP's formulas
    takes the root of (2 l + 1) / 4 · π. "closed-form": all are orthonormal, and odd orders have the sign of Condon and Shortley.
    """
    turn, tilt = torch.deg2rad(places[:, 1].double() + 180), torch.deg2rad(places[:, 0].double() + 90)
    x, y = torch.cos(tilt), torch.sin(tilt).clamp(min=0)
    columns: list[torch.Tensor] = [x] * degrees**2
    sector = torch.full_like(x, math.sqrt(1 / (4 * math.pi)))  # normalised Legendre of degree = order
    for order in range(degrees):
        if order:
            sector = sector * y * math.sqrt((2 * order + 1) / (2 * order))
        below, here = torch.zeros_like(x), sector
        for degree in range(order, degrees):
            if degree > order:
                grow = math.sqrt((4 * degree**2 - 1) / (degree**2 - order**2))
                fall = math.sqrt(((degree - 1) ** 2 - order**2) / (4 * (degree - 1) ** 2 - 1)) if degree > order + 1 else 0.0
                below, here = here, grow * (x * here - fall * below)
            middle = degree * (degree + 1)
            if not order:
                columns[middle] = here * (math.pi if calculation == ANALYTIC else 1.0)
                continue
            sign = -1.0 if calculation == CLOSED_FORM and order % 2 else 1.0
            columns[middle + order] = sign * math.sqrt(2) * here * torch.cos(order * turn)
            columns[middle - order] = sign * math.sqrt(2) * here * torch.sin(order * turn)
    return torch.stack(columns, dim=1)


class Sines(nn.Module):
    """sin(w (W x + b)) in every layer but the last: ``layers.0.weight``, ..., ``last_layer.bias``."""

    def __init__(self, inputs: int, hidden: int, dim: int, layers: int) -> None:
        super().__init__()
        widths = [inputs, *[hidden] * layers]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.last_layer = nn.Linear(hidden, dim)
        for number, layer in enumerate([*self.layers, self.last_layer]):
            assert isinstance(layer, nn.Linear)
            wide = 1 / layer.in_features if number == 0 else math.sqrt(6 / layer.in_features)
            nn.init.uniform_(layer.weight, -wide, wide)
            nn.init.uniform_(layer.bias, -wide, wide)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (n, inputs). Returns: (n, dim)."""
        for number, layer in enumerate(self.layers):
            x = torch.sin((1.0 if number else _FIRST) * layer(x))
        return F.linear(x, self.last_layer.weight, self.last_layer.bias)


class SatClipPlaces(nn.Module):
    """Spherical harmonics of a place through a network of sines; its state dict is SatCLIP's: ``nnet.layers.0.weight``, ...

    The harmonics are computed in float64 whatever the weights are.
    """

    takes: tuple[str, ...] = ("place",)

    def __init__(
        self, dim: int = 256, *, degrees: int = 40, hidden: int = 512, layers: int = 2, calculation: str = ANALYTIC
    ) -> None:
        super().__init__()
        self.dim = dim
        self._shape = {"degrees": degrees, "hidden": hidden, "layers": layers, "calculation": calculation}
        self._degrees, self._calculation = degrees, calculation
        self.nnet = Sines(degrees**2, hidden, dim, layers)

    def forward(self, places: torch.Tensor) -> torch.Tensor:
        """places: (n, 2 or more) floats, degrees of latitude and longitude first. Returns: (n, dim), not yet unit vectors."""
        found = spherical_harmonics(places, self._degrees, self._calculation)
        return self.nnet(found.to(self.nnet.last_layer.weight.dtype))  # type: ignore[no-any-return]

    def shape(self) -> dict[str, Any]:
        """What it must be called with to build it again, for JSON."""
        return {"dim": self.dim, **self._shape}
