"""Usages joined into a tree: every row's parent and accepted row, with what is wrong named: cycles, missing parents, ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.taxonomy.checklists.formats import MISAPPLIED, PRO_PARTE, RANK_PREFIX, ROOT_MARKS, SYNONYM, Usages
from biocosmos.taxonomy.ranks import KNOWN_RANKS

NONE = -1
NAMED = 3  # examples in one message
LEVEL = "level_{}"
STAGE = "checklist"

Int32 = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


@dataclass
class Joined:
    """A checklist as a tree.

    table: ``id``, ``name``, ``authorship``, ``rank``, ``status`` of every usage, then of higher taxa that only rank columns
    name. parent: (rows,) int32, -1 at a root and for synonyms. accepted: (rows,) int32, the accepted row, itself for one that
    is accepted, -1 where it is not there. ranks: that become columns, coarse to fine.
    """

    table: pa.Table
    parent: Int32
    accepted: Int32
    ranks: tuple[str, ...]
    format: str


def join(usages: Usages, failures: Failures) -> Joined:
    """Follow the pointers of ``usages``.

    What is wrong in a published checklist is told in ``failures`` and gone round (the taxon stands at the root). In a table of
    one's own it is refused: raises BiocosmosError that names the rows.
    """
    faults = _Faults(usages, failures)
    table = usages.table
    names, status = table["name"].combine_chunks(), table["status"].combine_chunks()
    faults.refuse("no name", pc.is_null(names).to_numpy(zero_copy_only=False))
    synonym = pc.is_in(status, value_set=pa.array([SYNONYM, PRO_PARTE, MISAPPLIED])).to_numpy(zero_copy_only=False)
    pointers = _Pointers(table, synonym, faults)
    accepted = _accepted(table, synonym, pointers, faults)
    parent = pointers.rows(table["parent_id"].combine_chunks())
    parent = np.where(parent == np.arange(len(parent)), NONE, parent).astype(np.int32)
    parent[synonym] = NONE
    parent = np.where(parent >= 0, accepted[parent], NONE).astype(np.int32)  # a parent that is a synonym stands for its taxon
    given = _given(table["parent_id"].combine_chunks()) & ~synonym
    flat = [name for name in table.column_names if name.startswith(RANK_PREFIX)]
    missing = given & (parent < 0) & (pointers.found(table["parent_id"].combine_chunks()) < 0)
    if not (flat and usages.lenient):
        faults.refuse("the parent {parent_id!r} is not in the table", missing)
    parent = _without_cycles(parent, faults)
    core = table.select(["id", "name", "authorship", "rank", "status"])
    ranked = _with_ranks(core, parent, synonym) if not usages.lenient else core
    if flat:
        ranked, parent, accepted = _hang_on_rank_columns(ranked, table.select(flat), parent, accepted, synonym)
    ranks = _ranks(ranked, parent, usages, faults)
    faults.tell()
    return Joined(ranked.combine_chunks(), parent, accepted, ranks, usages.format)


class _Faults:
    """What is wrong, gathered so that one message names a few rows and counts the others."""

    def __init__(self, usages: Usages, failures: Failures) -> None:
        self.usages, self.failures = usages, failures
        self.found: list[tuple[str, Int32]] = []

    def refuse(self, reason: str, which: Mask) -> None:
        """Note that ``reason`` holds of the rows ``which``; braces name a column of the row."""
        rows = np.flatnonzero(which).astype(np.int32)
        if len(rows):
            self.found.append((reason, rows))

    def tell(self) -> None:
        """Raise BiocosmosError for a table of one's own, add the rows to the failures of a published checklist."""
        if not self.found:
            return
        if not self.usages.lenient:
            reason, rows = self.found[0]
            shown = "; ".join(self._of_row(reason, int(row)) for row in rows[:NAMED])
            more = f" and {len(rows) - NAMED:,} more" if len(rows) > NAMED else ""
            raise BiocosmosError(f"{self.usages.source}: {shown}{more}: mend the table before it is joined")
        for reason, rows in self.found:
            for row in rows:
                self.failures.add(
                    self._said(reason, int(row)), stage=STAGE, source=self.usages.source, row=int(row) + 1, severity="warning"
                )

    def _said(self, reason: str, row: int) -> str:
        values = {name: self.usages.table[name][row].as_py() for name in self.usages.table.column_names if name in reason}
        return reason.format(**values)

    def _of_row(self, reason: str, row: int) -> str:
        name = self.usages.table["name"][row].as_py()
        return f"row {row + 1} ({name}): {self._said(reason, row)}"


def _given(ids: pa.Array) -> Mask:
    lower = pc.utf8_lower(pc.utf8_trim_whitespace(ids))
    root = pc.is_in(lower, value_set=pa.array(ROOT_MARKS))
    return np.asarray(pc.and_(pc.is_valid(ids), pc.invert(root)).to_numpy(zero_copy_only=False))


class _Pointers:
    """Finds rows by id, and by name in a table that points by names."""

    def __init__(self, table: pa.Table, synonym: Mask, faults: _Faults) -> None:
        ids, names = table["id"].combine_chunks(), table["name"].combine_chunks()
        has_ids = ids.null_count < len(ids)
        own = pc.coalesce(ids, names) if has_ids else names
        order = np.argsort(synonym, kind="stable")  # accepted rows first: they win over a synonym of the same id
        self._rows = order.astype(np.int32)
        self._own = own.take(pa.array(order))
        self._names = names.take(pa.array(order)) if has_ids else None
        taxa = own.filter(pa.array(~synonym))
        counts = pc.value_counts(taxa)
        twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        if len(twice):
            again = pc.is_in(own, value_set=twice).to_numpy(zero_copy_only=False) & ~synonym
            again &= ~pc.is_null(own).to_numpy(zero_copy_only=False)
            what = "the id {id!r} is there twice" if has_ids else "the name {name!r} is there twice, without an id"
            faults.refuse(what, again)

    def found(self, ids: pa.Array) -> Int32:
        """(n,) int32 rows, -1 where an id points nowhere."""
        place = pc.fill_null(pc.index_in(ids, value_set=self._own, skip_nulls=True), NONE).to_numpy(zero_copy_only=False)
        if self._names is not None and (place < 0).any():
            named = pc.fill_null(pc.index_in(ids, value_set=self._names, skip_nulls=True), NONE).to_numpy(zero_copy_only=False)
            place = np.where(place < 0, named, place)
        return np.where(place >= 0, self._rows[place], NONE).astype(np.int32)

    def rows(self, ids: pa.Array) -> Int32:
        """As :meth:`found`, -1 for what marks a root too."""
        return np.where(_given(ids), self.found(ids), NONE).astype(np.int32)


def _accepted(table: pa.Table, synonym: Mask, pointers: _Pointers, faults: _Faults) -> Int32:
    ids = table["accepted_id"].combine_chunks()
    target = pointers.rows(ids)
    own = np.arange(len(target), dtype=np.int32)
    accepted = np.where(synonym, target, own).astype(np.int32)
    leads_on = synonym & (target != own)  # one that names itself is told nowhere to go
    faults.refuse("the accepted name {accepted_id!r} is not in the table", synonym & (target < 0) & _given(ids))
    on = (accepted >= 0) & leads_on[accepted]
    for _ in range(len(own).bit_length()):  # a synonym of a synonym: each time twice as far
        if not on.any():
            return accepted
        accepted = np.where(accepted >= 0, accepted[accepted], NONE).astype(np.int32)
        on = (accepted >= 0) & leads_on[accepted]
    faults.refuse("is a synonym in a circle", on)
    accepted[on] = NONE
    return accepted


def _without_cycles(parent: Int32, faults: _Faults) -> Int32:
    far, steps = parent.copy(), 1
    while steps <= len(parent) and (far >= 0).any():
        far = np.where(far >= 0, far[far], NONE).astype(np.int32)
        steps *= 2
    endless = far >= 0
    if not endless.any():
        return parent
    on_cycle = np.zeros(len(parent), bool)
    on_cycle[far[endless]] = True  # after so many steps one is on the cycle; go round it once
    step = np.unique(far[endless])
    while not on_cycle[step := np.unique(parent[step])].all():
        on_cycle[step] = True
    faults.refuse("its parents lead back to itself (parent {parent_id!r})", on_cycle)
    return np.where(on_cycle, NONE, parent).astype(np.int32)


def depth_of(parent: Int32) -> Int32:
    """(rows,) int32 steps to the root; a root has 0. The tree has no cycle."""
    depth, above = np.zeros(len(parent), np.int32), parent.copy()
    while (above >= 0).any():
        depth += above >= 0
        above = np.where(above >= 0, parent[above], NONE).astype(np.int32)
    return depth


def _with_ranks(core: pa.Table, parent: Int32, synonym: Mask) -> pa.Table:
    """The table; where no row says its rank, the depth in the tree is the rank: level_1, level_2 ..."""
    if core["rank"].null_count < len(core):
        return core
    levels = pa.array([LEVEL.format(depth + 1) for depth in depth_of(parent)], pa.string())
    return core.set_column(core.schema.get_field_index("rank"), "rank", levels)


def _hang_on_rank_columns(
    core: pa.Table, flat: pa.Table, parent: Int32, accepted: Int32, synonym: Mask
) -> tuple[pa.Table, Int32, Int32]:
    """Parents from rank columns for taxa that no id leads up from; higher taxa that no row is become rows."""
    ranks = [rank for rank in KNOWN_RANKS if RANK_PREFIX + rank in flat.column_names]
    values = {rank: flat[RANK_PREFIX + rank].to_pylist() for rank in ranks}
    names, own_ranks = core["name"].to_pylist(), core["rank"].to_pylist()
    place = {rank: i for i, rank in enumerate(KNOWN_RANKS)}
    loose = np.flatnonzero((parent < 0) & ~synonym).tolist()
    above = dict.fromkeys(loose, NONE)
    at_rank: dict[str, list[int]] = {}
    for row in loose:
        at_rank.setdefault(own_ranks[row], []).append(row)
    # a taxon that hangs on ids already can still be the parent of one that does not
    known = {(own_ranks[row], names[row]): row for row in np.flatnonzero((parent >= 0) & ~synonym).tolist()}
    nodes: dict[tuple[int, str, str], int] = {}
    added: list[tuple[str, str]] = []
    parents = parent.tolist()
    for rank in ranks:
        for row in at_rank.get(rank, ()):
            nodes.setdefault((above[row], rank, names[row]), row)
        for row in loose:
            value = values[rank][row]
            own = place.get(own_ranks[row], len(place))
            if value is None or own <= place[rank] or value == names[row]:
                continue
            key = (above[row], rank, value)
            node = nodes.get(key)
            if node is None:
                node = known.get((rank, value))
                if node is None:
                    node = len(parents)
                    parents.append(above[row])
                    added.append((value, rank))
                nodes[key] = node
            if node != row:
                above[row] = node
    for row in loose:
        parents[row] = above[row]
    if added:
        new = pa.table(
            {
                "id": pa.nulls(len(added), pa.string()),
                "name": [name for name, _ in added],
                "authorship": pa.nulls(len(added), pa.string()),
                "rank": [rank for _, rank in added],
                "status": ["accepted"] * len(added),
            },
            schema=core.schema,
        )
        core = pa.concat_tables([core, new])
        accepted = np.concatenate([accepted, np.arange(len(accepted), len(accepted) + len(added), dtype=np.int32)])
    return core, np.asarray(parents, np.int32), accepted


def _ranks(core: pa.Table, parent: Int32, usages: Usages, faults: _Faults) -> tuple[str, ...]:
    """The ranks that become columns, coarse to fine; a taxon whose rank is not finer than its parent's is a fault."""
    codes = core["rank"].combine_chunks().dictionary_encode()
    words = codes.dictionary.to_pylist()
    code = pc.fill_null(codes.indices, NONE).to_numpy(zero_copy_only=False)
    order = ordered(words, _steps_between(code, parent)) if not usages.lenient else [r for r in KNOWN_RANKS if r in words]
    if order is None:
        order = [rank for rank in KNOWN_RANKS if rank in words]
    place = np.array([order.index(word) if word in order else NONE for word in [*words, None]], np.int32)[code]
    above = parent.copy()
    while (blank := (above >= 0) & (place[above] < 0)).any():
        above[blank] = parent[above[blank]]
    wrong = (place >= 0) & (above >= 0) & (place[above] >= place)
    wrong = wrong[: usages.table.num_rows]
    if wrong.any():
        faults.refuse("its rank {rank!r} does not stand below that of its parent", wrong)
    return tuple(order)


def _steps_between(code: Int32, parent: Int32) -> list[tuple[int, int]]:
    """Distinct (rank of the parent, rank of the child) pairs, the most frequent first."""
    child = np.flatnonzero((parent >= 0) & (code >= 0))
    pairs, counts = np.unique(np.stack([code[parent[child]], code[child]], 1), axis=0, return_counts=True)
    return [(int(a), int(b)) for a, b in pairs[np.argsort(-counts, kind="stable")] if a >= 0 and a != b]


def ordered(words: Sequence[str], steps: Sequence[tuple[int, int]]) -> list[str] | None:
    """Ranks coarse to fine: the known ones in their order, others where the tree has them. None where it contradicts itself."""
    known = [KNOWN_RANKS.index(word) if word in KNOWN_RANKS else None for word in words]
    below: dict[int, set[int]] = {i: set() for i in range(len(words))}
    for above, under in steps:
        if known[above] is None or known[under] is None:
            below[under].add(above)
    fixed = sorted((i for i, place in enumerate(known) if place is not None), key=lambda i: known[i] or 0)
    for one, other in pairwise(fixed):
        below[other].add(one)
    done: list[int] = []
    left = set(range(len(words)))
    while left:
        free = [i for i in left if below[i].isdisjoint(left)]
        if not free:
            return None
        first = min(free, key=lambda i: (known[i] if known[i] is not None else -1, i))
        done.append(first)
        left.remove(first)
    return [words[i] for i in done]
