"""What a version of the collection says of its specimens, as arrays in the order in which they are stored."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError
from biocosmos.serve.catalogue import days
from biocosmos.serve.catalogue.distinct import Distinct
from biocosmos.serve.catalogue.label_states import label_states, needed
from biocosmos.serve.catalogue.words import fold_all
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.damage import reading
from biocosmos.specimens.records import EMBEDDING_PREFIX
from biocosmos.taxonomy import Taxonomy

BATCH = 1 << 16
BLANK = ""
"""What null and blank are as the value of a column."""
T = TypeVar("T")
Int32 = npt.NDArray[np.int32]


class Kept:
    """Answers kept by key, the longest unused forgotten first; several threads may ask at once, and one of them computes."""

    def __init__(self, room: int) -> None:
        self._room, self._kept = room, OrderedDict[Hashable, Any]()
        self._lock, self._busy = threading.Lock(), dict[Hashable, threading.Lock]()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is kept under ``key``, made if it is not."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]  # type: ignore[no-any-return]
            mine = self._busy.setdefault(key, threading.Lock())
        with mine:
            with self._lock:
                if key in self._kept:
                    return self._kept[key]  # type: ignore[no-any-return]
            try:
                made = make()
                with self._lock:
                    self._kept[key] = made
                    while len(self._kept) > self._room:
                        self._kept.popitem(last=False)
            finally:
                with self._lock:
                    self._busy.pop(key, None)
        return made


@dataclass(frozen=True)
class Column:
    """A stored column as codes: codes (n,) int32 into ``values``, which are texts, sorted; :data:`BLANK` is null and blank."""

    codes: Int32
    values: pa.Array

    def code(self, value: str) -> int:
        """Code of a value, -1 where no specimen has it."""
        return int(pc.index(self.values, pa.scalar(value, self.values.type)).as_py())


@dataclass(frozen=True)
class Stored:
    """The specimens of one version. Rows are places in the order of storage; n specimens.

    Attributes: dataset: this version, open; ids: (n,) Arrow strings; taxonomy: of the stored names, None where there is none;
    nodes: (n,) int32 into it, 0 for no name; states: (n,) uint8 of the labels, codes as in ``view.STATES``; latitude, longitude:
    (n,) float32, NaN where not told;
    masks, orders: of filters and sorts that no name changes.
    """

    dataset: lance.LanceDataset
    ids: pa.StringArray
    taxonomy: Taxonomy | None
    nodes: Int32
    states: npt.NDArray[np.uint8]
    latitude: npt.NDArray[np.float32]
    longitude: npt.NDArray[np.float32]
    masks: Kept = field(default_factory=lambda: Kept(48))
    orders: Kept = field(default_factory=lambda: Kept(6))
    _kept: Kept = field(default_factory=lambda: Kept(24))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def days(self) -> tuple[Int32, Int32]:
        """(n,) first and (n,) last day that each date says, ``days.NONE`` where it says none; read when first asked for."""
        return self._kept.get("days", lambda: _spans(self.dataset))

    @property
    def placed(self) -> bool:
        """Whether any specimen has a place, a date or a depth."""
        return bool(np.isfinite(self.latitude).any()) or self._kept.get("placed", lambda: _placed(self.dataset))

    @property
    def depths(self) -> npt.NDArray[np.float32]:
        """(n,) metres below the surface, the middle of the least and the greatest one, NaN where not told; read when first asked
        for."""
        return self._kept.get("depths", lambda: _depths(self.dataset))

    @property
    def columns(self) -> list[str]:
        """Columns that can be asked for a value."""
        return [each.name for each in self.dataset.schema if _is_plain(each)]

    def column(self, name: str) -> Column:
        """A stored column as codes, read when first asked for. Raises BiocosmosError where there is no such of plain values."""
        if name not in self.columns:
            raise BiocosmosError(f"specimens have no column '{name[:80]}' to select by: they have {', '.join(self.columns)}")
        return self._kept.get(("column", name), lambda: _encoded(self.dataset, name))

    def of_tree(self, tree: Taxonomy, what: str, make: Callable[[], T]) -> T:
        """Something that is worked out once for these specimens and a tree of their names."""
        return self._kept.get((what, tree), make)

    @property
    def id_order(self) -> Int32:
        """(n,) rows sorted by id (by the bytes of UTF-8)."""
        return self._kept.get("id order", lambda: pc.sort_indices(self.ids).to_numpy().astype(np.int32))

    @property
    def folded_ids(self) -> pa.Array:
        """(n,) ids fit for a search that ignores accents and case."""
        return self._kept.get("folded ids", lambda: fold_all(self.ids))

    def rows_of_ids(self, ids: Sequence[str] | pa.Array) -> Int32:
        """(m,) row of each id, -1 where no specimen has it; a few are looked up in the sorted ids, many at once by hashing."""
        asked = ids if isinstance(ids, pa.Array) else pa.array([str(each) for each in ids], pa.string())
        if not len(asked) or not len(self):
            return np.full(len(asked), -1, np.int32)
        if len(asked) * 40 > len(self):
            distinct = pc.unique(asked).drop_null()  # the smaller side is hashed
            which = pc.fill_null(pc.index_in(self.ids, value_set=distinct), -1).to_numpy(zero_copy_only=False)
            there = np.flatnonzero(which >= 0)
            places = np.full(len(distinct) + 1, -1, np.int32)
            places[which[there]] = there
            found = pc.fill_null(pc.index_in(asked, value_set=distinct), -1)
            return np.asarray(places[found.to_numpy(zero_copy_only=False)])
        order, texts = self.id_order, _Bytes(self.ids)
        rows = np.full(len(asked), -1, np.int32)
        for i, id_ in enumerate(asked.to_pylist()):
            if id_ is not None:
                rows[i] = _find(texts, order, id_.encode())
        return rows

    def table(self, rows: npt.ArrayLike, columns: Sequence[str]) -> pa.Table:
        """Stored cells of these rows, in their order."""
        rows = np.asarray(rows, np.int64)
        if not len(rows):
            return pa.schema([self.dataset.schema.field(name) for name in columns]).empty_table()
        with reading(self.dataset.uri):
            return self.dataset.take(pa.array(rows), columns=list(columns))


class _Bytes:
    """The bytes of each of an array of strings, without a scalar of Arrow in between."""

    def __init__(self, texts: pa.StringArray) -> None:
        _, offsets, data = texts.buffers()
        self._ends = np.frombuffer(offsets, np.int32)[texts.offset :]
        self._data = memoryview(data) if data is not None else memoryview(b"")

    def __getitem__(self, row: int) -> bytes:
        return bytes(self._data[self._ends[row] : self._ends[row + 1]])


def _find(texts: _Bytes, order: Int32, wanted: bytes) -> int:
    low, high = 0, len(order)
    while low < high:
        middle = (low + high) // 2
        if texts[order[middle]] < wanted:
            low = middle + 1
        else:
            high = middle
    return int(order[low]) if low < len(order) and texts[order[low]] == wanted else -1


def _is_plain(column: pa.Field) -> bool:
    types, kind = pa.types, column.type
    nested = types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
    return not nested and not column.name.startswith(EMBEDDING_PREFIX)


def _encoded(dataset: lance.LanceDataset, name: str) -> Column:
    chunks = []
    for batch in dataset.to_batches(columns=[name], batch_size=BATCH):
        texts = pc.fill_null(pc.cast(batch.column(0), pa.string()), BLANK)
        chunks.append(pc.utf8_trim_whitespace(texts).dictionary_encode())
    whole = pa.chunked_array(chunks, pa.dictionary(pa.int32(), pa.string())).unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # no chunk at all
        return Column(np.empty(0, np.int32), pa.array([], pa.string()))
    order = pc.sort_indices(whole.dictionary).to_numpy()
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return Column(place[whole.indices.to_numpy(zero_copy_only=False)], whole.dictionary.take(pa.array(order)))


def load(collection: Collection) -> Stored:
    """Read what is resident, in one pass over the columns it needs; rows that say the same are told apart once."""
    collection.reload()
    dataset, ranks = collection.dataset, collection.ranks
    there = set(dataset.schema.names)
    plain = [name for name in ("id", "latitude", "longitude") if name in there]
    coded = [*ranks, *(name for name in needed(there) if name not in ranks)]
    ids, latitude, longitude, said = [pa.array([], pa.string())], [_none(0)], [_none(0)], Distinct(coded)
    with reading(collection.path):
        for batch in dataset.to_batches(columns=[*plain, *coded], batch_size=BATCH):
            ids.append(pc.cast(batch.column("id"), pa.string()))
            latitude.append(_degrees(batch, "latitude", 90))
            longitude.append(_degrees(batch, "longitude", 180))
            said.add(batch)
    table, codes = said.finish()
    taxonomy = Taxonomy.from_table(table, ranks=ranks) if ranks else None
    nodes = np.zeros(table.num_rows, np.int32) if taxonomy is None else np.maximum(taxonomy.index(table), 0)
    states, nodes = label_states(table, ranks, nodes, taxonomy)
    if not coded:
        codes, nodes, states = np.zeros(len(codes), np.int32), np.zeros(1, np.int32), np.zeros(1, np.uint8)
    whole = pa.concat_arrays(ids)
    return Stored(dataset, whole, taxonomy, nodes[codes], states[codes], np.concatenate(latitude), np.concatenate(longitude))


def _none(count: int) -> npt.NDArray[np.float32]:
    return np.full(count, np.nan, np.float32)


def _degrees(batch: pa.RecordBatch, name: str, limit: int) -> npt.NDArray[np.float32]:
    if name not in batch.schema.names:
        return _none(batch.num_rows)
    values = pc.cast(batch.column(name), pa.float64(), safe=False)
    degrees = np.asarray(pc.fill_null(values, np.nan).to_numpy(zero_copy_only=False), np.float32)
    return np.where(np.abs(degrees) <= limit, degrees, np.float32(np.nan))


def _placed(dataset: lance.LanceDataset) -> bool:
    there = [name for name in ("date", "depth_min", "depth_max") if name in dataset.schema.names]
    return bool(there) and dataset.count_rows(filter=" OR ".join(f"{name} IS NOT NULL" for name in there)) > 0


def _depths(dataset: lance.LanceDataset) -> npt.NDArray[np.float32]:
    there = [name for name in ("depth_min", "depth_max") if name in dataset.schema.names]
    if not there:
        return _none(dataset.count_rows())
    found = [_none(0)]
    for batch in dataset.to_batches(columns=there, batch_size=BATCH):
        both = np.stack([_numbers(batch.column(name)) for name in (there[0], there[-1])])
        both = np.where(np.isfinite(both), both, both[::-1])
        found.append(both.mean(axis=0))
    return np.concatenate(found)


def _numbers(column: pa.Array) -> npt.NDArray[np.float32]:
    if not pa.types.is_floating(column.type) and not pa.types.is_integer(column.type):
        return _none(len(column))
    values = pc.fill_null(pc.cast(column, pa.float64(), safe=False), np.nan).to_numpy(zero_copy_only=False)
    return np.asarray(values, np.float32)


def _spans(dataset: lance.LanceDataset) -> tuple[Int32, Int32]:
    none = np.empty(0, np.int32)
    if "date" not in dataset.schema.names:
        none = np.full(dataset.count_rows(), days.NONE, np.int32)
        return none, none
    known: dict[str, tuple[int, int]] = {}
    spans = [(none, none)]
    for batch in dataset.to_batches(columns=["date"], batch_size=BATCH):
        spans.append(days.spans_of(pc.cast(batch.column(0), pa.string()), known))
    first, last = (np.concatenate(each) for each in zip(*spans))
    return first, last
