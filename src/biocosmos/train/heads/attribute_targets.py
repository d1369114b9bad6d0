"""What attribute heads learn: the tasks, their classes, and which of them are true of each training specimen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.identify.attribute_columns import check_attribute_names
from biocosmos.nn.attributes import TaskShape
from biocosmos.settings import names_in
from biocosmos.specimens.attribute_groups import parse_group
from biocosmos.specimens.attributes import TRUE, UNKNOWN, Attribute, Attributes, attributes_of
from biocosmos.specimens.collection import Collection
from biocosmos.tables import replacing
from biocosmos.train.heads.attribute_settings import OF_ATTRIBUTES
from biocosmos.train.heads.settings import HeadSettings

MOST_CLASSES = 20_000
"""Of all tasks together."""


@dataclass(frozen=True)
class AttributeTargets:
    """Targets of the specimens of one part.

    ids: (n,) object; tasks: with values (n, C_t), see :class:`biocosmos.specimens.attributes.Attribute`; asked: how each task was
    asked for, "damage=torn+mouldy"; ranks: names of those that are ranks; facts: what was left out and why, JSON-ready.
    """

    ids: npt.NDArray[np.object_]
    tasks: tuple[Attribute, ...]
    asked: tuple[str, ...]
    ranks: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def values(self) -> npt.NDArray[np.int8]:
        """(n, C) of all tasks side by side."""
        return np.concatenate([task.values for task in self.tasks], axis=1)

    @property
    def shapes(self) -> tuple[TaskShape, ...]:
        """The tasks as heads take them."""
        return tuple(TaskShape(task.name, len(task.classes), task.several) for task in self.tasks)

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """(n,) whether something is known of any task."""
        return np.asarray(np.any([_labelled(task) for task in self.tasks], axis=0))

    def take(self, rows: Any) -> AttributeTargets:
        """The same tasks of some rows: numbers or a mask."""
        return AttributeTargets(self.ids[rows], tuple(task.take(rows) for task in self.tasks), self.asked, self.ranks, self.facts)

    def of(self, ids: Sequence[Any] | npt.NDArray[np.object_]) -> AttributeTargets:
        """The same tasks of these specimens in their order; nothing is known of one that is not here."""
        place = {str(id_): row for row, id_ in enumerate(self.ids)}
        rows = np.array([place.get(str(id_), -1) for id_ in ids], np.int64)
        tasks = []
        for task in self.tasks:
            values = np.where((rows >= 0)[:, None], task.values[np.maximum(rows, 0)], np.int8(UNKNOWN)).astype(np.int8)
            tasks.append(Attribute(task.name, task.classes, task.several, values))
        return AttributeTargets(np.array(list(map(str, ids)), object), tuple(tasks), self.asked, self.ranks, self.facts)


def attribute_targets(collection: Collection, settings: HeadSettings, failures: Failures) -> AttributeTargets:
    """The tasks of the settings' training part, sorted by id; specimens of which no task knows anything are not in it.

    A task with one value teaches nothing: it is dropped, with a warning in ``failures``. Raises BiocosmosError where no task is
    left, for a column that is none, and for a name that a column of answers has.
    """
    ranks = names_in(settings.ranks) if settings.head in OF_ATTRIBUTES else ()
    asked = (*ranks, *names_in(settings.attributes))
    _check_names(asked, () if settings.head in OF_ATTRIBUTES else names_in(settings.ranks) or collection.ranks)
    where = settings.where or None
    found = attributes_of(collection, asked, split=settings.split, where=where, failures=failures)
    tasks, kept, dropped = [], [], {}
    for name, task in zip(asked, found.tasks, strict=True):
        if (why := _teaches_nothing(task)) is None:
            tasks.append(task)
            kept.append(name)
        else:
            dropped[task.name] = why
    if not tasks:
        told = "; ".join(f"'{name}' {why}" for name, why in dropped.items())
        raise BiocosmosError(f"nothing can be learnt from the training part '{settings.split}': the attribute {told}")
    for name, why in dropped.items():
        failures.add(
            f"the attribute '{name}' {why} in part '{settings.split}': it is left out", stage="train", severity="warning"
        )
    if (classes := sum(len(task.classes) for task in tasks)) > MOST_CLASSES:
        largest = max(tasks, key=lambda task: len(task.classes))
        raise BiocosmosError(
            f"the attributes have {classes:,} classes, '{largest.name}' {len(largest.classes):,}: leave that out"
        )
    whole = AttributeTargets(found.ids, tuple(tasks), tuple(kept), tuple(rank for rank in ranks if rank in kept))
    order = np.argsort(found.ids.astype(str), kind="stable")
    learnt = whole.take(order[whole.known[order]])
    facts = {
        "tasks": [
            {
                "name": task.name,
                "classes": len(task.classes),
                "several": task.several,
                "specimens": int(_labelled(task).sum()),
            }
            for task in learnt.tasks
        ],
        "dropped": dropped,
        "left_out": {"unlabelled": len(found.ids) - len(learnt)},
    }
    return AttributeTargets(learnt.ids, learnt.tasks, learnt.asked, learnt.ranks, facts)


def attributes_alike(collection: Collection, targets: AttributeTargets, part: str, where: str = "") -> AttributeTargets:
    """The same tasks, with the same classes, of another part of the collection."""
    classes = {task.name: task.classes for task in targets.tasks}
    failures = Failures()  # told when the part was trained on, or by whoever asks the collection
    found: Attributes = attributes_of(
        collection, targets.asked, split=part, where=where or None, classes=classes, failures=failures
    )
    return AttributeTargets(found.ids, found.tasks, targets.asked, targets.ranks)


def save_attribute_labels(path: Path, targets: AttributeTargets) -> None:
    """Id and labels of every training specimen, as Parquet, for people: a class, or a list of them, null if nothing is known."""
    columns: dict[str, Any] = {"id": pa.array(targets.ids, pa.string())}
    for task in targets.tasks:
        names = np.array(task.classes, object)
        labelled = _labelled(task)
        if task.several:
            lists = [list(names[row == TRUE]) if known else None for row, known in zip(task.values, labelled)]
            columns[task.name] = pa.array(lists, pa.list_(pa.string()))
        else:
            own = task.targets
            columns[task.name] = pa.array(names[np.maximum(own, 0)], pa.string(), mask=own < 0)
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def _labelled(task: Attribute) -> npt.NDArray[np.bool_]:
    """(n,) whether a specimen teaches something: of a task with one true class it must be among the classes."""
    return task.known if task.several else task.targets >= 0


def _teaches_nothing(task: Attribute) -> str | None:
    """Why, or None."""
    if not _labelled(task).any():
        return "has no value"
    if task.several:
        varies = ((task.values == TRUE).any(0) & (task.values == 0).any(0)).any()
        return None if varies else "is the same for all specimens"
    if len(task.classes) == 1:
        return f"has one value only ({task.classes[0]})"
    return "has another value for each specimen" if len(task.classes) == int(_labelled(task).sum()) else None


def _check_names(asked: Sequence[str], ranks: Sequence[str]) -> None:
    groups = [(parse_group(name), name) for name in asked]
    names = [name if group is None else group.name for group, name in groups]
    check_attribute_names(names, ranks)
