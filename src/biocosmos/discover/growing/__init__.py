"""Cluster and grow: name thousands of pictures an hour, and what that costs.

>>> from biocosmos.discover.growing import Session
>>> session = Session(collection, by="ada")
>>> for cluster in session.recluster(): ...
"""

from biocosmos.discover.growing.costs import Costs
from biocosmos.discover.growing.session import Session
from biocosmos.discover.growing.simulation import STRATEGIES, Simulation, Working

__all__ = ["STRATEGIES", "Costs", "Session", "Simulation", "Working"]
