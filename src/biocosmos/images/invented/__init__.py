"""Pictures of arthropods that nobody ever saw, whose looks are inherited down a tree of names.

To try things on, and to test with. Synthetic: nothing here is an observation, and a table from such pictures must say so.
"""

from __future__ import annotations

from biocosmos.images.invented.picture import draw_specimen, picture_of, with_pictures
from biocosmos.images.invented.traits import Facts, Inheritance, Traits

__all__ = ["Facts", "Inheritance", "Traits", "draw_specimen", "picture_of", "with_pictures"]
