"""GeoTIFF, by rasterio: only the blocks that hold a place are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from biocosmos.errors import BiocosmosError
from biocosmos.places.rasters.grid import Grid
from biocosmos.places.rasters.raster import Array, steps, unread

_WGS84 = ("WGS 84", "WGS84", "WGS_1984", "CRS84")


class GeoTiff:
    """See :class:`biocosmos.places.rasters.raster.Raster`.

    Raises BiocosmosError for a file that cannot be read, has no coordinate reference system or another than WGS84, or is turned.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as file:
            _check(path, file)
            turn = file.transform
            self.grid = Grid(file.height, file.width, float(turn.c), float(turn.f), float(turn.a), float(turn.e))
            self.bands = _names(path.stem, file.descriptions)
            self._nodata, self._scales, self._offsets = file.nodatavals, file.scales, file.offsets
            self._blocks = [tuple(int(size) for size in shape) for shape in file.block_shapes]

    def _open(self) -> Any:
        try:
            import rasterio
        except ImportError as error:
            raise BiocosmosError(
                f"{self.path.name} is a GeoTIFF, which rasterio reads: pip install 'biocosmos[places]'"
            ) from error
        try:
            return rasterio.open(self.path)
        except Exception as error:  # rasterio and GDAL each raise their own
            raise unread(self.path, error) from error

    def cells(self, band: int, rows: Array, columns: Array) -> Array:
        """See :class:`biocosmos.places.rasters.raster.Raster`."""
        high, wide = self._blocks[band]
        block = rows // high * (self.grid.width // wide + 1) + columns // wide
        order = np.argsort(block, kind="stable")
        starts = np.flatnonzero(np.diff(block[order], prepend=-1))
        values = np.full(len(rows), np.nan)
        with self._open() as file:
            for first, last in zip(starts, [*starts[1:], len(order)]):
                which = order[first:last]
                top, left = rows[which[0]] // high * high, columns[which[0]] // wide * wide
                window = ((int(top), int(min(top + high, file.height))), (int(left), int(min(left + wide, file.width))))
                read = self._read(file, band, window=window)
                values[which] = read[rows[which] - top, columns[which] - left]
        return values

    def sample(self, band: int, most: int) -> Array:
        """See :class:`biocosmos.places.rasters.raster.Raster`."""
        step = steps(self.grid.height, self.grid.width, most)
        shape = (max(1, self.grid.height // step), max(1, self.grid.width // step))
        with self._open() as file:
            values = self._read(file, band, out_shape=shape)
        return np.asarray(values[np.isfinite(values)])

    def _read(self, file: Any, band: int, **how: Any) -> Array:
        try:
            stored = file.read(band + 1, masked=True, **how)
        except Exception as error:
            raise unread(self.path, error) from error
        values = np.ma.filled(stored.astype(np.float64), np.nan)
        return np.asarray(values * self._scales[band] + self._offsets[band])


def _check(path: Path, file: Any) -> None:
    if file.crs is None:
        raise BiocosmosError(
            f"{path} does not say its coordinate reference system: if it is latitude and longitude, WGS84, write that "
            "into the file (gdal_edit.py -a_srs EPSG:4326)"
        )
    if not file.crs.is_geographic or not any(name in file.crs.to_wkt() for name in _WGS84):
        raise BiocosmosError(
            f"{path} is in {_called(file.crs)}, not in latitude and longitude, WGS84: warp it first (gdalwarp -t_srs EPSG:4326 "
            f"{path.name} wgs84.tif)"
        )
    turn = file.transform
    if turn.b or turn.d or not turn.a or not turn.e or file.transform.is_identity:
        raise BiocosmosError(f"{path} does not say where it lies, or is turned: warp it first (gdalwarp -t_srs EPSG:4326)")
    if any(np.dtype(kind).kind == "c" for kind in file.dtypes):
        raise BiocosmosError(f"{path} holds complex numbers, not values of the environment: leave it out")


def _called(crs: Any) -> str:
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.to_string())[:60]


def _names(stem: str, told: tuple[str | None, ...]) -> tuple[str, ...]:
    """The bands by what the file calls them, else by its own name and their number."""
    if len(told) == 1:
        return (stem,)
    names = [f"{stem}[{name or place + 1}]" for place, name in enumerate(told)]
    return tuple(names) if len(set(names)) == len(names) else tuple(f"{stem}[{place + 1}]" for place in range(len(told)))
