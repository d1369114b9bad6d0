"""biocosmos: find, name and discover species from specimen images, DNA barcodes, text and place.

>>> import biocosmos as bc
>>> collection = bc.Collection.create("plankton.cosmos")
>>> collection.add(bc.read("images/", metadata="labels.csv"))
>>> bc.embed(collection, "efficientnet-lite0")
>>> gallery = collection.gallery("efficientnet-lite0", split="train")
>>> bc.Identifier.fit(gallery).identify(queries)

Names are imported on first use, so that ``import biocosmos`` and ``biocosmos --help`` stay fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "BiocosmosError": "biocosmos.errors",
    "Collection": "biocosmos.specimens.collection",
    "Failures": "biocosmos.errors",
    "Gallery": "biocosmos.search.gallery",
    "Identifier": "biocosmos.identify.identifier",
    "Namer": "biocosmos.identify.namer",
    "Taxonomy": "biocosmos.taxonomy",
    "embed": "biocosmos.embed",
    "load_encoder": "biocosmos.encoders.registry",
    "read": "biocosmos.specimens.readers",
    "sample": "biocosmos.specimens.sample",
}
_ROOMS = ("discover", "encoders", "evaluate", "identify", "search", "specimens", "train")

__all__ = [*_HOMES, *_ROOMS]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from biocosmos.provenance import package_version

        return package_version()
    if name in _ROOMS:
        return import_module(f"biocosmos.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'biocosmos' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
