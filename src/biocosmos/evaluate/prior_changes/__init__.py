"""What a prior of places changed: names that were right without it and wrong with it, and the other way round."""

from biocosmos.evaluate.prior_changes.report import Changes, prior_changes

__all__ = ["Changes", "prior_changes"]
