"""Pictures that are the same, or nearly: byte for byte, by what they look like, by their vectors, and taken moments apart.

linking.py   pairs that are alike, of each kind
hashing.py   perceptual hashes, and those that differ in few bits
groups.py    groups in which every member is like the one that stands for it
series.py    bursts: the same place or sample, moments apart
leaks.py     groups that a split tears apart
"""

from biocosmos.discover.duplicates.groups import Groups, grouped
from biocosmos.discover.duplicates.leaks import leaks_of
from biocosmos.discover.duplicates.linking import Links, by_content, by_hash, by_vectors
from biocosmos.discover.duplicates.series import bursts

__all__ = ["Groups", "Links", "bursts", "by_content", "by_hash", "by_vectors", "grouped", "leaks_of"]
