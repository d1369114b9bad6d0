"""Priors of places judged where nobody was learnt from: on cells that are held out, and on rows, which leak."""

from biocosmos.evaluate.held_out_places.report import held_out_places

__all__ = ["held_out_places"]
