"""Candidate taxa: groups of specimens that no known taxon fits, each with a place in the tree and a name of its own.

space.py      in which what varies within taxa counts less
testing.py    groups, and which of them are no known taxon, with a rate of false discoveries
placing.py    the deepest taxon that a group certainly belongs to
numbering.py  names that stay
"""

from biocosmos.discover.unknowns.numbering import numbered_names
from biocosmos.discover.unknowns.placing import Placing, place_groups
from biocosmos.discover.unknowns.testing import Tested, find_groups

__all__ = ["Placing", "Tested", "find_groups", "numbered_names", "place_groups"]
