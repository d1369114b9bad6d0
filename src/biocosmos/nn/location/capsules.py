"""GeoCLIP's encoder of places, which TaxaBind starts from (Vivanco Cepeda, Nayak and Shah 2023; Sastry et al. 2025)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from biocosmos.nn.location.equal_earth import equal_earth
from biocosmos.nn.location.fourier import FourierFeatures

SIGMAS = (1.0, 16.0, 256.0)


class Capsule(nn.Module):
    """One scale: Fourier features, three hidden layers, a linear head."""

    def __init__(self, sigma: float, frequencies: int, hidden: int, dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [FourierFeatures(sigma, 2, frequencies)]
        for width in (2 * frequencies, hidden, hidden):
            layers += [nn.Linear(width, hidden), nn.ReLU()]
        self.capsule = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(hidden, dim))

    def forward(self, plane: torch.Tensor) -> torch.Tensor:
        """plane: (n, 2). Returns: (n, dim)."""
        return self.head(self.capsule(plane))  # type: ignore[no-any-return]


class GeoClipPlaces(nn.Module):
    """Latitude and longitude on the Equal Earth plane, seen at several scales whose vectors are summed.

    Its state dict is GeoCLIP's: ``LocEnc0.capsule.0.b``, ``LocEnc0.capsule.1.weight``, ..., ``LocEnc2.head.0.bias``.
    """

    takes: tuple[str, ...] = ("place",)

    def __init__(self, dim: int = 512, *, sigmas: Sequence[float] = SIGMAS, frequencies: int = 256, hidden: int = 1024) -> None:
        super().__init__()
        self.dim, self._shape = dim, {"sigmas": list(sigmas), "frequencies": frequencies, "hidden": hidden}
        self._names = [f"LocEnc{place}" for place in range(len(sigmas))]
        for name, sigma in zip(self._names, sigmas):
            self.add_module(name, Capsule(sigma, frequencies, hidden, dim))

    def forward(self, places: torch.Tensor) -> torch.Tensor:
        """places: (n, 2 or more) floats, degrees of latitude and longitude first. Returns: (n, dim), not yet unit vectors."""
        plane = equal_earth(places[:, :2])
        return torch.stack([self.get_submodule(name)(plane) for name in self._names]).sum(dim=0)

    def shape(self) -> dict[str, Any]:
        """What it must be called with to build it again, for JSON."""
        return {"dim": self.dim, **self._shape}


class SpherePlaces(nn.Module):
    """Place, and season and depth where they are wanted, without a cut: coordinates on the unit sphere, whole turns of the year.

    Per scale in km random Fourier features on the sphere; of the day ``harmonics`` sines and cosines; of the depth in metres as
    many of log(1 + depth); behind them a network of ``layers`` hidden layers. Season and depth that are not known are zeros, and
    a mark says so. Poles and the two sides of the antimeridian are where they are.
    """

    def __init__(
        self,
        dim: int = 512,
        *,
        kilometres: Sequence[float] = (20.0, 100.0, 500.0, 2500.0),
        frequencies: int = 128,
        harmonics: int = 4,
        season: bool = True,
        depth: bool = False,
        hidden: int = 512,
        layers: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dim = dim
        self._shape = {
            "kilometres": list(kilometres),
            "frequencies": frequencies,
            "harmonics": harmonics,
            "season": season,
            "depth": depth,
            "hidden": hidden,
            "layers": layers,
            "dropout": dropout,
        }
        self.takes: tuple[str, ...] = ("place",)
        self._season, self._depth, self._harmonics = season, depth, harmonics
        earth = 6371.0088 / (2 * math.pi)
        self.scales = nn.ModuleList(FourierFeatures(earth / width, 3, frequencies) for width in kilometres)
        width = 2 * frequencies * len(kilometres) + (2 * harmonics + 1) * (season + depth)
        parts: list[nn.Module] = []
        for _ in range(layers):
            parts += [nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout)]
            width = hidden
        self.layers = nn.Sequential(*parts, nn.Linear(width, dim))

    def forward(self, places: torch.Tensor) -> torch.Tensor:
        """places: (n, 4) floats: degrees of latitude and longitude, day of the year (of 365.25), metres of depth; nan where day
        or depth are not known. Returns: (n, dim), not yet unit vectors."""
        latitude, longitude = torch.deg2rad(places[:, 0]), torch.deg2rad(places[:, 1])
        flat = torch.cos(latitude)
        points = torch.stack([flat * torch.cos(longitude), flat * torch.sin(longitude), torch.sin(latitude)], dim=1)
        features = [scale(points) for scale in self.scales]
        if self._season:
            features.append(self._waves(2 * math.pi / 365.25 * places[:, 2]))
        if self._depth:
            features.append(self._waves(math.pi / math.log(12_000) * torch.log1p(places[:, 3].clamp(min=0))))
        return self.layers(torch.cat(features, dim=1))  # type: ignore[no-any-return]

    def _waves(self, phase: torch.Tensor) -> torch.Tensor:
        """(n, 2 · harmonics + 1): sines, cosines and whether anything is known."""
        there = torch.isfinite(phase)
        turns = torch.arange(1, self._harmonics + 1, device=phase.device, dtype=phase.dtype)
        angles = torch.where(there, phase, 0.0)[:, None] * turns
        waves = torch.cat([torch.sin(angles), torch.cos(angles)], dim=1) * there[:, None]
        return torch.cat([waves, there[:, None].to(phase.dtype)], dim=1)

    def shape(self) -> dict[str, Any]:
        """What it must be called with to build it again, for JSON."""
        return {"dim": self.dim, **self._shape}
