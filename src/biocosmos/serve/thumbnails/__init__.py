"""Small pictures of specimens: made once, kept in the collection's folder, and what a browser is shown of the large ones."""

from biocosmos.serve.thumbnails.all_of_them import MadeAll, make_all
from biocosmos.serve.thumbnails.drawing import SIZES
from biocosmos.serve.thumbnails.full_size import MOST_SIDE, Full
from biocosmos.serve.thumbnails.pictures import mark_of
from biocosmos.serve.thumbnails.thumbnails import NoSpecimen, Thumbnail, Thumbnails

__all__ = ["MOST_SIDE", "SIZES", "Full", "MadeAll", "NoSpecimen", "Thumbnail", "Thumbnails", "make_all", "mark_of"]
