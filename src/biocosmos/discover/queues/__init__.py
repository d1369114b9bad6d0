"""What to label next.

>>> from biocosmos.discover.queues import queue
>>> queue("margin", unlabelled_gallery, labelled_gallery, 100).table

What computes is imported on first use: the command line reads the strategies in this folder.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from biocosmos.discover.queues.strategies import DEFAULT, STRATEGIES

if TYPE_CHECKING:
    from biocosmos.discover.queues.queueing import Queue, queue

__all__ = ["DEFAULT", "STRATEGIES", "Queue", "queue"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'biocosmos.discover.queues' has no attribute {name!r}")
    return getattr(import_module("biocosmos.discover.queues.queueing"), name)
