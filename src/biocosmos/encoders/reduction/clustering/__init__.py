"""Clustering the tokens of an image."""

from biocosmos.encoders.reduction.clustering.agglomerative import How, agglomerate
from biocosmos.encoders.reduction.clustering.linkages import LINKAGES, Linkage

__all__ = ["LINKAGES", "How", "Linkage", "agglomerate"]
