"""One order of ranks for a collection whose sources name different ones."""

from __future__ import annotations

from biocosmos.errors import BiocosmosError
from biocosmos.taxonomy import KNOWN_RANKS


def merge_orders(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """One order of ranks, coarse to fine, that holds both; a new rank goes where :data:`KNOWN_RANKS` or its neighbours say.

    Raises BiocosmosError when the two contradict each other.
    """
    known = {rank: i for i, rank in enumerate(KNOWN_RANKS)}
    merged = list(first or second)
    for i, rank in enumerate(second):
        if rank in merged:
            continue
        above = [merged.index(r) for r in second[:i] if r in merged]
        below = [merged.index(r) for r in second[i + 1 :] if r in merged]
        low, high = max(above, default=-1) + 1, min(below, default=len(merged))
        finer = (j for j in range(low, high) if rank in known and known.get(merged[j], -1) > known[rank])
        merged.insert(next(finer, max(low, high)), rank)
    for order in (first, second):
        places = [merged.index(rank) for rank in order]
        if places != sorted(places):
            raise BiocosmosError(f"ranks {', '.join(second)} do not fit the collection's order {', '.join(first)}: give --ranks")
    return tuple(merged)
