"""What people say of specimens through the server: names, doubts, undo, counts, and queues of what to look at next."""

from biocosmos.serve.annotating.annotations import Annotations, Named, Tally, Undone

__all__ = ["Annotations", "Named", "Tally", "Undone"]
