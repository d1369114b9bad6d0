"""How much a class matters: weights from a table, for any domain.

    class,weight                 class,weight,attribute
    Agrilus planipennis,10       larva,3,life_stage
    *,1                          torn,1,damage

What a miss of the class costs, a red-list category as a number, the priority of a pest: only ratios matter. ``*`` is every
class that has no row of its own. ``attribute``, where the table has it, says of which task.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.files import is_there

BUILT_IN = {"sewer-ml": "sewer_ml.csv"}
"""Names of tables that come with the package: class-importance weights of Sewer-ML."""
CLASS = ("class", "name", "label", "taxon", "species", "code")
WEIGHT = ("weight", "importance", "ciw", "cost")
TASK = ("attribute", "task")
REST = "*"
SHOWN = 5
LARGE = 1e100


@dataclass(frozen=True)
class Importance:
    """Weights by task ("" for any) and class, as a table says them. source: what the table is called."""

    source: str
    weights: Mapping[tuple[str, str], float] = field(default_factory=dict)

    def of(self, task: str, classes: Sequence[str]) -> npt.NDArray[np.float64] | None:
        """(C,) weights of a task, None where the table says nothing of it.

        Raises BiocosmosError where some of its classes have a weight and others none, or all weigh nothing.
        """
        found = [self._weight(task, name) for name in classes]
        own = [name for name in classes if self._row(task, name) is not None]
        if not own and not any(name == task for name, _ in self.weights):
            return None
        lacking = [name for name, weight in zip(classes, found) if weight is None]
        if lacking:
            what = f"{_shown(lacking)} of the attribute '{task}'"
            raise BiocosmosError(f"{self.source} has no weight for {what}: add rows, or one of the class '{REST}' for all others")
        weights = np.array(found, np.float64)
        if weights.max(initial=0.0) > LARGE:  # only ratios matter, and their sum has to be a number
            weights = weights / weights.max()
        if not weights.sum() > 0:
            raise BiocosmosError(f"{self.source} gives every class of the attribute '{task}' the weight 0: give one of them more")
        return weights

    def unknown(self, tasks: Mapping[str, Sequence[str]]) -> list[str]:
        """The classes of the table that no task has, as "task: class" where it says a task; ``*`` of a task that is not there."""
        found = []
        for task, name in self.weights:
            of = [task] if task else list(tasks)
            there = any(name in tasks.get(each, ()) for each in of) if name != REST else not task or task in tasks
            if not there:
                found.append(f"{task}: {name}" if task else name)
        return found

    def _row(self, task: str, name: str) -> float | None:
        return self.weights.get((task, name), self.weights.get(("", name)))

    def _weight(self, task: str, name: str) -> float | None:
        own = self._row(task, name)
        return self._row(task, REST) if own is None else own


def read_importance(source: str | Path) -> Importance:
    """The weights in a CSV file, or in one of :data:`BUILT_IN`.

    Raises BiocosmosError for a file that is not there or no such table, and names the row of a weight that is no number >= 0,
    and of a class that is there twice.
    """
    if str(source) in BUILT_IN and not is_there(Path(source)):
        text = resources.files(f"{__package__}.importances").joinpath(BUILT_IN[str(source)]).read_text(encoding="utf-8")
        return _parsed(text, str(source))
    path = Path(source)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BiocosmosError(f"{path} is no table of weights: byte {error.start} is not UTF-8; save it as CSV (UTF-8)") from error
    except OSError as error:
        built_in = ", ".join(BUILT_IN)
        raise BiocosmosError(
            f"cannot read the weights in {path} ({error.strerror}): name a CSV file of class,weight, or {built_in}"
        ) from error
    return _parsed(text, str(path))


def _parsed(text: str, source: str) -> Importance:
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    separator = max(",;\t", key=first.count)
    try:
        rows = [row for row in csv.reader(lines, delimiter=separator) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise BiocosmosError(f"{source} is no table of weights ({error}): write rows of class,weight") from error
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    at_class, at_weight, at_task = (
        next((header.index(name) for name in names if name in header), None) for names in (CLASS, WEIGHT, TASK)
    )
    if at_class is None or at_weight is None:
        lacking = "class" if at_class is None else "weight"
        shown = ", ".join(header) or "nothing"
        raise BiocosmosError(f"{source} is no table of weights: it has no column '{lacking}', only {shown}")
    weights: dict[tuple[str, str], float] = {}
    for number, row in enumerate(rows[1:], 1):
        cells = [*(cell.strip() for cell in row), *[""] * len(header)]
        key = ("" if at_task is None else cells[at_task], cells[at_class])
        weight = _number(cells[at_weight])
        if not key[1]:
            raise BiocosmosError(f"{source}, row {number}: the class is blank: name it, or '{REST}' for all others")
        if weight is None:
            raise BiocosmosError(
                f"{source}, row {number}: the weight of '{key[1]}' is {cells[at_weight]!r}: write a number of at least 0"
            )
        if key in weights:
            raise BiocosmosError(f"{source}, row {number}: the class '{key[1]}' is there twice: keep one row of it")
        weights[key] = weight
    if not weights:
        raise BiocosmosError(f"{source} is no table of weights: it has no rows")
    return Importance(source, weights)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + more
