"""Names of candidates that stay: "Oithona sp. BC-001" is the same group of specimens in every later run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from biocosmos.taxonomy import DARWIN_CORE, Taxonomy

PREFIX = "BC-"
NOWHERE = "Incertae sedis"
OVERLAP = 0.3
"""Share of all members of both that an earlier and a new group must have in common (Jaccard), to be the same candidate."""


def numbered_names(groups: Sequence[set[str]], earlier: Sequence[Mapping[str, str]]) -> list[str]:
    """ "BC-001" of each new group: that of the earlier candidate which shares most members, else the next that was never used.

    groups: ids of the members of each; earlier: id -> number of each earlier run, oldest first. A number goes to one group only,
    and the latest run decides what a number means.
    """
    used = [int(found[1]) for run in earlier for number in run.values() if (found := re.fullmatch(rf"{PREFIX}(\d+)", number))]
    known: dict[str, set[str]] = {}
    for run in earlier:
        latest: dict[str, set[str]] = {}
        for id_, number in run.items():
            latest.setdefault(number, set()).add(id_)
        known |= latest
    pairs = []
    for place, group in enumerate(groups):
        for number, members in known.items():
            both = len(group & members)
            if both and (overlap := both / len(group | members)) >= OVERLAP:
                pairs.append((-overlap, number, place))
    names: dict[int, str] = {}
    given: set[str] = set()
    for _, number, place in sorted(pairs):
        if place not in names and number not in given:
            names[place] = number
            given.add(number)
    following = max(used, default=0)
    out = []
    for place in range(len(groups)):
        if place not in names:
            following += 1
            names[place] = f"{PREFIX}{following:03d}"
        out.append(names[place])
    return out


def morphospecies(tree: Taxonomy, node: int, number: str) -> str:
    """ "Oithona sp. BC-001": of the deepest taxon at or above ``node`` whose rank is one of Darwin Core ("living" is no such
    taxon)."""
    while node > 0 and tree.ranks[int(tree.rank[node])] not in DARWIN_CORE:
        node = int(tree.parent[node])
    return f"{tree.names[node] if node > 0 else NOWHERE} sp. {number}"
