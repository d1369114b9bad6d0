"""The tree of taxa as integer arrays in depth-first order.

Because a taxon's descendants are one range of ids, "is below", "all below" and "sum below" are comparisons and slices.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.tables import replacing
from biocosmos.taxonomy.columns import (
    ABSENT,
    NULL,
    RANKS_KEY,
    RANKS_SEPARATOR,
    as_table,
    choose_ranks,
    codes_in,
    distinct_rows,
    encode,
)
from biocosmos.taxonomy.names import find_name, find_names
from biocosmos.taxonomy.numbering import ROOT, UNKNOWN, last_named, number
from biocosmos.taxonomy.rollup import RollUp, RollUpPlan

ROOT_NAME = "Life"
LABEL = "label"
NODE_COLUMNS = ("node", "parent", "rank", "name")

Int16 = npt.NDArray[np.int16]
Int32 = npt.NDArray[np.int32]


class Taxonomy:
    """An immutable tree of taxa, integer-coded; make one with :meth:`from_table`.

    Node ids are int32 in depth-first pre-order, 0 is the root ("Life"); the descendants-or-self of v are the ids
    ``v <= id < tax.end[v]``. Children are ordered by (rank, name). Homonyms under different parents are different nodes; a
    rank that is null is skipped, so a parent is the nearest ancestor that has a name. In every array of ids, -1 stands for
    "no such node", and goes through every method as -1.

    Attributes (numpy, read-only): ``ranks`` tuple of str, coarsest first; ``parent`` int32 (nodes,), -1 for the root;
    ``rank`` int8 (nodes,), index into ranks, -1 for the root; ``end`` int32 (nodes,); ``depth`` int16 (nodes,), root 0.

    >>> tax = Taxonomy.from_table({"class": ["Copepoda", "Copepoda"], "genus": ["Calanus", None]})
    >>> len(tax), tax.path(tax.find("Calanus"))
    (3, ['Copepoda', 'Calanus'])
    """

    def __init__(self, ranks: Sequence[str], paths: Int32, vocabulary: Sequence[pa.Array]) -> None:
        """ranks: names, coarsest first; paths: (rows, ranks) int32 places in the rank's vocabulary, -1 null;
        vocabulary: per rank, its distinct names sorted. Users call :meth:`from_table`."""
        self.ranks: tuple[str, ...] = tuple(ranks)
        self._lineage, self._code = number(paths)
        self._vocabulary: list[pa.Array] = list(vocabulary)
        nodes = np.arange(len(self._lineage), dtype=np.int32)
        self.rank: npt.NDArray[np.int8] = last_named(self._lineage)
        above = np.where(self._lineage == nodes[:, None], UNKNOWN, self._lineage)
        self.parent: Int32 = above.max(axis=1, initial=UNKNOWN).astype(np.int32)
        self.parent[(self.parent == UNKNOWN) & (nodes > ROOT)] = ROOT
        self.depth: Int16 = (self._lineage >= 0).sum(axis=1, dtype=np.int16)
        size = np.bincount(self._lineage[self._lineage >= 0], minlength=len(nodes))
        size[ROOT] = len(nodes)
        self.end: Int32 = (nodes + size).astype(np.int32)
        for array in (self.parent, self.rank, self.depth, self.end, self._lineage, self._code):
            array.setflags(write=False)

    # ---- making one --------------------------------------------------------------------------------------------------

    @classmethod
    def from_table(cls, table: Any, ranks: Sequence[str] | None = None) -> Taxonomy:
        """The tree of all paths in a table's rank columns.

        table: pyarrow Table or RecordBatch, pandas DataFrame, or dict of columns; other columns are ignored, rows may
        repeat. ranks: columns, coarsest first; default those among KNOWN_RANKS that the table has. Names are composed
        (Unicode NFC) and their white space normalised, never case-folded; blank is null.
        Raises BiocosmosError when there is no rank column, one is missing, or one holds no text.
        """
        table = as_table(table, ranks)
        ranks = choose_ranks(table, ranks)
        if reserved := [rank for rank in ranks if rank in NODE_COLUMNS]:
            raise BiocosmosError(
                f"a rank cannot be named {reserved[0]!r} ({', '.join(NODE_COLUMNS)} are taken): rename the column"
            )
        vocabulary, codes = [], np.empty((table.num_rows, len(ranks)), np.int32)
        for i, rank in enumerate(ranks):
            names, places = encode(table.column(rank), rank)
            order = pc.sort_indices(names).to_numpy()
            position = np.empty(len(order) + 1, np.int32)
            position[order] = np.arange(len(order), dtype=np.int32)
            position[-1] = NULL
            vocabulary.append(names.take(pa.array(order)))
            codes[:, i] = position[places]
        return cls(ranks, distinct_rows(codes), vocabulary)

    @classmethod
    def load(cls, path: str | Path) -> Taxonomy:
        """Read a tree that :meth:`save` wrote."""
        import pyarrow.parquet as pq

        try:
            return cls.from_table(pq.read_table(path))
        except (OSError, pa.ArrowInvalid) as error:
            raise BiocosmosError(f"cannot read a taxonomy from {path}: {' '.join(str(error).split())}") from error

    def save(self, path: str | Path) -> Path:
        """Write :meth:`to_table` as Parquet, whole or not at all."""
        import pyarrow.parquet as pq

        with replacing(path) as temporary:
            pq.write_table(self.to_table(), temporary, compression="zstd")
        return Path(path)

    def to_table(self) -> pa.Table:
        """One row per node in id order: node int32, parent int32, rank (null for the root), name, then a column per rank.

        ``Taxonomy.from_table(tax.to_table())`` is the same tree.
        """
        ids = np.arange(len(self), dtype=np.int32)
        rank_names = pa.array([*self.ranks, None], pa.string()).take(pa.array(self.rank.astype(np.int64) % (len(self.ranks) + 1)))
        columns = {"node": pa.array(ids), "parent": pa.array(self.parent), "rank": rank_names, "name": self.name_array}
        table = pa.table(columns)
        for name, column in zip(self.ranks, self.rank_table(ids).columns, strict=True):
            table = table.append_column(name, column)
        return table.replace_schema_metadata({RANKS_KEY: RANKS_SEPARATOR.join(self.ranks).encode()})

    # ---- the tree as a whole -----------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.parent)

    def __repr__(self) -> str:
        return f"Taxonomy({len(self) - 1:,} taxa, {len(self.leaves):,} leaves, ranks {', '.join(self.ranks)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Taxonomy) and self.digest == other.digest

    def __reduce__(self) -> tuple[Any, ...]:  # rebuilt when unpickled, so that its arrays stay read-only
        paths = np.where(self._lineage >= 0, self._code[self._lineage], np.int32(NULL))
        return Taxonomy, (self.ranks, paths, self._vocabulary)

    def __hash__(self) -> int:
        return hash(self.digest)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of ranks, shape and names: equal trees have equal digests on every machine."""
        digest = hashlib.sha256(RANKS_SEPARATOR.join(self.ranks).encode())
        digest.update(self.parent.astype("<i4").tobytes() + self.rank.tobytes())
        digest.update("\n".join(self.name_array.to_pylist()).encode())  # clean names hold no line break
        return digest.hexdigest()

    @cached_property
    def names(self) -> npt.NDArray[np.object_]:
        """(nodes,) names as Python str, read-only; index it with any array of ids >= 0."""
        names = self.name_array.to_numpy(zero_copy_only=False)
        names.setflags(write=False)
        return np.asarray(names)

    @cached_property
    def leaves(self) -> Int32:
        """Ids of the nodes with nothing below them, ascending; the root is never one."""
        ids = np.flatnonzero(self.end == np.arange(1, len(self) + 1)).astype(np.int32)
        return _frozen(ids[ids > ROOT])

    @cached_property
    def repeats(self) -> npt.NDArray[np.bool_]:
        """(nodes,) whether a node is the label of the taxon right above it, of the same name: the annotator's class where the
        source gives its ranks too. It is a node for whoever asks for labels, and no second taxon."""
        labels = np.zeros(len(self), bool)
        if LABEL in self.ranks:
            at = np.flatnonzero(self.rank == self.rank_index(LABEL))
            above = self.name_array.take(pa.array(self.parent[at]))
            labels[at] = pc.equal(self.name_array.take(pa.array(at)), above).to_numpy(zero_copy_only=False)
        labels.setflags(write=False)
        return labels

    @cached_property
    def name_array(self) -> pa.Array:
        """(nodes,) names as pa.string()."""
        offsets = np.cumsum([0, *map(len, self._vocabulary)])
        places = offsets[self.rank] + self._code
        places[ROOT] = offsets[-1]
        return pa.concat_arrays([*self._vocabulary, pa.array([ROOT_NAME])]).take(pa.array(places))

    @cached_property
    def folded_names(self) -> pa.Array:
        """(nodes,) names in lower case, for a search that ignores case."""
        return pc.utf8_lower(self.name_array)

    @cached_property
    def _by_rank(self) -> tuple[Int32, ...]:
        return tuple(_frozen(np.flatnonzero(self.rank == i).astype(np.int32)) for i in range(len(self.ranks)))

    @cached_property
    def _child_keys(self) -> tuple[npt.NDArray[np.int64], Int32]:
        """Sorted keys (parent, rank, name) and the nodes they belong to: a path is found one binary search per rank."""
        keys = self._key(self.parent[1:], self.rank[1:], self._code[1:])
        order = np.argsort(keys, kind="stable")
        return keys[order], (order + 1).astype(np.int32)

    def _key(self, parent: Any, rank: Any, code: Any) -> npt.NDArray[np.int64]:
        offsets = np.cumsum([0, *map(len, self._vocabulary)])
        return np.asarray(np.asarray(parent, np.int64) * offsets[-1] + offsets[rank] + code)

    # ---- rows and names to nodes -------------------------------------------------------------------------------------

    def index(self, table: Any) -> Int32:
        """The deepest node of each row by its rank columns: (rows,) int32, 0 where all ranks are null, -1 where the row's
        path is not in this tree. A rank column that the table lacks is null everywhere."""
        table = as_table(table, self.ranks)
        current = np.zeros(table.num_rows, np.int32)
        keys, nodes = self._child_keys
        for i, rank in enumerate(self.ranks):
            if rank not in table.column_names:
                continue
            names, places = encode(table.column(rank), rank)
            codes = np.append(codes_in(names, self._vocabulary[i]), np.int32(NULL))[places]
            rows = np.flatnonzero((codes != NULL) & (current >= 0))
            wanted = pa.array(self._key(current[rows], i, codes[rows])).dictionary_encode()  # few distinct: few searches
            distinct = wanted.dictionary.to_numpy()
            at = np.searchsorted(keys, distinct)
            hit = np.append(keys, UNKNOWN)[at] == distinct
            found = np.where(hit, np.append(nodes, UNKNOWN)[at], UNKNOWN)[wanted.indices.to_numpy()]
            current[rows] = np.where(codes[rows] == ABSENT, UNKNOWN, found)
        return current

    def find(self, name: str) -> int:
        """The node called ``name``: "Copepoda", "class:Copepoda" or a path that ends in it, "Animalia/Arthropoda/Copepoda"
        (ranks may be left out of a path, and a part may carry its rank). Letter case counts unless one taxon alone fits
        without it. Raises BiocosmosError with close matches when there is none, and with the candidates when several are."""
        return find_name(self, name)

    def find_all(self, names: Iterable[str], failures: Failures | None = None, *, stage: str = "taxa") -> Int32:
        """:meth:`find` for a list: (names,) int32. A name that is unknown or ambiguous becomes -1 and a row of ``failures``;
        without ``failures`` it raises."""
        return find_names(self, list(names), failures, stage)

    # ---- vectorised questions ----------------------------------------------------------------------------------------

    def rank_index(self, rank: str | int) -> int:
        """Index of a rank given by name or index. Raises BiocosmosError for one this tree does not have."""
        if isinstance(rank, str) and rank in self.ranks:
            return self.ranks.index(rank)
        if not isinstance(rank, str) and 0 <= rank < len(self.ranks):
            return int(rank)
        raise BiocosmosError(f"no rank {rank!r} in this taxonomy: its ranks are {', '.join(self.ranks)}")

    def lineage(self, ids: npt.ArrayLike) -> Int32:
        """ids (...,) -> (..., ranks) int32: the node at every rank on the path to each, itself included; -1 where null."""
        ids = np.asarray(ids)
        return np.where((ids >= 0)[..., None], self._lineage[ids], np.int32(UNKNOWN))

    def ancestor(self, ids: npt.ArrayLike, rank: str | int) -> Int32:
        """ids (...,) -> (...,) int32: the node at ``rank`` on the path to each, itself included; -1 where there is none."""
        ids = np.asarray(ids)
        return np.where(ids >= 0, self._lineage[:, self.rank_index(rank)][ids], np.int32(UNKNOWN))

    def is_ancestor(self, a: npt.ArrayLike, b: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """True where ``a`` is ``b`` or an ancestor of it; shapes broadcast; False for -1."""
        a, b = np.asarray(a), np.asarray(b)
        return np.asarray((a >= 0) & (a <= b) & (b < self.end[a]))

    def lowest_common(self, a: npt.ArrayLike, b: npt.ArrayLike) -> Int32:
        """The deepest node that is an ancestor-or-self of both; shapes broadcast; int32, -1 where either is -1.

        Of many nodes it is that of the smallest and the largest id: ``tax.lowest_common(ids.min(1), ids.max(1))``.
        """
        a, b = np.broadcast_arrays(np.asarray(a), np.asarray(b))
        common = np.full(a.shape, ROOT, np.int32)
        for i in range(len(self.ranks)):
            node = self._lineage[:, i]
            shared = (node[a] == node[b]) & (node[a] >= 0)
            common = np.where(shared, node[a], common)
        return np.where((a >= 0) & (b >= 0), common, np.int32(UNKNOWN))

    def distance(self, a: npt.ArrayLike, b: npt.ArrayLike) -> Int32:
        """Edges of the tree between ``a`` and ``b``; shapes broadcast; int32, -1 where either is -1."""
        a, b = np.asarray(a), np.asarray(b)
        common = self.lowest_common(a, b)
        depth = self.depth.astype(np.int32)
        return np.where(common >= 0, depth[a] + depth[b] - 2 * depth[common], np.int32(UNKNOWN))

    def at_rank(self, rank: str | int) -> Int32:
        """Ids of all taxa of a rank, ascending."""
        return self._by_rank[self.rank_index(rank)]

    def children(self, node: int) -> Int32:
        """Ids of the nodes directly below, ascending, which is by (rank, name)."""
        below = self.slice(node)
        return np.asarray(np.flatnonzero(self.parent[below] == node) + below.start, np.int32)

    def homonyms(self) -> Int32:
        """Ids of the taxa whose rank and name another taxon has too, together by name: true homonyms under different
        parents, or one taxon whose rows disagree on (or lack) a coarser rank."""
        _, group, count = np.unique(self._key(0, self.rank[1:], self._code[1:]), return_inverse=True, return_counts=True)
        ids = np.flatnonzero(count[group] > 1)
        return np.asarray(ids[np.argsort(group[ids], kind="stable")] + 1, np.int32)

    def count(self, ids: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """How many of ``ids`` (any shape, -1 ignored) are at or below each node: (nodes,) int64."""
        ids = np.asarray(ids).ravel()
        upto = np.concatenate([[0], np.cumsum(np.bincount(ids[ids >= 0], minlength=len(self)))])
        return np.asarray(upto[self.end] - upto[:-1], np.int64)

    def slice(self, node: int) -> slice:
        """The ids of a node and all its descendants as a slice."""
        return slice(int(node), int(self.end[self._checked(node)]))

    def name(self, ids: npt.ArrayLike) -> Any:
        """Name of one id (str), or names of an array of ids (object array); None for -1."""
        ids = np.asarray(ids)
        names = self.names[ids]
        if ids.ndim == 0:
            return names if ids >= 0 else None
        names[ids < 0] = None
        return names

    def path(self, node: int) -> list[str | None]:
        """The name at every rank on the way to a node, None where null or below it."""
        return [None if at < 0 else str(self.names[at]) for at in self._lineage[self._checked(node)]]

    def path_text(self, node: int, between: str = "/") -> str:
        """The names on the way to a node, as one text: "Animalia/Arthropoda"."""
        return between.join(name for name in self.path(node) if name is not None)

    def rank_table(self, ids: npt.ArrayLike) -> pa.Table:
        """ids (n,) -> a table of n rows with a string column per rank: the inverse of :meth:`index`; -1 gives nulls."""
        lineage = self.lineage(np.asarray(ids).ravel())
        columns = []
        for i, vocabulary in enumerate(self._vocabulary):
            at = lineage[:, i]
            columns.append(vocabulary.take(pa.array(self._code[at], mask=at < 0)))
        return pa.Table.from_arrays(columns, names=list(self.ranks))

    # ---- scores ------------------------------------------------------------------------------------------------------

    def roll_up(self, scores: Any, rank: str | int, nodes: npt.ArrayLike | None = None) -> RollUp:
        """Sum scores into the taxa of a rank: ``scores, taxa = tax.roll_up(scores, "genus")``.

        scores: (queries, columns) numpy or torch; nodes: (columns,) id of each column, in any order, leaves or inner nodes;
        default all leaves or all nodes, by the number of columns. Returns a :class:`RollUp`: scores (queries, taxa) of the
        same kind, taxa (taxa,) int32, and ``.unplaced`` (queries,), the sum of the columns without a taxon at this rank.
        """
        plan = RollUpPlan(self, self._columns(scores, nodes), [rank])
        return plan(scores)[self.ranks[self.rank_index(rank)]]

    def roll_up_all(
        self, scores: Any, ranks: Iterable[str | int] | None = None, nodes: npt.ArrayLike | None = None
    ) -> dict[str, RollUp]:
        """:meth:`roll_up` to several ranks (default all), reading the scores once: rank name -> RollUp."""
        return RollUpPlan(self, self._columns(scores, nodes), list(self.ranks if ranks is None else ranks))(scores)

    def roll_up_chunks(
        self, chunks: Iterable[Any], ranks: Iterable[str | int] | None = None, nodes: npt.ArrayLike | None = None
    ) -> Iterator[dict[str, RollUp]]:
        """:meth:`roll_up_all` for chunk after chunk of queries, in constant memory: planned once, each chunk read once."""
        ranks, plan = list(self.ranks if ranks is None else ranks), None
        for chunk in chunks:
            plan = plan or RollUpPlan(self, self._columns(chunk, nodes), ranks)
            yield plan(chunk)

    def _columns(self, scores: Any, nodes: npt.ArrayLike | None) -> npt.ArrayLike:
        if nodes is not None:
            return nodes
        width = scores.shape[-1]
        if width == len(self.leaves):
            return self.leaves
        if width == len(self):
            return np.arange(len(self), dtype=np.int32)
        raise BiocosmosError(
            f"scores have {width} columns, the taxonomy has {len(self.leaves)} leaves and {len(self)} nodes: "
            "say which node each column is (nodes=...)"
        )

    def _checked(self, node: int) -> int:
        if not 0 <= node < len(self):
            raise BiocosmosError(f"no node {node} in this taxonomy of {len(self)} nodes")
        return int(node)


def _frozen(ids: Int32) -> Int32:
    ids.setflags(write=False)
    return ids
