"""Clusters of vectors: standardise, reduce, cluster, as one call, and what stands for each cluster.

>>> from biocosmos.discover.clusters import cluster
>>> found = cluster(gallery.vectors, reducer="pca", method="ward", clusters=50)
>>> found.labels, found.count
"""

from biocosmos.discover.clusters.clustering import Clustering, cluster, numbered
from biocosmos.discover.clusters.settings import ClusterSettings

__all__ = ["ClusterSettings", "Clustering", "cluster", "numbered"]
