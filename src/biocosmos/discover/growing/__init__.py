"""Cluster and grow: name thousands of pictures an hour, and what that costs.

>>> from biocosmos.discover.growing import Session
>>> session = Session(collection, by="ada")
>>> for cluster in session.recluster(): ...
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from biocosmos.discover.growing.costs import Costs
    from biocosmos.discover.growing.session import Session
    from biocosmos.discover.growing.simulation import STRATEGIES, Simulation, Working

_WHERE = {"Costs": "costs", "Session": "session", "STRATEGIES": "simulation", "Simulation": "simulation", "Working": "simulation"}


def __getattr__(name: str) -> Any:
    """The names of this package, each imported when it is first asked for: acts are read without torch."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)


__all__ = ["STRATEGIES", "Costs", "Session", "Simulation", "Working"]
