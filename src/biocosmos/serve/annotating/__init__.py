"""What people say of specimens through the server: names, doubts, undo, counts, and queues of what to look at next."""

from biocosmos.serve.annotating.annotations import Annotations, Named, Tally, Undone
from biocosmos.serve.annotating.queues import QueuePage, Queues
from biocosmos.serve.annotating.scores import KINDS

__all__ = ["KINDS", "Annotations", "Named", "QueuePage", "Queues", "Tally", "Undone"]
