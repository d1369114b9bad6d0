"""What is said of attributes as columns: of predictions, where they travel, and of the table of answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.identify.answers import RESERVED
from biocosmos.identify.attributes import AttributePredictions, TaskPredictions

PROBABILITIES = "attribute probabilities"
"""Column of predictions: (n, C) float32, those of all tasks side by side."""


@dataclass(frozen=True)
class AskedTask:
    """A question that a head in a folder answers. thresholds: (C,) fixed on validation specimens, where several classes may be
    true, or None; rank: it is a rank of the taxonomy; asked: as it was asked of the collection, "damage=torn+mouldy"."""

    name: str
    classes: tuple[str, ...]
    several: bool
    thresholds: tuple[float, ...] | None = None
    rank: bool = False
    asked: str = ""


def predictions_of(
    ids: npt.NDArray[np.object_], tasks: Sequence[AskedTask], probabilities: npt.NDArray[np.float32]
) -> AttributePredictions:
    """probabilities: (n, C) of all tasks side by side."""
    parts = np.split(probabilities.astype(np.float64), np.cumsum([len(task.classes) for task in tasks])[:-1], axis=1)
    return AttributePredictions(
        ids,
        tuple(
            TaskPredictions(
                task.name, task.classes, task.several, part, None if task.thresholds is None else np.array(task.thresholds)
            )
            for task, part in zip(tasks, parts, strict=True)
        ),
    )


def answer_columns(said: AttributePredictions) -> dict[str, pa.Array]:
    """``<attribute>`` and ``<attribute> confidence`` of each task: the likeliest class and its probability, or, where several may
    be true, lists of those that are said and of theirs, the likeliest first."""
    columns: dict[str, pa.Array] = {}
    for task in said.tasks:
        name, confidence = task.name, confidence_column(task.name)
        if task.several:
            columns[name], columns[confidence] = _sets(task)
            continue
        best = task.probabilities.argmax(axis=1)
        columns[name] = pa.array(task.classes, pa.string()).take(pa.array(best))
        columns[confidence] = pa.array(task.probabilities[np.arange(len(best)), best], pa.float64())
    return columns


def confidence_column(name: str) -> str:
    """The column beside an attribute. Not ``<name>_confidence``: by that, ranks are known in tables of answers."""
    return f"{name} confidence"


def packed(probabilities: npt.NDArray[np.float32]) -> pa.Array:
    """(n, C) as a column of fixed-size lists."""
    return pa.FixedSizeListArray.from_arrays(pa.array(probabilities.ravel(), pa.float32()), probabilities.shape[1])


def unpacked(column: pa.ChunkedArray | pa.Array, classes: int) -> npt.NDArray[np.float32]:
    """A column of :func:`packed` as (n, C) float32."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in chunks]
    return np.concatenate([np.empty(0, np.float32), *parts]).reshape(-1, classes)


def check_attribute_names(names: Sequence[str], ranks: Sequence[str] = ()) -> None:
    """Refuse attributes that would have the column of something else in a table of answers."""
    taken = {*RESERVED, *ranks, *(f"{rank}_confidence" for rank in ranks), PROBABILITIES}
    for name in names:
        if name in taken or confidence_column(name) in names:
            raise BiocosmosError(
                f"the attribute '{name}' has the name of a column of the answer: rename it, as in my_{name}={name}"
            )


def _sets(task: TaskPredictions) -> tuple[pa.Array, pa.Array]:
    likeliest = np.argsort(-task.probabilities, axis=1, kind="stable")
    rows = np.arange(len(likeliest))[:, None]
    said = task.said[rows, likeliest]
    offsets = pa.array(np.concatenate([[0], np.cumsum(said.sum(axis=1))]).astype(np.int32))
    names = pa.array(task.classes, pa.string()).take(pa.array(likeliest[said]))
    shares = pa.array(task.probabilities[rows, likeliest][said], pa.float64())
    return pa.ListArray.from_arrays(offsets, names), pa.ListArray.from_arrays(offsets, shares)
