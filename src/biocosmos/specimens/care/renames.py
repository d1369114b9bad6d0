"""Names of taxa that change: what stands for the old one and the new one in a tree, and what a row's names become."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from biocosmos.errors import BiocosmosError
from biocosmos.taxonomy import KNOWN_RANKS, Taxonomy

GENUS = "genus"
LABEL = "label"
PATH, RANK = "/", ":"
LONGEST = 1000
"""Letters of a name."""

Path = tuple[str | None, ...]
"""The names of a row, a rank each, coarse to fine."""


@dataclass(frozen=True)
class Move:
    """One taxon becomes another.

    Attributes:
        old, new: their names; node: of the old one; rank: its index among the ranks.
        to_rank: index of the new one's rank; path: the names down to it; target: its node, -1 where it is new.
    """

    old: str
    new: str
    node: int
    rank: int
    to_rank: int
    path: Path
    target: int

    @property
    def merges(self) -> bool:
        """Whether the new one is there already."""
        return self.target >= 0


def move(tax: Taxonomy, old: str, new: str) -> Move:
    """What "old becomes new" means in a tree: a new name, a merger with a taxon that is there, a move below another.

    old, new: as :meth:`Taxonomy.find` takes names. A new name that no taxon has stands at the rank of the old one, below the same
    taxa; with a path before it, below these; with a rank, at that. Of several taxa of the new name, the one at the old one's rank
    is meant.
    Raises BiocosmosError where the old one is not found, the new one is ambiguous, or both are one.
    """
    node = tax.find(old)
    if node <= 0:
        raise BiocosmosError(f"'{old}' is the whole tree: name a taxon")
    found = move_of(tax, node, new)
    if found.target == node:
        raise BiocosmosError(f"'{found.old}' is called so already")
    return found


def move_of(tax: Taxonomy, node: int, new: str) -> Move:
    """:func:`move` of a node; where it is called so already, the target is the node itself."""
    rank, name = int(tax.rank[node]), str(tax.names[node])
    new = unicodedata.normalize("NFC", " ".join(new.split()))
    if len(new) > LONGEST or not new.isprintable():
        raise BiocosmosError(f"{new[:40]!r} is no name: it has letters that cannot be shown, or more than {LONGEST:,}")
    if not new:
        raise BiocosmosError(f"the new name of '{name}' is blank: to take names away, give an empty cell to 'update --clear'")
    target = _there(tax, new, node)
    own = tax.path(node)
    if target == 0:
        raise BiocosmosError(f"'{new}' is the whole tree: name a taxon")
    if target > 0:
        to_rank = int(tax.rank[target])
        return Move(name, str(tax.names[target]), node, rank, to_rank, tuple(tax.path(target)[: to_rank + 1]), target)
    above, last = _split(tax, new)
    to_rank = rank
    said, colon, rest = last.partition(RANK)
    if colon and said.strip() in tax.ranks and rest.strip():
        to_rank, last = tax.rank_index(said.strip()), rest.strip()
    elif colon and said.strip() in KNOWN_RANKS:
        raise BiocosmosError(f"'{new}': the collection has no rank {said.strip()}; it has {', '.join(tax.ranks)}")
    if above:
        parent = tax.find(above)
        if int(tax.rank[parent]) >= to_rank:
            where = f"the rank {tax.ranks[to_rank]} below '{above}', a {tax.ranks[tax.rank[parent]]}"
            raise BiocosmosError(f"'{last}' cannot stand at {where}")
        path = [*tax.path(parent)[: int(tax.rank[parent]) + 1]]
    else:
        path = own[: min(rank, to_rank)] if to_rank <= rank else own[: rank + 1]
    path = [*path, *[None] * (to_rank - len(path)), last]
    return Move(name, last, node, rank, to_rank, tuple(path), -1)


def _there(tax: Taxonomy, text: str, node: int) -> int:
    """The node that is called exactly so, -1 for none. Raises BiocosmosError for several, and for one that is spelt otherwise."""
    named = np.flatnonzero(tax.names == text)
    named = named[named > 0]
    if len(named) > 1:
        same = named[tax.rank[named] == tax.rank[node]]
        if len(same) == 1:
            return int(same[0])
    try:
        found = tax.find(text)
    except BiocosmosError:
        if len(named) or _several(tax, text):
            raise
        return -1
    last = text.split(PATH)[-1].strip() if not len(named) else text
    name = str(tax.names[found])
    if name in (text, last, last.partition(RANK)[2].strip()):
        return found
    return -1 if found == node else _misspelt(text, name)


def _misspelt(text: str, name: str) -> int:
    raise BiocosmosError(f"there is no taxon '{text}', but one '{name}': write it so, or choose another name")


def _several(tax: Taxonomy, text: str) -> bool:
    """Whether taxa of this name are there, and only which of them is open."""
    last = text.split(PATH)[-1].strip()
    said, colon, rest = last.partition(RANK)
    name = rest.strip() if colon and said.strip() in tax.ranks else last
    nodes = np.flatnonzero(tax.names == name)
    if colon:
        nodes = nodes[tax.rank[nodes] == tax.rank_index(said.strip())] if said.strip() in tax.ranks else nodes[:0]
    return PATH not in text and len(nodes) > 1


def _split(tax: Taxonomy, text: str) -> tuple[str, str]:
    """("what stands above", "the name") of a path whose last part is new; a slash that is no path is part of the name."""
    above, slash, last = text.rpartition(PATH)
    if not slash or not last.strip() or not above.strip():
        return "", text
    first = above.split(PATH)[0].strip().partition(RANK)[2].strip() or above.split(PATH)[0].strip()
    if not len(np.flatnonzero(tax.names == first)):
        return "", text
    return above.strip(), last.strip()


@dataclass
class Renaming:
    """Moves of taxa of one tree, carried out together: each looks at the names as they were before all of them.

    Attributes:
        moves: node -> what it becomes.
        followed: names below a genus that begin with its old name and follow it, old -> new.
    """

    tax: Taxonomy
    moves: Mapping[int, Move]
    followed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._label_at = self.tax.ranks.index(LABEL) if LABEL in self.tax.ranks else None

    def become(self, node: int, label: str | None) -> tuple[Path, str | None]:
        """The names and the label of a row of this node, once all moves are made. Raises BiocosmosError where one would overwrite
        finer names that the row has."""
        path: list[str | None] = list(self.tax.path(node))
        if self._label_at is not None:
            path[self._label_at] = label
        lineage: list[int] = self.tax.lineage(np.array([node]))[0].tolist()
        if node == 0:
            return self._nowhere(path, label)
        for i in range(len(path) - 1, -1, -1):  # fine to coarse: what a merger brings along is itself renamed above
            found = self.moves.get(lineage[i]) if lineage[i] > 0 else None
            if found is None:
                continue
            label = self._carry_out(found, path, label)
            if found.merges:
                lineage[: found.to_rank] = self.tax.lineage(np.array([found.target]))[0].tolist()[: found.to_rank]
        if self._label_at is not None:
            label = path[self._label_at]
        return tuple(path), label

    def _nowhere(self, path: list[str | None], label: str | None) -> tuple[Path, str | None]:
        """A row without a place in the tree, whose label alone says what it is, where only one taxon can be meant."""
        meant = [each for each in self.moves.values() if each.old == label]
        if len(meant) != 1 or len(np.flatnonzero(self.tax.names == label)) > 1 or self._label_at is not None:
            return tuple(path), label
        found = meant[0]
        if found.merges:
            path[: found.to_rank + 1] = found.path
        return tuple(path), found.new

    def _carry_out(self, found: Move, path: list[str | None], label: str | None) -> str | None:
        """One move on a row's names, in place; returns the label."""
        for i in range(found.rank + 1, found.to_rank + 1):
            if path[i] is not None and path[i] != found.path[i] and path[i] != found.old:
                raise BiocosmosError(
                    f"'{found.new}' is a {self.tax.ranks[found.to_rank]}, and specimens of '{found.old}' have finer names "
                    f"already ('{path[i]}'): relabel those, or choose with --where"
                )
        if self._label_at is not None:
            label = path[self._label_at]
        path[: found.to_rank + 1] = found.path
        for i in range(found.to_rank + 1, found.rank + 1):
            path[i] = None
        finest = max(found.rank, found.to_rank)
        for i in range(finest + 1, len(path)):
            path[i] = self._follow(found, path[i])
        label = self._follow(found, label)
        if self._label_at is not None and self._label_at > found.to_rank:
            path[self._label_at] = label  # at a coarser rank, too, the label is the new name
        return label

    def _follow(self, found: Move, name: str | None) -> str | None:
        """A name below the taxon: the same as its old one, or a binomial of the old genus, becomes the new."""
        if name == found.old:
            return found.new
        genus = self.tax.ranks[found.rank] == GENUS == self.tax.ranks[found.to_rank]
        if name is None or not genus or not name.startswith(f"{found.old} "):
            return name
        self.followed[name] = found.new + name[len(found.old) :]
        return self.followed[name]


def distinct_moves(moves: Sequence[Move]) -> dict[int, Move]:
    """By node. Raises BiocosmosError where one taxon is to become two."""
    found: dict[int, Move] = {}
    for each in moves:
        other = found.setdefault(each.node, each)
        if (other.path, other.to_rank) != (each.path, each.to_rank):
            raise BiocosmosError(f"'{each.old}' is to become both '{other.new}' and '{each.new}': choose one, or split it by ids")
    return found
