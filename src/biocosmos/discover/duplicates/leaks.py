"""Groups of duplicates that a split tears apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Array = npt.NDArray[Any]
_SCHEMA = pa.schema(
    [
        ("part", pa.string()),
        ("specimens", pa.int64()),
        ("in_groups", pa.int64()),
        ("torn", pa.int64()),
        ("like_training", pa.int64()),
    ]
)


def leaks_of(group: Array, parts: Sequence[str | None], training: str) -> tuple[pa.Table, Array]:
    """What of each part is duplicated in another.

    group: (n,) int64, -1 for none; parts: (n,) the part of each row, None for none; training: the part that is learnt from.

    Returns (a row a part: specimens, how many are in a group, in a group that lies in several parts ("torn"), in a group that has
    a member in the training part; (n,) bool, rows of torn groups).
    """
    names = sorted({part for part in parts if part is not None})
    code = np.array([names.index(part) if part is not None else -1 for part in parts], np.int64)
    count = int(group.max(initial=-1)) + 1
    there = np.zeros((count, len(names)), bool)
    member = (group >= 0) & (code >= 0)
    there[group[member], code[member]] = True
    torn_group = there.sum(axis=1) > 1
    torn = np.zeros(len(group), bool)
    torn[member] = torn_group[group[member]]
    rows = []
    for i, name in enumerate(names):
        mine = code == i
        learnt = there[:, names.index(training)] if training in names and name != training else np.zeros(count, bool)
        like = int(learnt[group[mine & member]].sum())
        rows.append((name, int(mine.sum()), int((mine & member).sum()), int((mine & torn).sum()), like))
    columns = zip(*rows) if rows else [[] for _ in _SCHEMA]
    return pa.table([pa.array(list(c), f.type) for c, f in zip(columns, _SCHEMA)], schema=_SCHEMA), torn
