"""The novelty detectors by name."""

from __future__ import annotations

from biocosmos.errors import BiocosmosError
from biocosmos.identify.combined_detector import Combined
from biocosmos.identify.detector import Detector
from biocosmos.identify.feature_detectors import ClassAngle, Mahalanobis, NearestNeighbours, ViM, WhitenedNeighbours
from biocosmos.identify.logit_detectors import Energy, MaxLogit, MaxSoftmax
from biocosmos.identify.odin import Odin
from biocosmos.identify.rank_outliers import RankOutliers

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
    )
}
DEFAULT_DETECTOR = Combined.name
BY_PREDICTIONS = tuple(name for name in DETECTORS if name != Odin.name)
"""Detectors that need nothing but predictions; ODIN needs the model as well."""


def make_detector(name: str = DEFAULT_DETECTOR) -> Detector:
    """A detector by name, with its default settings. Raises BiocosmosError listing the names there are."""
    if name not in DETECTORS:
        raise BiocosmosError(f"no novelty detector {name!r}: choose one of {', '.join(DETECTORS)}")
    return DETECTORS[name]()
