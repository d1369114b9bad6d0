"""How many of each taxon there are, from a classifier that errs: quantification, and names by what a community holds."""

from biocosmos.identify.quantification.by_group import Quantified, SampleShares, by_group
from biocosmos.identify.quantification.gate import Gate, Verdict
from biocosmos.identify.quantification.methods import Shares, corrected, quantify
from biocosmos.identify.quantification.names import corrected_predictions, rolled_up
from biocosmos.identify.quantification.unknown import UNKNOWN, quantify_open
from biocosmos.identify.quantification.validation import Validation
from biocosmos.identify.share_methods import METHODS

__all__ = [
    "METHODS",
    "UNKNOWN",
    "Gate",
    "Quantified",
    "SampleShares",
    "Shares",
    "Validation",
    "Verdict",
    "by_group",
    "corrected",
    "corrected_predictions",
    "quantify",
    "quantify_open",
    "rolled_up",
]
