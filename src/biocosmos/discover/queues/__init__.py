"""What to label next.

>>> from biocosmos.discover.queues import queue
>>> queue("margin", unlabelled_gallery, labelled_gallery, 100).table
"""

from biocosmos.discover.queues.queue import Queue, queue
from biocosmos.discover.queues.strategies import DEFAULT, STRATEGIES

__all__ = ["DEFAULT", "STRATEGIES", "Queue", "queue"]
