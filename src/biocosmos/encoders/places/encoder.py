"""What an encoder of places is, and where one is found by its name.

    place:15km               like places have like vectors: a Gaussian kernel of this width, in km, days and metres of depth
    place:15km-15d-100m      the same for place, season and depth together; place:15d for the season alone
    geoclip/                 a folder with GeoCLIP's or TaxaBind's weights; place:FILE a file of them
    run/place                a folder that 'biocosmos train bind' wrote
    prior/, place:prior/     one of 'biocosmos train place': the vectors of its network, or the shares of taxa of a kernel
    environment:rasters/     what GeoTIFF and NetCDF files say there (biocosmos.encoders.places.environment)

Nothing heavy is imported until a model is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from biocosmos.encoders.modality import PRIOR, described, modality_of, tower_name
from biocosmos.errors import BiocosmosError
from biocosmos.files import is_file, is_there
from biocosmos.places import Places

PLACES_AT_ONCE = 4096
ENVIRONMENT = "environment"
PLACE, DAY, DEPTH = "place", "day", "depth"
"""What an encoder may take of a place."""
NOTHING = "nothing can be computed of the place"
"""Why a row of an encoder says nothing, where it tells no better."""

Vectors = npt.NDArray[np.float32]


@runtime_checkable
class PlaceEncoder(Protocol):
    """What :func:`load_place_encoder` gives.

    name: the string it was loaded by; dim: numbers of a vector; modality: "place", or "environment" where rasters are read at the
    place; digest: of what it computes with, 16 hex digits; batch_size: places of a call; takes: what must be known of a place, of
    :data:`PLACE`, :data:`DAY` and :data:`DEPTH`.
    """

    name: str
    dim: int
    modality: Literal["place", "environment"]
    digest: str
    batch_size: int
    takes: tuple[str, ...]

    def metadata(self) -> dict[str, Any]:
        """What must be known to compare rows: name, digest, dim, modality, preprocessing, precision, backend, device; and space,
        the digest of the space it is a tower of, if it is one."""

    def encode_places(self, places: Places) -> Vectors:
        """(n, dim) float32 unit vectors; a place of which nothing can be computed is a row of zeros."""

    def reasons(self, places: Places) -> list[str]:
        """Of each place that has a row of zeros, why."""


def known(places: Places, takes: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """(n,) whether all that an encoder takes is known of a place."""
    found = np.ones(len(places), np.bool_)
    for what in takes:
        found &= {PLACE: places.has_place, DAY: places.has_day, DEPTH: np.isfinite(places.depth)}[what]
    return found


def vectors_and_reasons(encoder: PlaceEncoder, places: Places) -> tuple[Vectors, dict[int, str]]:
    """(n, dim) vectors, and row -> why, of those that are zeros: as an encoder of files tells it."""
    vectors = encoder.encode_places(places)
    nothing = np.flatnonzero(~vectors.any(axis=1))
    told = encoder.reasons(places.take(nothing)) if len(nothing) else []
    return vectors, dict(zip(nothing.tolist(), told))


def load_place_encoder(name: str, *, device: str = "auto", precision: str = "auto") -> PlaceEncoder:
    """Load an encoder of places, or of the environment there; device: of a model, as for images.

    Raises BiocosmosError: an unknown name, a folder without such a model, rasters that cannot be read, another precision.
    """
    if precision not in ("auto", "float32"):
        raise BiocosmosError(f"encoders of places compute in float32, not in {precision}: leave --precision out")
    name = tower_name(name, "place")
    kind, _, rest = name.partition(":")
    if kind == PLACE:
        from biocosmos.encoders.places.kernels import KernelPlaces

        return _of_folder(name, rest, device) if rest and is_there(Path(rest)) else KernelPlaces(rest)
    if kind == ENVIRONMENT:
        from biocosmos.encoders.places.environment import load_environment

        return load_environment(rest, device=device)
    modality = modality_of(name)
    from biocosmos.encoders.places.projected import is_projected, load_projected_places

    if is_projected(described(Path(name).expanduser())):
        return load_projected_places(name, device=device)
    if modality == ENVIRONMENT:
        from biocosmos.encoders.places.environment_models import load_environment_folder

        return load_environment_folder(name, device=device)
    if modality != PLACE:
        raise BiocosmosError(f"encoder '{name}' is no encoder of places: write place:15km, or the folder of a trained one")
    return _of_folder(name, name, device)


def _of_folder(name: str, place: str, device: str) -> PlaceEncoder:
    from biocosmos.encoders.places.models import TrainedPlaces, load_place_folder
    from biocosmos.encoders.places.priors import load_shares
    from biocosmos.encoders.places.public import public_places
    from biocosmos.encoders.places.taxa import is_of_taxa, load_taxon_model

    folder = Path(place).expanduser()
    if is_file(folder / PRIOR):
        return load_shares(name, folder)
    if is_of_taxa(folder):
        return TrainedPlaces(name, load_taxon_model(folder), device)
    if described(folder):
        return load_place_folder(place, device=device)
    return TrainedPlaces(name, public_places(folder), device)
