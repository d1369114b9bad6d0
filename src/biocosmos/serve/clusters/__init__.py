"""Clusters at hand: one session of biocosmos.discover.growing for all users of a server."""

from biocosmos.serve.clusters.clusters import Clusters, Grown, NothingToCluster

__all__ = ["Clusters", "Grown", "NothingToCluster"]
