"""Rasters of the environment from a user's files: what a temperature map says at a place. Nothing is bundled.

grid.py        from latitude and longitude to cells: edges, the antimeridian, poles, both directions of both axes
geotiff.py     GeoTIFF by rasterio (extra [places])
netcdf.py      NetCDF 3 by scipy, NetCDF 4 by h5netcdf (extra [places])
folder.py      Rasters: the bands of all files of a folder, by places
"""
