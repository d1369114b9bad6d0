"""Why not the other: two taxa that look alike, side by side, each by its specimens that are most like the one in question."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biocosmos.errors import BiocosmosError
from biocosmos.serve.asking import Asking, Near
from biocosmos.serve.catalogue import Catalogue, View
from biocosmos.serve.catalogue.cards import Card
from biocosmos.serve.catalogue.state import Moment
from biocosmos.serve.catalogue.taxa import address, resolve
from biocosmos.serve.specimen.facts import Step, steps_to
from biocosmos.serve.specimen.tiles import near_tiles

SHOWN = 5
AROUND = 50
"""Nearest specimens among which the other taxon is looked for."""


@dataclass(frozen=True)
class Side:
    """A taxon: taxon: its address; steps: its way from the top; near: its specimens most like the one in question, with cosines;
    specimens: how many there are to choose from."""

    name: str
    rank: str
    taxon: str
    steps: tuple[Step, ...]
    near: list[Card]
    specimens: int


@dataclass(frozen=True)
class Rivals:
    """one: what the specimen is called, or would be by its neighbours (``guessed``); other: the other taxon; shared: the lowest
    taxon above both, "" where they share none."""

    one: Side
    other: Side
    shared: str
    guessed: bool


def rivals(catalogue: Catalogue, asking: Asking, id_: str, taxon: str | None = None) -> Rivals:
    """The taxon of a specimen and another: the one given, by default the one that most of its neighbours have which are not
    called as it is.

    Raises BiocosmosError for an unknown specimen or taxon, one without a vector, and where all that is near is called alike.
    """
    moment = catalogue.now
    row = catalogue.row_of(id_, moment)
    own = int(moment.nodes[row])
    around: list[Near] = []
    if own <= 0 or taxon is None:
        around = asking.nearest(id_, AROUND)
    mine = own if own > 0 else _commonest(moment, around, ())
    if mine is None:
        raise BiocosmosError("nothing near this specimen has a name yet: name some specimens first")
    other = resolve(moment.taxonomy, taxon) if taxon else _commonest(moment, around, (mine,))
    if other is None:
        name = moment.taxonomy.name(mine)
        raise BiocosmosError(f"the {len(around)} specimens most like this one are all called {name}: choose the other taxon")
    if other <= 0 or other == mine:
        raise BiocosmosError("choose a taxon that is not what the specimen is called")
    shared = int(moment.taxonomy.lowest_common(mine, other))
    one, two = (_side(catalogue, asking, moment, id_, node) for node in (mine, other))
    return Rivals(one, two, str(moment.taxonomy.name(shared)) if shared > 0 else "", own <= 0)


def _commonest(moment: Moment, near: list[Near], without: tuple[int, ...]) -> int | None:
    """The taxon that most of the neighbours have, of equals the nearer; not one that contains or lies within ``without``."""
    nodes = np.array([moment.nodes[each.row] for each in near], np.int32)
    usable = nodes[nodes > 0]
    for node in without:
        related = moment.taxonomy.is_ancestor(usable, node) | moment.taxonomy.is_ancestor(np.full_like(usable, node), usable)
        usable = usable[~related]
    if not len(usable):
        return None
    found, first, counts = np.unique(usable, return_index=True, return_counts=True)
    return int(found[np.lexsort((first, -counts))[0]])


def _side(catalogue: Catalogue, asking: Asking, moment: Moment, id_: str, node: int) -> Side:
    tree = moment.taxonomy
    where = address(tree, node)
    view = View(taxon=where, states=("dubious", "validated"))
    if not _others(catalogue, moment, view, id_):
        view = View(taxon=where)
    count = _others(catalogue, moment, view, id_)
    near = asking.nearest(id_, SHOWN, view) if count else []
    shown = near_tiles(moment, near)
    return Side(str(tree.names[node]), tree.ranks[int(tree.rank[node])], where, steps_to(moment, node), shown, count)


def _others(catalogue: Catalogue, moment: Moment, view: View, id_: str) -> int:
    rows = catalogue.rows(view, moment)
    return len(rows) - int((rows == catalogue.row_of(id_, moment)).any())
