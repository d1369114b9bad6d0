"""Communities: what lives in each sample, how much of it, and how samples differ."""

from biocosmos.discover.communities.table import Community

__all__ = ["Community"]
