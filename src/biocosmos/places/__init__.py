"""Places and times: coordinates, distances on the sphere, days of the year. What every room above says of where and when."""

from biocosmos.places.columns import Places
from biocosmos.places.coordinates import parse_place
from biocosmos.places.countries import country_and_region, country_code
from biocosmos.places.days import YEAR, days_apart, parse_day
from biocosmos.places.sphere import EARTH, cells, great_circle, on_sphere, spanned

__all__ = [
    "EARTH",
    "YEAR",
    "Places",
    "cells",
    "country_and_region",
    "country_code",
    "days_apart",
    "great_circle",
    "on_sphere",
    "parse_day",
    "parse_place",
    "spanned",
]
