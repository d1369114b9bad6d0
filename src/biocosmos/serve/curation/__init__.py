"""Tags and saved views: what people put beside the specimens of a collection, each act with who and when.

>>> from biocosmos.serve.curation import Curation
>>> desk = Curation(collection.path)
>>> desk.tag("to photograph again", ["a", "b"], by="ada")
"""

from biocosmos.serve.curation.curation import Curation, CurationAct, SavedView, Tag

__all__ = ["Curation", "CurationAct", "SavedView", "Tag"]
