"""The namers that are fitted on a gallery, by the name a user types."""

from __future__ import annotations

from biocosmos.errors import BiocosmosError
from biocosmos.identify.namer import GalleryNamer
from biocosmos.identify.namers.barcode import Barcode
from biocosmos.identify.namers.fused import Fused
from biocosmos.identify.namers.linear import Linear
from biocosmos.identify.namers.text import ZeroShotNamer
from biocosmos.identify.namers.vectors import Centroid, ClassMean, ClassMeanEuclidean, Nearest, NearestEuclidean, Prototypes
from biocosmos.plugins import plug_ins

NAMERS: dict[str, type[GalleryNamer]] = {
    kind.name: kind
    for kind in (
        Nearest,
        ClassMean,
        NearestEuclidean,
        ClassMeanEuclidean,
        Centroid,
        Prototypes,
        Linear,
        ZeroShotNamer,
        Barcode,
        Fused,
    )
}
DEFAULT_NAMER = Linear.name
"""Most right of all on validation specimens of the shipped sample: at the label 60 % against 53 % for "nearest"."""


def namer_names() -> list[str]:
    """The built-in namers, then those that installed packages add (biocosmos.plugins)."""
    return [*NAMERS, *plug_ins("namers", NAMERS)]


def find_namer(name: str) -> type[GalleryNamer]:
    """A kind of namer by name. Raises BiocosmosError listing the names there are."""
    added = plug_ins("namers", NAMERS)
    if name in NAMERS:
        return NAMERS[name]
    if name not in added:
        raise BiocosmosError(f"no method {name!r}: choose one of {', '.join(namer_names())}")
    kind: type[GalleryNamer] = added[name].load_kind(GalleryNamer)
    return kind
