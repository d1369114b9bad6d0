"""The novelty detectors by name."""

from __future__ import annotations

from biocosmos.errors import BiocosmosError
from biocosmos.identify.novelty.combined import Combined
from biocosmos.identify.novelty.detector import Detector
from biocosmos.identify.novelty.features import ClassAngle, Mahalanobis, NearestNeighbours, ViM, WhitenedNeighbours
from biocosmos.identify.novelty.logits import Energy, MaxLogit, MaxSoftmax
from biocosmos.identify.novelty.nearest_barcode import BarcodeDistance
from biocosmos.identify.novelty.odin import Odin
from biocosmos.identify.novelty.own_mass import OwnMass
from biocosmos.identify.novelty.rank_outliers import RankOutliers
from biocosmos.plugins import plug_ins

DETECTORS: dict[str, type[Detector]] = {
    kind.name: kind
    for kind in (
        Combined,
        MaxSoftmax,
        MaxLogit,
        Energy,
        Mahalanobis,
        ClassAngle,
        NearestNeighbours,
        WhitenedNeighbours,
        ViM,
        RankOutliers,
        Odin,
        BarcodeDistance,
        OwnMass,
    )
}
DEFAULT_DETECTOR = Combined.name
BY_PREDICTIONS = tuple(name for name in DETECTORS if name not in (Odin.name, BarcodeDistance.name, OwnMass.name))
"""Detectors that need nothing but predictions of any namer; ODIN needs the model as well, one of barcodes
their distances, own masses a namer that has them."""


def detector_names() -> list[str]:
    """The built-in detectors, then those that installed packages add (biocosmos.plugins)."""
    return [*DETECTORS, *plug_ins("detectors", DETECTORS)]


def make_detector(name: str = DEFAULT_DETECTOR) -> Detector:
    """A detector by name, with its default settings. Raises BiocosmosError listing the names there are."""
    added = plug_ins("detectors", DETECTORS)
    if name in DETECTORS:
        return DETECTORS[name]()
    if name not in added:
        raise BiocosmosError(f"no novelty detector {name!r}: choose one of {', '.join(detector_names())}")
    kind: type[Detector] = added[name].load_kind(Detector)
    return kind()
