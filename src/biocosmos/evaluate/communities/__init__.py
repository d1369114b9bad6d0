"""The page of a community: what was found in each sample, where, when, how deep, how diverse, how alike, how sure."""

from biocosmos.evaluate.communities.report import community_report

__all__ = ["community_report"]
