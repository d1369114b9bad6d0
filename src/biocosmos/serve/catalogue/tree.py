"""The tree at the left: what is below a taxon, with counts under the view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biocosmos.serve.catalogue.state import Moment
from biocosmos.serve.catalogue.taxa import address

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Branch:
    """A taxon right below another. taxon: its address, as a view takes it; count: specimens at and below it under the view;
    own: of these, those that are called nothing finer."""

    node: int
    name: str
    rank: str
    count: int
    has_children: bool
    taxon: str
    own: int


def branches(moment: Moment, node: int, counts: Int64) -> list[Branch]:
    """The taxa right below ``node`` that have specimens, by rank and name.

    counts: (nodes,) specimens at and below each. A rank that a path lacks is skipped; a label that repeats the taxon above it is
    no branch of its own.
    """
    tree = moment.taxonomy
    shown = (counts > 0) & ~tree.repeats
    below = tree.children(node)
    below = below[shown[below]]
    fertile = np.zeros(len(tree), bool)
    fertile[tree.parent[np.flatnonzero(shown)[1:] if shown[0] else np.flatnonzero(shown)]] = True
    found = []
    for child in below.tolist():
        finer = counts[[each for each in tree.children(child).tolist() if shown[each]]].sum() if fertile[child] else 0
        rank = tree.ranks[tree.rank[child]]
        own = int(counts[child]) - int(finer)
        name = str(tree.names[child])
        found.append(Branch(child, name, rank, int(counts[child]), bool(fertile[child]), address(tree, child), own))
    return found


def way_to(moment: Moment, node: int) -> list[int]:
    """The nodes from below the root to ``node``, itself included: those to open so that it is seen."""
    way = []
    while node > 0:
        way.append(node)
        node = int(moment.taxonomy.parent[node])
    return way[::-1]
