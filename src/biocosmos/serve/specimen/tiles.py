"""Specimens as tiles show them, with scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from biocosmos.serve.catalogue import View
from biocosmos.serve.catalogue.cards import Card, cards_of
from biocosmos.serve.catalogue.state import Moment

if TYPE_CHECKING:
    from biocosmos.serve.asking import Near

Tile = Card


def tiles(moment: Moment, rows: npt.ArrayLike, scores: Sequence[float | None] | None = None) -> list[Card]:
    """The tiles of these rows, in their order."""
    found = cards_of(moment, np.asarray(rows, np.int32), View())
    for card, score in zip(found, scores or [], strict=False):
        card["score"] = score
    return found


def near_tiles(moment: Moment, near: Sequence[Near]) -> list[Card]:
    """The tiles of neighbours, with their cosine and, by barcodes, their overlap."""
    found = tiles(moment, [each.row for each in near], [each.score for each in near])
    for card, each in zip(found, near, strict=True):
        if each.overlap is not None:
            card["note"] = each.overlap.line()
            card["identity"], card["alignment_length"], card["gaps"] = (
                each.overlap.identity,
                each.overlap.length,
                each.overlap.gaps,
            )
    return found
