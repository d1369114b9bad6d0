"""Specimens as tiles show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from biocosmos.serve.catalogue.state import Moment
from biocosmos.serve.catalogue.view import STATES
from biocosmos.serve.thumbnails import mark_of


class Tile(TypedDict):
    """What ``views/parts/tile.html.j2`` takes. name: None where it has none; hash: the mark of its picture; score: or None."""

    id: str
    name: str | None
    rank: str | None
    state: str
    hash: str
    score: float | None


def tiles(moment: Moment, rows: npt.ArrayLike, scores: Sequence[float | None] | None = None) -> list[Tile]:
    """The tiles of these rows, in their order."""
    rows = np.asarray(rows, np.int32)
    tree, pictures = moment.taxonomy, moment.stored.table(rows, ["id", "content_hash", "crop"]).to_pylist()
    found: list[Tile] = []
    for place, (row, cells) in enumerate(zip(rows.tolist(), pictures, strict=True)):
        name, rank = name_of(tree, int(moment.nodes[row]))
        score = None if scores is None else scores[place]
        mark = mark_of(cells["content_hash"], cells["crop"])
        state = STATES[int(moment.states[row])]
        found.append(Tile(id=cells["id"], name=name, rank=rank, state=state, hash=mark, score=score))
    return found


def name_of(tree: Any, node: int) -> tuple[str | None, str | None]:
    """(name, rank) of a node; None for none."""
    return (str(tree.names[node]), str(tree.ranks[int(tree.rank[node])])) if node > 0 else (None, None)
