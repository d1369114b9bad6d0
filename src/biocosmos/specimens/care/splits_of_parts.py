"""Splits of collections that are merged: the parts of each name together."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.specimens.care.parts import Part
from biocosmos.specimens.splits import Split


def merged_splits(parts: Sequence[Part], notes: list[str]) -> list[Split]:
    """A split for each name that any part has: every specimen is where its own collection had put it.

    A specimen of several collections is where the first had put it. What a person must know goes into ``notes`` and those of the
    splits.
    """
    names = dict.fromkeys(name for part in parts for name in part.collection.split_names)
    return [_merged(name, parts, notes) for name in names]


def _merged(name: str, parts: Sequence[Part], notes: list[str]) -> Split:
    have = [(part, part.collection.split(name)) for part in parts if name in part.collection.split_names]
    ids = pa.concat_arrays([part.prefixed(split.ids.cast(pa.string())) for part, split in have])
    where = pa.concat_arrays([split.parts.cast(pa.string()) for _, split in have])
    first = pc.index_in(pc.unique(ids), value_set=ids)  # the earliest place of each
    elsewhere = len(ids) - len(first)
    moved = 0
    if elsewhere:
        kept_at = where.take(pc.index_in(ids, value_set=ids))
        moved = int(pc.sum(pc.not_equal(where, kept_at)).as_py() or 0)
    ids, where = ids.take(first), where.take(first)
    order = pc.sort_indices(ids)
    said = [f"merged from {', '.join(part.name for part, _ in have)}"]
    if moved:
        said.append(f"{moved:,} specimens were in another part of a later collection, and are where the first had put them")
    lacking = [part.name for part in parts if name not in part.collection.split_names]
    if lacking:
        said.append(f"the specimens of {', '.join(lacking)} belong to no part")
    notes += [f"split '{name}': {sentence}" for sentence in said]
    methods = {split.method for _, split in have}
    made = [{"hash": split.hash, "method": split.method, "seed": split.seed, "parameters": split.parameters} for _, split in have]
    return Split(
        name,
        methods.pop() if len(methods) == 1 else "column",
        have[0][1].seed,
        {**have[0][1].parameters, "merged": made},
        ids.take(order),
        where.take(order),
        tuple(dict.fromkeys([*(note for _, split in have for note in split.notes), *said])),
    )
