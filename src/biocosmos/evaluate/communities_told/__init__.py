"""Shares of communities judged by sample, not by image: made communities, and the samples that a column names."""

from biocosmos.evaluate.communities_told.report import communities_told

__all__ = ["communities_told"]
