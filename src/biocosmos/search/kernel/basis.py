"""A shorter basis for the scan: the first principal axes of the gallery, and what is left over kept as one length.

For a row x, a query q, the gallery's mean m and orthonormal axes P (kept, dim):

    q.x = q.m + (Pq).(P(x - m)) + (q's rest).(x's rest)  <=  q.m + (Pq).(P(x - m)) + |q's rest| |x's rest|

by Cauchy-Schwarz, so a scan of ``kept`` numbers a row instead of ``dim`` never underestimates. The axes are turned by a
random rotation, which changes no product and spreads the numbers evenly, as 8-bit rounding likes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from biocosmos.search.row_file import Rows

SAMPLE_ROWS = 8192
FLOAT32_UNIT = 2.0**-24
SHORT_FLOAT32_UNIT = 2.0**-7  # when the user lets torch multiply float32 as TF32 or bfloat16


def rounding(dim: int) -> float:
    """Bound on the relative rounding error of a float32 product over ``dim`` numbers, of its factors' lengths."""
    short = 0.0 if torch.get_float32_matmul_precision() == "highest" else SHORT_FLOAT32_UNIT
    return 2 * dim * FLOAT32_UNIT + short


@dataclass(frozen=True)
class Coordinates:
    """Rows in the short basis. values: (n, kept) float32; rest: (n,) length of what the basis leaves out, never too small;
    length: (n,) length of the centred row."""

    values: torch.Tensor
    rest: torch.Tensor
    length: torch.Tensor


@dataclass(frozen=True)
class Basis:
    """mean: (dim,) float32; axes: (kept, dim) float32 orthonormal rows, or None for the identity."""

    mean: torch.Tensor
    axes: torch.Tensor | None

    @property
    def kept(self) -> int:
        """Numbers scanned for each row."""
        return len(self.mean) if self.axes is None else len(self.axes)

    def rows(self, x: torch.Tensor) -> Coordinates:
        """Coordinates of gallery rows x (n, dim) about the mean."""
        return self._project(x - self.mean)

    def queries(self, q: torch.Tensor) -> Coordinates:
        """Coordinates of queries q (b, dim), not centred: the mean only adds the same number to every row's score."""
        return self._project(q)

    def _project(self, z: torch.Tensor) -> Coordinates:
        length = torch.linalg.vector_norm(z, dim=1)
        if self.axes is None:
            return Coordinates(z, torch.zeros_like(length), length)
        y = z @ self.axes.T
        kept = torch.linalg.vector_norm(y, dim=1)
        rest = (length.square() - kept.square()).clamp_min(0) + 4 * rounding(z.shape[1]) * length.square()
        return Coordinates(y, rest.sqrt(), length)


def sample_rows(vectors: Rows, count: int, seed: int = 0) -> torch.Tensor:
    """Up to ``count`` seeded random row numbers of ``vectors``, ascending, on its device."""
    n = len(vectors)
    if n <= count:
        return torch.arange(n, device=vectors.device)
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(n, (count,), generator=generator).sort().values.to(vectors.device)


@dataclass(frozen=True)
class Spectrum:
    """The gallery's mean and all principal axes, from a sample. axes: (dim, dim) float64, most energy first."""

    mean: torch.Tensor
    axes: torch.Tensor

    @classmethod
    def of(cls, vectors: Rows) -> Spectrum:
        """From a seeded sample of ``vectors`` (n, dim). The mean is an axis candidate too: queries are not centred."""
        x = vectors[sample_rows(vectors, SAMPLE_ROWS)].cpu()
        mean = x.mean(0)
        second = (x.T @ x).double() / len(x)
        return cls(mean, torch.linalg.eigh(second).eigenvectors.flip(1).T.contiguous())

    def basis(self, kept: int, *, turn: bool, device: torch.device) -> Basis:
        """The first ``kept`` axes, turned at random if asked; all of them unturned are the identity."""
        dim = len(self.mean)
        if kept >= dim and not turn:
            return Basis(self.mean.to(device), None)
        axes = self.axes[:kept]
        if turn:
            generator = torch.Generator().manual_seed(kept)
            rotation = torch.linalg.qr(torch.randn(len(axes), len(axes), generator=generator, dtype=torch.float64)).Q
            axes = rotation @ axes
        return Basis(self.mean.to(device), axes.float().to(device))
