"""One specimen: all that is known of it, what it may be, and what it is like."""

from biocosmos.serve.specimen.facts import About, about
from biocosmos.serve.specimen.history import Event, history
from biocosmos.serve.specimen.looking import Looking
from biocosmos.serve.specimen.rivals import Rivals, Side, rivals
from biocosmos.serve.specimen.tiles import near_tiles, tiles

__all__ = ["About", "Event", "Looking", "Rivals", "Side", "about", "history", "near_tiles", "rivals", "tiles"]
