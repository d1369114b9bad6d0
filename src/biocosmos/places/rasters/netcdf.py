"""NetCDF: version 3 by scipy, version 4 by h5netcdf. Every variable over latitude and longitude is a band, of every layer of
its other dimensions one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from biocosmos.errors import BiocosmosError
from biocosmos.places.rasters.grid import Grid
from biocosmos.places.rasters.raster import Array, steps, unread

MOST_BANDS = 512
_HDF = b"\x89HDF"
_AXES = {"latitude": ("lat", "latitude", "y"), "longitude": ("lon", "longitude", "long", "x")}
_UNITS = {"latitude": ("degrees_north", "degree_north"), "longitude": ("degrees_east", "degree_east")}
_UNEVEN = 0.02
"""Of a step: float32 coordinates of fine grids are that uneven."""


class NetCdf:
    """See :class:`biocosmos.places.rasters.raster.Raster`. Names of bands: "sst", "t_an[depth=10]".

    Raises BiocosmosError for a file that cannot be read, has no variable over an even grid of latitude and longitude, or is in
    another projection.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bands: list[tuple[str, tuple[int, ...], bool]] = []
        names: list[str] = []
        with self._open() as file:
            axes = {axis: _axis(path, file, axis) for axis in _AXES}
            for name, variable in file.variables.items():
                over = tuple(variable.dimensions)
                if over[-2:] not in (own := tuple(axes.values()), own[::-1]) or name in over:
                    continue
                _check_mapping(path, file, variable)
                for layer in np.ndindex(*variable.shape[:-2]):
                    told = [f"{over[i]}={_level(file, over[i], at)}" for i, at in enumerate(layer) if variable.shape[i] > 1]
                    names.append(f"{name}[{','.join(told)}]" if told else str(name))
                    self._bands.append((str(name), layer, over[-2:] == own))
                    if len(names) > MOST_BANDS:
                        raise BiocosmosError(f"{path} has more than {MOST_BANDS} layers: cut it to those that are wanted")
            if not names:
                raise BiocosmosError(f"{path} has no variable over latitude and longitude: leave it out")
            down, across = (_even(path, file, axis) for axis in axes.values())
        self.bands = tuple(names)
        self.grid = Grid(down[2], across[2], across[0], down[0], across[1], down[1])

    @contextmanager
    def _open(self) -> Iterator[Any]:
        try:
            with self.path.open("rb") as file:
                four = file.read(4)
        except OSError as error:
            raise unread(self.path, error) from error
        try:
            if four == _HDF:
                import h5netcdf

                with h5netcdf.File(self.path, "r") as opened:
                    yield opened
            else:
                from scipy.io import netcdf_file

                with netcdf_file(self.path, "r", mmap=False) as opened:
                    yield opened
        except ImportError as error:
            raise BiocosmosError(
                f"{self.path.name} is NetCDF 4, which h5netcdf reads: pip install 'biocosmos[places]'"
            ) from error
        except BiocosmosError:
            raise
        except Exception as error:  # HDF5, scipy and the file system each raise their own
            raise unread(self.path, error) from error

    def cells(self, band: int, rows: Array, columns: Array) -> Array:
        """See :class:`biocosmos.places.rasters.raster.Raster`."""
        if not len(rows):
            return np.empty(0)
        first, last = int(rows.min()), int(rows.max()) + 1
        return np.asarray(self._layer(band, slice(first, last))[rows - first, columns])

    def sample(self, band: int, most: int) -> Array:
        """See :class:`biocosmos.places.rasters.raster.Raster`."""
        step = steps(self.grid.height, self.grid.width, most)
        values = self._layer(band, slice(None))[::step, ::step]
        return np.asarray(values[np.isfinite(values)])

    def _layer(self, band: int, rows: slice) -> Array:
        """(rows, width) float64 of a band, nan where there is no value."""
        name, layer, upright = self._bands[band]
        with self._open() as file:
            variable = file.variables[name]
            stored = np.array(variable[(*layer, rows, slice(None)) if upright else (*layer, slice(None), rows)])
            told = {key: _attribute(variable, key) for key in ("_FillValue", "missing_value", "scale_factor", "add_offset")}
        values = (stored if upright else stored.T).astype(np.float64)
        for key in ("_FillValue", "missing_value"):
            if told[key] is not None:
                values[(stored if upright else stored.T) == np.ravel(told[key])[0]] = np.nan
        scale, offset = (np.ravel(told[key])[0] if told[key] is not None else no for key, no in _SCALED)
        return np.asarray(values * float(scale) + float(offset))


_SCALED = (("scale_factor", 1.0), ("add_offset", 0.0))


def _attribute(variable: Any, name: str) -> Any:
    """An attribute of a variable, text decoded; None where it has none."""
    told = variable.attrs.get(name) if hasattr(variable, "attrs") else getattr(variable, name, None)
    return told.decode("utf-8", "replace") if isinstance(told, bytes) else told


def _axis(path: Path, file: Any, axis: str) -> str:
    """The dimension that is latitude, or longitude: by its units, else by its name."""
    coordinates = [name for name, variable in file.variables.items() if tuple(variable.dimensions) == (name,)]
    by_units = [name for name in coordinates if _attribute(file.variables[name], "units") in _UNITS[axis]]
    by_name = [name for name in coordinates if name.lower() in _AXES[axis]]
    found = by_units or by_name
    if not found:
        raise BiocosmosError(f"{path} has no dimension of {axis} in degrees: warp it first (gdalwarp -t_srs EPSG:4326)")
    units = _attribute(file.variables[found[0]], "units")
    if isinstance(units, str) and not units.lower().startswith("degree"):
        raise BiocosmosError(f"{path} has {axis} in {units}, not in degrees: warp it first (gdalwarp -t_srs EPSG:4326)")
    return str(found[0])


def _even(path: Path, file: Any, axis: str) -> tuple[float, float, int]:
    """The outer edge of the first cell, the step, and the number of cells of a dimension."""
    centres = np.asarray(file.variables[axis][:], np.float64)
    if len(centres) < 2 or not np.isfinite(centres).all():
        raise BiocosmosError(f"{path} has {len(centres)} cells of {axis}, from which no grid can be made: leave it out")
    step = (centres[-1] - centres[0]) / (len(centres) - 1)
    if not step or np.abs(np.diff(centres) - step).max() > _UNEVEN * abs(step):
        raise BiocosmosError(f"{path} has uneven steps of {axis}: put it on an even grid first")
    return float(centres[0] - step / 2), float(step), len(centres)


def _level(file: Any, dimension: str, at: int) -> str:
    """The value of a layer's dimension, or its number from 1."""
    if dimension not in file.variables:
        return str(at + 1)
    value = np.ravel(file.variables[dimension][at])[0]
    return f"{float(value):g}" if np.issubdtype(np.asarray(value).dtype, np.number) else str(at + 1)


def _check_mapping(path: Path, file: Any, variable: Any) -> None:
    """Raise BiocosmosError where a variable says that it is in another projection."""
    mapping = _attribute(variable, "grid_mapping")
    if isinstance(mapping, str) and mapping in file.variables:
        told = _attribute(file.variables[mapping], "grid_mapping_name")
        if isinstance(told, str) and told != "latitude_longitude":
            raise BiocosmosError(f"{path} is in {told}, not in latitude and longitude: warp it first (gdalwarp -t_srs EPSG:4326)")
