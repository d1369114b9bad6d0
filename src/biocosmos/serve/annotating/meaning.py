"""What a name means: a taxon that there is, or a new one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError, one_line
from biocosmos.serve.catalogue.taxa import resolve
from biocosmos.taxonomy import Taxonomy

LONGEST = 200


@dataclass(frozen=True)
class Meant:
    """A taxon by its name and rank. fresh: nobody named it before; node: in the tree, -1 for a fresh one."""

    taxon: str
    rank: str | None
    fresh: bool = False
    node: int = -1


def understood(tree: Taxonomy, ranks: Sequence[str], taxon: str, rank: str | None = None) -> Meant:
    """What a person means by a name or an address ("Copepoda", "class:Copepoda", "Animalia/Arthropoda") and, if told, its rank.

    ranks: of the collection, at which a new name may be. Raises BiocosmosError for a name that means no taxon, or several, and
    for a new one without a rank.
    """
    name = " ".join(str(taxon).split())
    if not name:
        raise BiocosmosError("no name is given: pick a taxon")
    if rank is not None and rank not in {*tree.ranks, *ranks}:
        raise BiocosmosError(f"there is no rank {rank[:40]!r}: the collection has {', '.join(ranks or tree.ranks)}")
    same = _called(tree, name, rank)
    if len(same) == 1:
        return _taxon(tree, int(same[0]))
    try:
        node = resolve(tree, name if rank is None or name.startswith(f"{rank}:") or "/" in name else f"{rank}:{name}")
    except BiocosmosError as error:
        if len(name) > LONGEST or one_line(name) != name:
            rule = f"at most {LONGEST} letters, none that cannot be printed"
            raise BiocosmosError(f"no name of a taxon: {name[:80]!r} ({rule})") from error
        if rank is None:
            raise BiocosmosError(f"{error}; a new name needs a rank") from error
        if rank not in (ranks or tree.ranks) or len(same) or bool(pc.any(pc.equal(tree.name_array, name)).as_py()):
            raise
        if name.partition(":")[0] in {*tree.ranks, *ranks}:
            raise BiocosmosError(f"{error}; a new name is given without the rank before it") from error
        if not any(letter.isalnum() for letter in name):
            raise BiocosmosError(f"no name of a taxon: {name!r} holds no letter") from error
        return Meant(name, rank, fresh=True)
    found = _taxon(tree, node)
    if rank is not None and found.rank != rank:
        raise BiocosmosError(f"{name} is of the rank {found.rank}, not {rank}: leave the rank out, or give another name")
    return found


def named_at(tree: Taxonomy, nodes: npt.NDArray[np.int32]) -> list[tuple[str | None, str | None]]:
    """(name, rank) of each node, (None, None) of the root."""
    each = {int(node): _taxon(tree, int(node)) for node in np.unique(nodes) if node > 0}
    return [(each[node].taxon, each[node].rank) if node in each else (None, None) for node in nodes.tolist()]


def _called(tree: Taxonomy, name: str, rank: str | None) -> npt.NDArray[np.int64]:
    found = np.flatnonzero(pc.equal(tree.name_array, name).to_numpy(zero_copy_only=False))
    found = found[found > 0]
    if rank is not None:
        return found[tree.rank[found] == tree.rank_index(rank)] if rank in tree.ranks else found[:0]
    return found[~tree.repeats[found]]


def _taxon(tree: Taxonomy, node: int) -> Meant:
    if node <= 0:
        raise BiocosmosError("that is all of life, and no name: pick a taxon below it")
    return Meant(str(tree.names[node]), str(tree.ranks[int(tree.rank[node])]), node=node)
