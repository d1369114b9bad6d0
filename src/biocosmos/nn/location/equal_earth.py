"""The Equal Earth projection (Šavrič, Patterson and Jenny 2019), scaled as GeoCLIP scales it."""

from __future__ import annotations

import math

import torch

_A1, _A2, _A3, _A4 = 1.340264, -0.081106, 0.000893, 0.003796
SCALE = 66.50336 / 180
"""Of GeoCLIP: the plane becomes about two units wide."""


def equal_earth(places: torch.Tensor) -> torch.Tensor:
    """places: (n, 2) floats, latitude and longitude in degrees. Returns: (n, 2) x and y, in the same type.

    The plane is cut at the antimeridian: -180 and 180 degrees, which are one place, are its two edges.
    """
    latitude, longitude = torch.deg2rad(places[:, 0]), torch.deg2rad(places[:, 1])
    t = torch.asin(math.sqrt(3) / 2 * torch.sin(latitude))
    squared = t * t
    sixth = squared**3
    slope = 9 * _A4 * sixth * squared + 7 * _A3 * sixth + 3 * _A2 * squared + _A1
    x = 2 * math.sqrt(3) * longitude * torch.cos(t) / (3 * slope)
    y = t * (_A4 * sixth * squared + _A3 * sixth + _A2 * squared + _A1)
    return torch.stack([x, y], dim=1) * SCALE
