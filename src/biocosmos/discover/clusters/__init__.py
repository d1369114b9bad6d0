"""Clusters of vectors: standardise, reduce, cluster, as one call, and what stands for each cluster.

>>> from biocosmos.discover.clusters import cluster
>>> found = cluster(gallery.vectors, reducer="pca", method="ward", clusters=50)
>>> found.labels, found.count

What computes is imported on first use: the command line reads the settings in this folder.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from biocosmos.discover.clusters.clustering import Clustering, cluster, numbered
    from biocosmos.discover.clusters.settings import ClusterSettings

__all__ = ["ClusterSettings", "Clustering", "cluster", "numbered"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'biocosmos.discover.clusters' has no attribute {name!r}")
    home = "settings" if name == "ClusterSettings" else "clustering"
    return getattr(import_module(f"biocosmos.discover.clusters.{home}"), name)
