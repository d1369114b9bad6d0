"""How many of each taxon there are, from a classifier that errs: quantification, and names by what a community holds."""

from biocosmos.identify.quantification.methods import METHODS, Shares, corrected, quantify
from biocosmos.identify.quantification.unknown import UNKNOWN, quantify_open

__all__ = ["METHODS", "UNKNOWN", "Shares", "corrected", "quantify", "quantify_open"]
