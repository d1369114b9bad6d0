"""Encoders of places: latitude, longitude, day and depth in, unit vectors out. One string names them, as those of images.

encoder.py       what each of them is, and load_place_encoder(): by its name
kernels.py       place:15km-15d-100m: nothing is learnt, nothing need be fetched
models.py        networks over places: folders that were trained here
projected.py     any of these under a projection
public.py        GeoCLIP's and TaxaBind's weights as they are published
environment.py   environment:rasters/: what a user's rasters say at a place; environment_models.py: networks over that
"""
