"""Where the specimens of a space were collected: cells that are one answer, and cells that asking and answering parts share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biocosmos.evaluate.cross_modal.sides import Array
from biocosmos.jobs.cross_modal_parts import Part
from biocosmos.places import cells
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.placed import places_of

DEGREES = 0.1
"""Of a cell: about 11 km from north to south."""


def cells_of(collection: Collection, ids: Sequence[str]) -> Array:
    """(n,) int64 cells of specimens, -1 where no place is known."""
    _, where = places_of(collection, ids)
    return cells(where.latitude, where.longitude, DEGREES)


def shared_cells(collection: Collection, asking: Sequence[Part], answering: Sequence[Part]) -> list[str]:
    """A sentence where specimens ask from cells that specimens of the keys are from: they share place and often day."""
    one, other = (cells_of(collection, np.concatenate([part.ids for part in parts]).tolist()) for parts in (asking, answering))
    known = one >= 0
    shared = int(np.isin(one[known], other[other >= 0]).sum())
    if not shared:
        return []
    return [
        f"{shared:,} of {int(known.sum()):,} specimens that ask are from a cell of {DEGREES:g} degrees that keys are from too: "
        "rows of one table leak, since specimens of one trap share place and day. Parts that hold cells out say what a new place "
        "gets."
    ]
