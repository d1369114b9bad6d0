"""More than one question a specimen: attributes as tasks, each with its classes, and which of them are true.

>>> attributes_of(collection, ["life_stage", "species_seen", "damage=torn+mouldy"], split="train")

A column of texts, whole numbers or yes and no is a task with exactly one of its values; a rank is such a column. A column of
lists is a set: any number of its values is true, as of several species in a tray. Columns of 0 and 1 are one task together, named
in the request (``damage=torn+mouldy``) or in what the collection says of itself (``defects``, of the reader of Sewer-ML).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.attribute_groups import Group, Groups, is_label_cell, parse_group

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

TRUE, FALSE, UNKNOWN = 1, 0, -1
"""What ``values`` hold."""
YES_NO = ("no", "yes")
"""The classes of a column of yes and no (booleans)."""
BLANK = "empty"
"""``detection`` of a picture in which nothing was found, as readers of camera traps keep it."""
MOST_CLASSES = 100_000
"""More classes than that are surely ids, not a task."""
MOST_CELLS = 4 << 30
"""Of one task, a byte each: what is held at once."""


@dataclass(frozen=True)
class Attribute:
    """One task. ``values``: (n, C) int8 of 1 true, 0 false and -1 not known; a specimen is known or not as a whole where exactly
    one class is true (``several`` false). A row of zeros is then a specimen whose value is none of the classes.
    """

    name: str
    classes: tuple[str, ...]
    several: bool
    values: npt.NDArray[np.int8]

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """(n,) whether anything is known of a specimen."""
        return np.asarray((self.values != UNKNOWN).any(axis=1))

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """(n,) number of the class that is true, -1 where none is known to be; of a task with exactly one."""
        if not self.classes:
            return np.full(len(self.values), -1, np.int64)
        return np.where((self.values == TRUE).any(axis=1), (self.values == TRUE).argmax(axis=1), -1).astype(np.int64)

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """(C,) specimens of which each class is true."""
        return np.asarray((self.values == TRUE).sum(axis=0), np.int64)

    def take(self, rows: Any) -> Attribute:
        """The same task of some rows: numbers or a mask."""
        return Attribute(self.name, self.classes, self.several, self.values[rows])


@dataclass(frozen=True)
class Attributes:
    """Tasks of the same specimens. ``ids``: (n,) object, in the order stored."""

    ids: npt.NDArray[np.object_]
    tasks: tuple[Attribute, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def task(self, name: str) -> Attribute:
        """The task of this name. Raises BiocosmosError where there is none."""
        for task in self.tasks:
            if task.name == name:
                return task
        raise BiocosmosError(f"there is no attribute '{name}': there are {', '.join(task.name for task in self.tasks)}")

    def take(self, rows: Any) -> Attributes:
        """The tasks of some rows: numbers or a mask."""
        return Attributes(self.ids[rows], tuple(task.take(rows) for task in self.tasks))


def attributes_of(
    collection: Collection,
    names: Sequence[str],
    *,
    split: str | None = None,
    where: str | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
    failures: Failures | None = None,
) -> Attributes:
    """The tasks ``names`` of the selected specimens; all of them, also those of which nothing is known.

    names: of columns, of groups the collection declares, or ``name=column+column`` for a group of columns of 0 and 1. split,
    where: as for :meth:`Collection.scan`. classes: task -> its classes in order, as a head learnt them; other values are none of
    the classes. failures: takes a warning for each cell of a group that is neither 0, 1, -1 nor empty and so is not known.

    Raises:
        BiocosmosError: no such column or group, a column that cannot be a task, two tasks of one name, and, without ``failures``,
            a cell of a group that is neither 0, 1, -1 nor empty.
    """
    groups = [_group(collection, name) for name in names]
    if not groups:
        raise BiocosmosError("which attributes? name columns of the collection, as in life_stage,sex")
    for group in groups:
        if sum(other.name == group.name for other in groups) > 1:
            raise BiocosmosError(f"the attribute '{group.name}' is asked for twice: once is enough")
    wanted = list(dict.fromkeys(["id", *(column for group in groups for column in group.columns), *_blank_columns(collection)]))
    table = collection.table(wanted, split=split, where=where)
    ids = np.array(table["id"].to_pylist(), object)
    given = dict(classes or {})
    tasks = []
    for group in groups:
        order = tuple(given[group.name]) if group.name in given else group.classes
        tasks.append(_task(table, group, order, ids, failures))
    return Attributes(ids, tuple(tasks))


def attribute_names(collection: Collection) -> list[str]:
    """What may be asked for: groups that the collection declares, and its columns that can be a task."""
    declared = collection.attribute_groups
    grouped = {column for group in declared.values() for column in group.columns}
    schema = collection.dataset.schema
    passed = {"id", "image_path", "image", "text", "barcode", "content_hash", *grouped, *declared}
    columns = [name for name in collection.stored_columns if name not in passed and _is_task(schema.field(name).type)]
    return [*declared, *columns]


def _group(collection: Collection, name: str) -> Group:
    """What a name that was asked for means. A declared group goes before a column of its name."""
    asked = parse_group(name)
    have = collection.stored_columns
    declared: Groups = collection.attribute_groups
    if asked is None:
        if name in declared:
            return declared[name]
        asked = Group(name, (name,), several=False)
    for column in asked.columns:
        if column not in have:
            near = ", ".join(attribute_names(collection)[:20]) or "none"
            raise BiocosmosError(f"{collection.path} has no column or group '{column}' to be an attribute: there are {near}")
    return asked


def _blank_columns(collection: Collection) -> list[str]:
    return [name for name in ("empty", "detection") if name in collection.stored_columns]


def _task(
    table: pa.Table, group: Group, order: tuple[str, ...] | None, ids: npt.NDArray[np.object_], failures: Failures | None
) -> Attribute:
    alone = len(group.columns) == 1
    if alone and _is_list(table.schema.field(group.columns[0]).type):
        return _of_lists(table[group.columns[0]].combine_chunks(), group.name, order, _blanks(table))
    if alone and not group.several:
        return _of_values(table[group.columns[0]].combine_chunks(), group.name, order)
    return _of_columns(table, group, order, ids, failures)


def _of_values(column: pa.Array, name: str, order: tuple[str, ...] | None) -> Attribute:
    texts = _texts(column, name)
    unknown = pc.is_null(texts).to_numpy(zero_copy_only=False)
    if pa.types.is_boolean(column.type) and order is None:
        order = YES_NO
    if order is None:
        order = _sorted(pc.unique(texts.drop_null()).to_pylist(), column.type)
    order = _checked(order, name, len(texts))
    place = pc.fill_null(pc.index_in(texts, value_set=pa.array(order, pa.string())), -1).to_numpy()
    values = np.zeros((len(texts), len(order)), np.int8)
    found = np.flatnonzero(place >= 0)
    values[found, place[found]] = TRUE
    values[unknown] = UNKNOWN
    return Attribute(name, order, False, values)


def _of_lists(column: pa.Array, name: str, order: tuple[str, ...] | None, blank: npt.NDArray[np.bool_]) -> Attribute:
    unknown = pc.is_null(column).to_numpy(zero_copy_only=False) & ~blank
    rows = pc.list_parent_indices(column).to_numpy().astype(np.int64)
    members = _texts(pc.list_flatten(column), name)
    if order is None:
        order = _sorted(pc.unique(members.drop_null()).to_pylist(), members.type)
    order = _checked(order, name, len(column))
    place = pc.fill_null(pc.index_in(members, value_set=pa.array(order, pa.string())), -1).to_numpy()
    values = np.zeros((len(column), len(order)), np.int8)
    values[rows[place >= 0], place[place >= 0]] = TRUE
    values[unknown] = UNKNOWN
    return Attribute(name, order, True, values)


def _of_columns(
    table: pa.Table, group: Group, order: tuple[str, ...] | None, ids: npt.NDArray[np.object_], failures: Failures | None
) -> Attribute:
    order = _checked(tuple(group.columns) if order is None else order, group.name, table.num_rows)
    values = np.full((table.num_rows, len(order)), UNKNOWN, np.int8)
    for i, column in enumerate(order):
        if column not in group.columns:
            continue  # a class that this collection has no column of: not known
        cells = table[column].combine_chunks()
        values[:, i], bad = cells_of(cells)
        for row in bad:
            reason = (
                f"the column '{column}' of the attribute '{group.name}' holds {_shown(cells[int(row)])}, neither 0, 1 nor empty"
            )
            if failures is None:
                raise BiocosmosError(f"{reason} (specimen '{ids[row]}'): correct it with 'biocosmos update'")
            failures.add(f"{reason}: not known", stage="attributes", id=str(ids[row]), severity="warning")
    return Attribute(group.name, order, True, values)


def cells_of(column: pa.Array) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """(n,) int8 of 1, 0 and -1 for cells of 0 and 1 of any type, and the rows (k,) whose cell is neither 0, 1, -1 nor empty."""
    encoded = column if pa.types.is_dictionary(column.type) else _plain(column).dictionary_encode()
    meanings, wrong = [], []
    for cell in encoded.dictionary.to_pylist():
        meaning = is_label_cell(cell)
        meanings.append(UNKNOWN if meaning is None else meaning)
        wrong.append(meaning is None)
    place = pc.fill_null(encoded.indices, len(meanings)).to_numpy()
    values = np.array([*meanings, UNKNOWN], np.int8)[place]
    bad = np.flatnonzero(np.array([*wrong, False], bool)[place])
    return values, bad.astype(np.int64)


def _plain(column: pa.Array) -> pa.Array:
    return column.cast(pa.string()) if pa.types.is_null(column.type) else column


def _texts(column: pa.Array, name: str) -> pa.Array:
    """The values as texts; blank ones and, of numbers, -1 are null. Raises BiocosmosError for a column that cannot be a task."""
    kind = column.type
    if not _is_task(kind) or _is_list(kind):
        what = "numbers with fractions" if pa.types.is_floating(kind) else str(kind)
        raise BiocosmosError(
            f"the column '{name}' holds {what}: an attribute is a column of texts, whole numbers, yes and no, or lists"
        )
    if pa.types.is_boolean(kind):
        return pc.if_else(column, YES_NO[1], YES_NO[0])
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), None, column)
        if not pc.all(pc.equal(pc.floor(column), column), min_count=0).as_py():
            raise BiocosmosError(f"the column '{name}' holds numbers with fractions: make a column of classes of it first")
        column = column.cast(pa.int64())
    if pa.types.is_integer(column.type):
        column = pc.if_else(pc.equal(column, -1), None, column)
    texts = column.cast(pa.string())
    return pc.if_else(pc.equal(pc.utf8_trim_whitespace(texts), ""), None, texts)


def _sorted(values: list[str], kind: pa.DataType) -> tuple[str, ...]:
    numbers = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return tuple(sorted(values, key=int if numbers else None))


def _checked(order: tuple[str, ...], name: str, specimens: int) -> tuple[str, ...]:
    if len(set(order)) != len(order):
        raise BiocosmosError(f"the classes of the attribute '{name}' repeat: name each once")
    if len(order) > MOST_CLASSES:
        raise BiocosmosError(f"the column '{name}' has {len(order):,} values: these are no classes of an attribute")
    if len(order) * specimens > MOST_CELLS:
        size = f"{len(order):,} classes of {specimens:,} specimens"
        raise BiocosmosError(f"the attribute '{name}' has {size}, more than are held at once: ask for a coarser rank, or a part")
    return order


def _blanks(table: pa.Table) -> npt.NDArray[np.bool_]:
    """(n,) pictures that are known to show nothing: a set of them that is null is empty, not unknown."""
    blank = np.zeros(table.num_rows, bool)
    if "empty" in table.column_names and pa.types.is_boolean(table["empty"].type):
        blank |= pc.fill_null(table["empty"], False).to_numpy()
    if "detection" in table.column_names and pa.types.is_string(table["detection"].type):
        blank |= pc.fill_null(pc.equal(table["detection"], BLANK), False).to_numpy()
    return blank


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _is_task(kind: pa.DataType) -> bool:
    if _is_list(kind):
        return _is_task(kind.value_type) and not _is_list(kind.value_type)
    types = pa.types
    checks = (types.is_string, types.is_large_string, types.is_integer, types.is_floating, types.is_boolean, types.is_null)
    return any(check(kind) for check in checks)


def _shown(cell: pa.Scalar) -> str:
    text = repr(cell.as_py())
    return text if len(text) <= 40 else f"{text[:40]}..."
