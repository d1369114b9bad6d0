"""The one tree that labels, galleries, heads, metrics and roll-back share."""

from biocosmos.taxonomy.numbering import ROOT, UNKNOWN
from biocosmos.taxonomy.ranks import DARWIN_CORE, KNOWN_RANKS
from biocosmos.taxonomy.rollup import RollUp, RollUpPlan
from biocosmos.taxonomy.tree import ROOT_NAME, Taxonomy

__all__ = ["DARWIN_CORE", "KNOWN_RANKS", "ROOT", "ROOT_NAME", "UNKNOWN", "RollUp", "RollUpPlan", "Taxonomy"]
