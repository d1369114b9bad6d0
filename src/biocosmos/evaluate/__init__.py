"""Honest numbers for embeddings and identifications, on one split, with intervals, and what cannot be concluded from them.

>>> from biocosmos import evaluate
>>> report = evaluate.retrieval(gallery, queries, ks=(1, 5, 10), groups=["group"])
>>> report.table()                  # tidy: target, k, over, average, value, low, high, ...
>>> report.write("report/")         # one HTML page, one Parquet file of all tables, provenance
"""

from biocosmos.evaluate.combined import combine
from biocosmos.evaluate.comparison.report import compare
from biocosmos.evaluate.ranks.report import naming
from biocosmos.evaluate.report import Report, read_tables
from biocosmos.evaluate.retrieval.report import retrieval
from biocosmos.evaluate.side_by_side.report import side_by_side

__all__ = ["Report", "combine", "compare", "naming", "read_tables", "retrieval", "side_by_side"]
