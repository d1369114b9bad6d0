"""How many of each taxon there are, from a classifier that errs: quantification, and names by what a community holds."""

from biocosmos.identify.quantification.gate import Gate, Verdict
from biocosmos.identify.quantification.methods import METHODS, Shares, corrected, quantify
from biocosmos.identify.quantification.names import corrected_predictions, rolled_up
from biocosmos.identify.quantification.unknown import UNKNOWN, quantify_open

__all__ = [
    "METHODS",
    "UNKNOWN",
    "Gate",
    "Shares",
    "Verdict",
    "corrected",
    "corrected_predictions",
    "quantify",
    "quantify_open",
    "rolled_up",
]
