"""What a grid shows of specimens."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.barcodes.stripes import stripes_mark
from biocosmos.serve.catalogue.taxa import address
from biocosmos.serve.catalogue.view import STATES, State, View
from biocosmos.serve.thumbnails.pictures import NOTHING, mark_of

if TYPE_CHECKING:
    from biocosmos.serve.catalogue.state import Moment

_SEEN = ("content_hash", "crop")


class Card(TypedDict):
    """name, rank, taxon (the address of it): None where it is unnamed; score: what the view is sorted by, None where it is not
    sorted by a number or there is none; hash: of what the thumbnail shows; note and the rest: of a neighbour by its barcode."""

    id: str
    name: str | None
    rank: str | None
    taxon: str | None
    state: State
    confidence: float | None
    novelty: float | None
    score: float | None
    hash: str
    note: NotRequired[str]
    identity: NotRequired[float]
    alignment_length: NotRequired[int]
    gaps: NotRequired[int]


def cards_of(moment: Moment, rows: npt.NDArray[np.int32], view: View) -> list[Card]:
    """One for each row, in their order."""
    tree = moment.taxonomy
    ids = moment.stored.ids.take(pa.array(rows)).to_pylist()
    marks = _marks(moment, rows)
    addresses = {node: address(tree, node) for node in {*moment.nodes[rows].tolist()}}
    cards: list[Card] = []
    for id_, row, mark in zip(ids, rows.tolist(), marks, strict=True):
        node = int(moment.nodes[row])
        confidence, novelty = _number(moment.confidence[row]), _number(moment.novelty[row])
        cards.append(
            Card(
                id=id_,
                name=str(tree.names[node]) if node else None,
                rank=tree.ranks[tree.rank[node]] if node else None,
                taxon=addresses[node] or None,
                state=STATES[moment.states[row]],
                confidence=confidence,
                novelty=novelty,
                score={"confidence": confidence, "novelty": novelty}.get(view.sort),
                hash=mark,
            )
        )
    return cards


def _marks(moment: Moment, rows: npt.NDArray[np.int32]) -> list[str]:
    columns = [name for name in _SEEN if name in moment.stored.dataset.schema.names]
    if len(columns) < len(_SEEN) or not len(rows):
        return [""] * len(rows)
    table = moment.stored.table(rows, columns)
    marks = [mark_of(hash_, crop) for hash_, crop in zip(*(table[name].to_pylist() for name in columns), strict=True)]
    bare = [place for place, mark in enumerate(marks) if mark == NOTHING]
    if bare and "barcode" in moment.stored.dataset.schema.names:
        barcodes = moment.stored.table(rows[bare], ["barcode"])["barcode"].to_pylist()
        for place, barcode in zip(bare, barcodes, strict=True):
            marks[place] = stripes_mark(barcode) or NOTHING
    return marks


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
