"""What is said of specimens beside their name: a probability for every class of every task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError

HALF = 0.5
"""The threshold of a class of which none was fixed."""


@dataclass(frozen=True)
class TaskPredictions:
    """One task.

    probabilities: (n, C) float64 in 0..1; rows sum to 1 where exactly one class is true, and are a sigmoid each where ``several``
    may be. thresholds: (C,) float64 that were fixed on validation specimens, or None: a class of a set is said where its
    probability is >= its threshold, :data:`HALF` without.
    """

    name: str
    classes: tuple[str, ...]
    several: bool
    probabilities: npt.NDArray[np.float64]
    thresholds: npt.NDArray[np.float64] | None = None

    @property
    def cuts(self) -> npt.NDArray[np.float64]:
        """(C,) the thresholds that hold."""
        return np.full(len(self.classes), HALF) if self.thresholds is None else self.thresholds

    @property
    def said(self) -> npt.NDArray[np.bool_]:
        """(n, C) the classes that are said: those at or above their threshold, or the likeliest one."""
        if self.several:
            return np.asarray(self.probabilities >= self.cuts)
        said = np.zeros(self.probabilities.shape, bool)
        if self.classes:
            said[np.arange(len(said)), self.probabilities.argmax(axis=1)] = True
        return said


@dataclass(frozen=True)
class AttributePredictions:
    """Tasks said of the same specimens. ``ids``: (n,) object."""

    ids: npt.NDArray[np.object_]
    tasks: tuple[TaskPredictions, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def task(self, name: str) -> TaskPredictions:
        """What is said for the task of this name. Raises BiocosmosError where there is none."""
        for task in self.tasks:
            if task.name == name:
                return task
        raise BiocosmosError(f"nothing is said of an attribute '{name}': there are {', '.join(task.name for task in self.tasks)}")

    @classmethod
    def concatenate(cls, parts: Sequence[AttributePredictions]) -> AttributePredictions:
        """Several blocks of the same tasks as one."""
        first = parts[0]
        tasks = []
        for i, task in enumerate(first.tasks):
            whole = np.concatenate([part.tasks[i].probabilities for part in parts])
            tasks.append(TaskPredictions(task.name, task.classes, task.several, whole, task.thresholds))
        return cls(np.concatenate([part.ids for part in parts]), tuple(tasks))
