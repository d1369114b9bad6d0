"""Checklists: the names of the world and what they stand for, read, joined and looked up.

files.py      tables in files, zips and folders
formats.py    ColDP, GBIF backbone, WoRMS, parent-child tables -> one table of usages
joined.py     usages -> a tree, with its faults named
checklist.py  the compiled checklist, kept in the cache folder
matching.py   names -> matched, synonym, ambiguous, unknown
folding.py, authors.py, spelling.py   what counts as the same name, the same author, a like spelling
"""

from biocosmos.taxonomy.checklists.checklist import Checklist
from biocosmos.taxonomy.checklists.matching import Match, Matcher, Query

__all__ = ["Checklist", "Match", "Matcher", "Query"]
