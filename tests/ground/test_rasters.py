"""Rasters of a user's files: which cell a place is in at every edge, what is not known, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biocosmos.errors import BiocosmosError
from biocosmos.places.rasters.folder import Rasters
from biocosmos.places.rasters.grid import Grid

rasterio = pytest.importorskip("rasterio")
NO = -9999.0


def geotiff(
    path: Path, values: Any, west: float = -180.0, north: float = 90.0, crs: str | None = "EPSG:4326", **how: Any
) -> Path:
    """values: (rows, columns) or (bands, rows, columns), over as many degrees as make a globe, or ``cell`` degrees each."""
    values = np.atleast_3d(np.asarray(values, np.float32)) if np.ndim(values) == 3 else np.asarray(values, np.float32)[None]
    cell = how.pop("cell", 360 / values.shape[2])
    turn = rasterio.transform.from_origin(west, north, cell, cell)
    facts = {"driver": "GTiff", "height": values.shape[1], "width": values.shape[2], "count": len(values), "dtype": "float32"}
    with rasterio.open(path, "w", crs=crs, transform=turn, nodata=NO, **facts, **how) as file:
        file.write(values)
    return path


def netcdf(path: Path, version: int = 4, units: str = "degrees_north", uneven: bool = False) -> np.ndarray[Any, Any]:
    """Two depths of packed numbers, south first, longitudes from 0 to 360; the first cell has no value."""
    values = np.arange(2 * 18 * 36, dtype=np.int16).reshape(1, 2, 18, 36)
    values[0, 0, 0, 0] = -999
    latitudes = np.arange(-85.0, 90, 10)
    latitudes[3] += 4 * uneven
    axes = {"time": [0.0], "depth": [0.0, 10.0], "lat": latitudes, "lon": np.arange(5.0, 360, 10)}
    if version == 3:
        from scipy.io import netcdf_file

        with netcdf_file(path, "w") as file:
            for name, numbers in axes.items():
                file.createDimension(name, len(numbers))
                file.createVariable(name, "d", (name,))[:] = numbers
            file.variables["lat"].units, file.variables["lon"].units = units, "degrees_east"
            made = file.createVariable("t", "h", tuple(axes))
            made[:] = values
            made.scale_factor, made.add_offset, made._FillValue = 0.1, 1.0, np.int16(-999)
    else:
        h5netcdf = pytest.importorskip("h5netcdf")
        with h5netcdf.File(path, "w") as file:
            file.dimensions = {name: len(numbers) for name, numbers in axes.items()}
            for name, numbers in axes.items():
                file.create_variable(name, (name,), float)[:] = numbers
            file.variables["lat"].attrs["units"], file.variables["lon"].attrs["units"] = units, "degrees_east"
            made = file.create_variable("t", tuple(axes), "int16", fillvalue=np.int16(-999))
            made[:] = values
            made.attrs["scale_factor"], made.attrs["add_offset"] = 0.1, 1.0
    told = values[0] * 0.1 + 1
    told[0, 0, 0] = np.nan
    return told


def test_the_edges_of_the_globe_are_cells_of_it(tmp_path: Path) -> None:
    values = np.arange(18 * 36, dtype=np.float32).reshape(18, 36)
    geotiff(tmp_path / "a.tif", values)
    rasters = Rasters(tmp_path)
    lat = np.array([90, -90, 0, 0, 52.05, 89.99, -90, 0, np.nan])
    lon = np.array([0, 180, 180, -180, 5.05, 179.99, -180, 190, 3])
    wanted = [values[0, 18], values[17, 0], values[9, 0], values[9, 0], values[3, 18], values[0, 35], values[17, 0], values[9, 1]]
    assert rasters.at(lat, lon)[:, 0].tolist()[:-1] == wanted
    assert np.isnan(rasters.at(lat, lon)[-1, 0])
    with rasterio.open(tmp_path / "a.tif") as file:  # rasterio's own reading of points that are on no edge
        asked = [(5.05, 52.05), (179.99, 89.99), (-0.01, -33.3)]
        own = [float(one[0]) for one in file.sample(asked)]
    assert rasters.at(np.array([y for _, y in asked]), np.array([x for x, _ in asked]))[:, 0].tolist() == own


def test_between_cells_and_across_the_antimeridian(tmp_path: Path) -> None:
    values = np.zeros((18, 36), np.float32)
    values[:, 0], values[:, 35], values[:, 18] = 10, 20, 4
    values[4, 18] = NO
    geotiff(tmp_path / "a.tif", values)
    rasters = Rasters(tmp_path)
    lat, lon = np.array([0.0, 0.0, 0.0, 0.0, 45.0, 45.0]), np.array([180.0, -177.5, 177.5, 7.5, 7.5, 12.5])
    found = rasters.at(lat, lon, "bilinear")[:, 0]
    assert found[:4] == pytest.approx([15, 12.5, 17.5, 3])
    assert np.isnan(found[4])  # its own cell has no value
    assert found[5] == pytest.approx(0)  # the neighbour without one is left out


def test_layers_of_netcdf_are_bands_and_longitudes_may_run_to_360(tmp_path: Path) -> None:
    for version in (3, 4):
        folder = tmp_path / str(version)
        folder.mkdir()
        values = netcdf(folder / "t.nc", version)
        rasters = Rasters(folder)
        assert rasters.bands == ("t[depth=0]", "t[depth=10]")
        found = rasters.at(np.array([-90.0, 90, 52.05, -85]), np.array([-0.1, -180, 5.05, 5]))
        cells = [(0, 35), (17, 18), (14, 0), (0, 0)]
        for row, cell in zip(found, cells):
            assert row == pytest.approx(values[:, *cell], nan_ok=True)


def test_bands_stand_in_the_order_of_their_numbers_and_are_scaled_over_what_is_known(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    one, two = rng.normal(5, 3, (18, 36)), rng.normal(size=(2, 18, 36))
    one[3] = NO
    geotiff(tmp_path / "bio_10.tif", two)
    geotiff(tmp_path / "bio_2.tif", one, compress="lzw", tiled=True, blockxsize=16, blockysize=16)
    rasters = Rasters(tmp_path)
    assert rasters.bands == ("bio_2", "bio_10[1]", "bio_10[2]")
    mean, deviation = rasters.spread()
    kept = np.delete(one, 3, axis=0)
    assert (mean[0], deviation[0]) == pytest.approx((kept.mean(), kept.std()), rel=1e-5)
    lat, lon = rng.uniform(-90, 90, 200), rng.uniform(-180, 180, 200)
    rows, columns = np.floor((90 - lat) / 10).astype(int), np.floor((lon + 180) / 10).astype(int)
    wanted = np.stack([np.where(one == NO, np.nan, one), *two])[:, rows, columns].T
    np.testing.assert_allclose(rasters.at(lat, lon), wanted, rtol=1e-6)
    before = rasters.digest()
    geotiff(tmp_path / "bio_2.tif", one + 1, compress="lzw", tiled=True, blockxsize=16, blockysize=16)
    assert Rasters(tmp_path).digest() != before


@given(st.floats(-90, 90), st.floats(-180, 180), st.sampled_from([1, -1]), st.sampled_from([0.0, -180.0, -30.0]))
def test_four_cells_around_a_place_weigh_one_and_lie_beside_it(lat: float, lon: float, down: int, west: float) -> None:
    grid = Grid(18, 36, west, -90.0 if down > 0 else 90.0, 10.0, 10.0 * down)
    rows, columns, weights, on = grid.around_place(np.array([lat]), np.array([lon]))
    own = grid.nearest(np.array([lat]), np.array([lon]))
    assert on.all() and weights.sum() == pytest.approx(1) and (weights >= -1e-9).all()
    assert (np.abs(rows - own[0]) <= 1).all()
    apart = np.abs(columns - own[1])
    assert (np.minimum(apart, 36 - apart) <= 1).all()


def test_what_is_no_raster_of_latitude_and_longitude_is_refused_in_a_line(tmp_path: Path) -> None:
    def said(*made: Path) -> str:
        folder = made[0].parent if made else tmp_path / "none"
        with pytest.raises(BiocosmosError) as error:
            Rasters(folder)
        assert "\n" not in str(error.value)
        return str(error.value)

    def folder(name: str) -> Path:
        (tmp_path / name).mkdir()
        return tmp_path / name

    values = np.zeros((18, 36))
    assert "no folder of rasters" in said()
    assert "has no rasters" in said(folder("empty") / "x")
    assert "EPSG:3857" in said(geotiff(folder("mercator") / "a.tif", values, crs="EPSG:3857"))
    assert "does not say its coordinate reference system" in said(geotiff(folder("unsaid") / "a.tif", values, crs=None))
    broken = folder("broken") / "a.tif"
    broken.write_bytes(b"no raster")
    assert "cannot read the raster" in said(broken)
    cut = folder("cut") / "a.nc"
    cut.write_bytes(b"\x89HDF" + b"0" * 100)
    assert "cannot read the raster" in said(cut)
    netcdf(folder("metres") / "a.nc", units="m")
    assert "not in degrees" in said(tmp_path / "metres" / "a.nc")
    netcdf(folder("uneven") / "a.nc", uneven=True)
    assert "uneven steps of lat" in said(tmp_path / "uneven" / "a.nc")
    geotiff(folder("twice") / "a.tif", values)
    geotiff(tmp_path / "twice" / "a.tiff", values)
    assert "two bands 'a'" in said(tmp_path / "twice" / "a.tif")
    geotiff(folder("nothing") / "a.tif", np.full((18, 36), NO))
    with pytest.raises(BiocosmosError, match="no value in 'a'"):
        Rasters(tmp_path / "nothing").spread()


def test_off_a_small_grid_nothing_is_known(tmp_path: Path) -> None:
    geotiff(tmp_path / "a.tif", np.arange(4).reshape(2, 2), west=4, north=54, cell=1.0)
    found = Rasters(tmp_path).at(np.array([54.0, 52, 53.5, 51.9, 54.1, 53]), np.array([4.0, 6, 5.5, 5, 5, 6.1]))
    assert found[:3, 0].tolist() == [0, 3, 1] and np.isnan(found[3:]).all()
