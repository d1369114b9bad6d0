"""Labels that are probably wrong: what a head says that never saw the specimen, and its neighbours, against the tree of taxa."""

from biocosmos.discover.labels.audit import Audit, audit

__all__ = ["Audit", "audit"]
