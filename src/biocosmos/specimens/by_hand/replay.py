"""What still stands of many rows, in the order in which they were said: without a loop over them.

Rows are numbers here, so that a server that holds millions in memory asks the same question as whoever reads the files.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
LAST = -1
"""In ``undoes``: takes back whatever stood last, as in files of the first format."""
NOBODY = -2
"""In ``undoes``: an act that is not there."""


def stands(stack: Array, act: Array, undoes: Array, withdrawn: Array) -> Mask:
    """(n,) whether each row names a specimen and was not taken back.

    stack: (n,) int64, one number for each pair of a specimen and a person; act, undoes: (n,) integers, ``undoes`` of withdrawn
    rows only (or LAST, NOBODY); withdrawn: (n,) bool. Rows are in the order in which they were said.

    A withdrawn row takes back one row of its act, the later first where an act says two things of a specimen. When it came does
    not matter, so clocks that disagree do no harm; only rows that take back "the last" follow the order.
    """
    withdrawn = np.asarray(withdrawn, bool)
    alive = ~withdrawn
    by_order = np.unique(stack[withdrawn & (undoes == LAST)])
    stepwise = np.isin(stack, by_order) if len(by_order) else np.zeros(len(stack), bool)
    named = np.flatnonzero(alive & ~stepwise)
    taken = np.flatnonzero(withdrawn & ~stepwise & (undoes >= 0))
    if len(named) and len(taken):
        width = np.int64(max(int(act.max()), int(undoes.max())) + 1)
        pairs = stack[named].astype(np.int64) * width + act[named]
        wanted, times = np.unique(stack[taken].astype(np.int64) * width + undoes[taken], return_counts=True)
        at = np.minimum(np.searchsorted(wanted, pairs), len(wanted) - 1)
        hit = np.flatnonzero(wanted[at] == pairs)
        if len(hit):
            alive[named[hit[_from_behind(pairs[hit]) < times[at[hit]]]]] = False
    if len(by_order):
        _step_by_step(np.flatnonzero(stepwise), stack, act, undoes, withdrawn, alive)
    return alive


def last_of(groups: Array) -> Array:
    """Places of the last of each group, ascending. groups: (n,) integers."""
    if not len(groups):
        return np.empty(0, np.int64)
    most = int(groups.max()) + 1
    if int(groups.min()) >= 0 and most < 8 * len(groups) + 4096:  # without sorting
        last = np.full(most, -1, np.int64)
        np.maximum.at(last, groups, np.arange(len(groups)))
        found = np.zeros(len(groups), bool)
        found[last[last >= 0]] = True
        return np.flatnonzero(found)
    _, last = np.unique(groups[::-1], return_index=True)
    return np.sort(len(groups) - 1 - last)


def _from_behind(groups: Array) -> Array:
    """(n,) how many of the same group stand behind each."""
    order = np.argsort(groups[::-1], kind="stable")
    ordered = groups[::-1][order]
    first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    place = np.arange(len(groups)) - np.repeat(first, np.diff(np.append(first, len(groups))))
    out = np.empty(len(groups), np.int64)
    out[len(groups) - 1 - order] = place
    return out


def _step_by_step(rows: Array, stack: Array, act: Array, undoes: Array, withdrawn: Array, alive: Mask) -> None:
    """The same, row by row, for stacks from which "the last" is taken."""
    standing: dict[int, list[int]] = {}
    early = Counter[tuple[int, int]]()
    for row in rows.tolist():
        mine, of = standing.setdefault(int(stack[row]), []), (int(stack[row]), int(act[row]))
        if not withdrawn[row]:
            if early[of]:  # taken back by a clock that was behind
                early[of] -= 1
                alive[row] = False
            else:
                mine.append(row)
        elif undoes[row] == LAST:
            if mine:
                alive[mine.pop()] = False
        elif undoes[row] >= 0:
            meant = next((each for each in reversed(mine) if act[each] == undoes[row]), None)
            if meant is None:
                early[of[0], int(undoes[row])] += 1
            else:
                mine.remove(meant)
                alive[meant] = False
