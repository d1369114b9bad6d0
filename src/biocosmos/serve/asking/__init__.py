"""Questions to the collection: what is like this, and what is this."""

from biocosmos.serve.asking.galleries import NotReady
from biocosmos.serve.asking.searching import Answer, Asking, Near, Searched

__all__ = ["Answer", "Asking", "Near", "NotReady", "Searched"]
