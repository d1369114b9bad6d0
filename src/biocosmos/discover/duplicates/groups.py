"""Groups of duplicates: every member is linked to the one that stands for the group.

Connected components would chain: of a slow pan each frame is like the next, and the first and the last are not alike. So a
group is a star. Rows with the same bytes are one to begin with; then, the row with most links first, each that is in no group
yet stands for a group and takes all of its neighbours that are in none. With equal numbers of links the lower row stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.discover.duplicates.linking import IDENTICAL, Links

Array = npt.NDArray[Any]
ALONE = -1


@dataclass(frozen=True, eq=False)
class Groups:
    """Which row is in which group.

    group: (n,) int64, numbered by their first row, -1 for a row that is in none; stands: (n,) bool, the one that stands for its
    group; kinds: (n,) the kinds by which a row is linked to that one; alike: (n,) float64 how much by the surest kind, NaN for a
    row in no group, 1 for the one that stands.
    """

    group: Array
    stands: Array
    kinds: list[tuple[str, ...]]
    alike: Array

    @property
    def count(self) -> int:
        """How many groups."""
        return int(self.group.max(initial=ALONE)) + 1


def grouped(rows: int, links: Sequence[Links], prefer: Array | None = None) -> Groups:
    """The groups of ``rows`` specimens.

    prefer: (rows,) numbers; among copies with the same bytes, and rows with as many links, the greatest stands (the larger
    picture, say); default the first row.
    """
    worth = np.zeros(rows) if prefer is None else np.asarray(prefer, np.float64)
    lead = _copies(rows, [link for link in links if link.kind == IDENTICAL], worth)
    near, alike, kind = _neighbours(rows, lead, [link for link in links if link.kind != IDENTICAL])
    starts = np.searchsorted(near[:, 0], np.arange(rows + 1))
    owner = np.full(rows, ALONE, np.int64)
    copies = np.bincount(lead, minlength=rows)
    found: list[set[str]] = [set() for _ in range(rows)]
    how = np.full(rows, np.nan)
    degree = np.diff(starts)
    for row in np.lexsort((np.arange(rows), -worth, -degree)):
        if lead[row] != row or owner[row] != ALONE or (not degree[row] and copies[row] < 2):
            continue
        owner[row] = row
        for place in range(starts[row], starts[row + 1]):
            other = near[place, 1]
            if owner[other] in (ALONE, row) and other != row:
                owner[other] = row
                found[other].add(kind[place])
                how[other] = np.fmax(how[other], alike[place])
    taken = owner[lead]
    copy = (lead != np.arange(rows)) & (taken != ALONE)
    for row in np.flatnonzero(copy):
        found[row] |= {IDENTICAL} if taken[row] == lead[row] else found[lead[row]]
        how[row] = 1.0 if taken[row] == lead[row] else how[lead[row]]
    sizes = np.bincount(taken[taken != ALONE], minlength=rows)
    taken[(taken != ALONE) & (sizes[np.maximum(taken, 0)] < 2)] = ALONE
    stands = taken == np.arange(rows)
    how[stands] = 1.0
    how[taken == ALONE] = np.nan
    return Groups(_numbered(taken), stands, [tuple(sorted(kinds)) for kinds in found], how)


def _copies(rows: int, links: Sequence[Links], worth: Array) -> Array:
    """(rows,) the row that stands for the same bytes: itself where there is no other."""
    lead = np.arange(rows)
    for link in links:
        lead[link.second] = link.first  # a star: the first is nobody's second
    best = np.lexsort((-np.arange(rows), worth))
    chosen = np.empty(rows, np.int64)
    chosen[lead[best]] = best  # the last one written is the worthiest
    return chosen[lead]


def _neighbours(rows: int, lead: Array, links: Sequence[Links]) -> tuple[Array, Array, list[str]]:
    """((m, 2) row and its neighbour, both ways, sorted; (m,) how alike; (m,) kind), copies taken for the one that stands."""
    if not links:
        return np.empty((0, 2), np.int64), np.empty(0), []
    first, second = (lead[np.concatenate([getattr(link, side) for link in links])] for side in ("first", "second"))
    alike = np.concatenate([link.alike for link in links])
    which = np.repeat(np.arange(len(links)), [len(link) for link in links])
    apart = first != second
    pairs = np.concatenate([np.stack([first, second], 1)[apart], np.stack([second, first], 1)[apart]])
    alike, which = np.tile(alike[apart], 2), np.tile(which[apart], 2)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return pairs[order], alike[order], [links[i].kind for i in which[order]]


def _numbered(owner: Array) -> Array:
    """Groups numbered by their first row."""
    group = np.full(len(owner), ALONE, np.int64)
    members = np.flatnonzero(owner != ALONE)
    _, first, codes = np.unique(owner[members], return_index=True, return_inverse=True)
    place = np.empty(len(first), np.int64)
    place[np.argsort(first, kind="stable")] = np.arange(len(first))
    group[members] = place[codes.reshape(-1)]
    return group
