"""What a file of rasters is, whatever its format."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError, first_line
from biocosmos.places.rasters.grid import Grid

Array = npt.NDArray[Any]


class Raster(Protocol):
    """A file whose bands share one grid of latitude and longitude, WGS84.

    path: of the file; grid: of its cells; bands: their names, of which none is twice.
    """

    path: Path
    grid: Grid
    bands: tuple[str, ...]

    def cells(self, band: int, rows: Array, columns: Array) -> Array:
        """(n,) float64 values of cells, in the units of the file; nan where it has none."""

    def sample(self, band: int, most: int) -> Array:
        """(m,) float64 values of cells from all over the grid, always the same, at most about ``most``; without those unknown."""


def steps(height: int, width: int, most: int) -> int:
    """Every how many rows and columns are taken, so that about ``most`` cells are."""
    return max(1, int(np.ceil(np.sqrt(height * width / most))))


def unread(path: Path, error: Exception) -> BiocosmosError:
    """What is said of a file that cannot be read."""
    return BiocosmosError(f"cannot read the raster {path}: {first_line(error)}; restore the file, or leave it out")
