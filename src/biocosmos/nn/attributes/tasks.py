"""What attribute heads are asked and what they say: several questions about one specimen, each with its classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from biocosmos.errors import BiocosmosError


@dataclass(frozen=True)
class TaskShape:
    """One question. name: of the attribute; classes: their number; several: any number of them is true, else exactly one."""

    name: str
    classes: int
    several: bool = False


@dataclass(frozen=True)
class AttributeOutput:
    """Answers about b specimens to T tasks.

    logits: per task, (b, C_t); sigmoid gives the probabilities of a task with several true classes, softmax those of the others.
    auxiliary: the same from the backbone's features alone, before the tasks exchange anything; None of heads that exchange
    nothing.
    """

    logits: tuple[Tensor, ...]
    auxiliary: tuple[Tensor, ...] | None = None


def probabilities(output: AttributeOutput, tasks: Sequence[TaskShape]) -> tuple[Tensor, ...]:
    """Per task, (b, C_t) float32 probabilities: each of its own where several may be true, else summing to 1."""
    return tuple(
        logits.float().sigmoid() if task.several else logits.float().softmax(1) for task, logits in zip(tasks, output.logits)
    )


def checked_tasks(tasks: Sequence[TaskShape]) -> tuple[TaskShape, ...]:
    """The tasks as a tuple. Raises BiocosmosError where there is none, a name repeats, or a task has no classes."""
    names = [task.name for task in tasks]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if not tasks or repeated:
        raise BiocosmosError(f"attributes: {f'{repeated[0]!r} is given twice' if repeated else 'none is given'}: name each once")
    for task in tasks:
        if task.classes < 1:
            raise BiocosmosError(f"attribute '{task.name}' has no classes: leave it out")
    return tuple(tasks)


def parts_of(tasks: Sequence[TaskShape]) -> list[slice]:
    """Where the classes of each task lie among all C of them, in the tasks' order."""
    parts, start = [], 0
    for task in tasks:
        parts.append(slice(start, start + task.classes))
        start += task.classes
    return parts
