"""All bands of the rasters of a folder, at places."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np

from biocosmos.errors import BiocosmosError
from biocosmos.places.rasters.raster import Array, Raster

GEOTIFF, NETCDF = (".tif", ".tiff"), (".nc", ".nc4", ".cdf")
METHODS = ("nearest", "bilinear")
SAMPLE = 1 << 18
"""Cells of a band that its mean and deviation are of."""


class Rasters:
    """The bands of all GeoTIFF and NetCDF files of a folder, files in the order of their names, numbers in them counted: bio_2
    before bio_10.

    files: as they were opened; bands: names, of which none is twice. Raises BiocosmosError for a folder without rasters, for a
    file that cannot be read or is not in latitude and longitude, WGS84, and for two bands of one name.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        if not self.folder.is_dir():
            raise BiocosmosError(f"there is no folder of rasters {folder}: name one with GeoTIFF or NetCDF files")
        found = [path for path in self.folder.iterdir() if path.suffix.lower() in GEOTIFF + NETCDF and path.is_file()]
        if not found:
            raise BiocosmosError(f"{folder} has no rasters: put GeoTIFF (.tif) or NetCDF (.nc) files there")
        self.files: list[Raster] = [_opened(path) for path in sorted(found, key=_counted)]
        self._at = [(file, band) for file in self.files for band in range(len(file.bands))]
        self.bands = tuple(file.bands[band] for file, band in self._at)
        if twice := sorted({band for band in self.bands if self.bands.count(band) > 1}):
            raise BiocosmosError(f"{folder} has two bands '{twice[0]}': rename a file")

    def at(self, latitude: Array, longitude: Array, method: str = "nearest") -> Array:
        """(n, bands) float64 values at n places (degrees), in the units of the files.

        method: "nearest", the cell that a place is in; "bilinear", between the centres of the four cells around it. A value is
        nan where the place is not known or not on the grid, and where the cell that it is in has none (sea, no data); of the
        other three cells those without a value are left out.
        """
        latitude, longitude = np.asarray(latitude, np.float64), np.asarray(longitude, np.float64)
        values, column = np.full((len(latitude), len(self.bands)), np.nan), 0
        for file in self.files:
            rows, columns, on = file.grid.nearest(latitude, longitude)
            rows, columns, weights = rows[on, None], columns[on, None], None  # the own cell, and behind it the four around
            if method == "bilinear":
                four, beside, weights, _ = file.grid.around_place(latitude[on], longitude[on])
                rows, columns = np.concatenate([rows, four], axis=1), np.concatenate([columns, beside], axis=1)
            for band in range(len(file.bands)):
                found = file.cells(band, rows.ravel(), columns.ravel()).reshape(rows.shape)
                values[on, column] = found[:, 0] if weights is None else _between(found[:, 0], found[:, 1:], weights)
                column += 1
        return values

    def spread(self) -> tuple[Array, Array]:
        """(bands,) mean and (bands,) standard deviation of each band over its cells, each counted once; 1 for a band that is the
        same everywhere. Raises BiocosmosError for a band without a value."""
        means, deviations = np.empty(len(self._at)), np.empty(len(self._at))
        for column, (file, band) in enumerate(self._at):
            values = file.sample(band, SAMPLE)
            if not len(values):
                raise BiocosmosError(f"{file.path} has no value in '{file.bands[band]}': leave the file out")
            means[column], deviations[column] = values.mean(), values.std()
        return means, np.where(deviations > 0, deviations, 1.0)

    def digest(self) -> str:
        """Of what is read: bands, grids, sizes of the files, and the spread of each band; 16 hex digits."""
        told = [[file.bands, vars(file.grid), file.path.stat().st_size] for file in self.files]
        spread = [np.round(part, 9).tolist() for part in self.spread()]
        return hashlib.sha256(json.dumps([told, spread]).encode()).hexdigest()[:16]


def _between(own: Array, near: Array, weights: Array) -> Array:
    """(n,) the weighted mean of the four cells (n, 4) that have a value, where the own cell (n,) has one."""
    weights = np.where(np.isfinite(near), weights, 0.0)
    total = weights.sum(axis=1)
    mixed = (np.where(np.isfinite(near), near, 0.0) * weights).sum(axis=1) / np.where(total > 0, total, 1.0)
    return np.where(np.isfinite(own) & (total > 0), mixed, own)


def _opened(path: Path) -> Raster:
    if path.suffix.lower() in GEOTIFF:
        from biocosmos.places.rasters.geotiff import GeoTiff

        return GeoTiff(path)
    from biocosmos.places.rasters.netcdf import NetCdf

    return NetCdf(path)


def _counted(path: Path) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", path.name.lower())]


__all__ = ["METHODS", "Rasters"]
