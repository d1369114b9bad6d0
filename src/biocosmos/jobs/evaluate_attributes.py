"""Judge attributes: what tables of probabilities say of a part of a collection by what it knows, and what heads share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.evaluate import Report
from biocosmos.evaluate.attributes.importance import Importance, read_importance
from biocosmos.evaluate.attributes.multi_label import Rules
from biocosmos.evaluate.attributes.report import attributes
from biocosmos.evaluate.attributes.thresholds import tuned
from biocosmos.evaluate.combined import together
from biocosmos.identify.attributes import AttributePredictions, TaskPredictions
from biocosmos.jobs.attribute_tables import read_told, said_of
from biocosmos.jobs.evaluate_settings import EvaluateSettings
from biocosmos.jobs.evaluate_tables import called
from biocosmos.specimens import guard
from biocosmos.specimens.attributes import Attributes, attributes_of
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.conditions import shown

HALVES = "0.5 for every class"


def judge_told_attributes(collection: Collection, settings: EvaluateSettings) -> Report:
    """The tables of probabilities in ``settings.names`` on the part ``queries``; several are judged one after the other."""
    everything, _ = truth_of(collection, settings.attributes, None, None)
    classes = {task.name: task.classes for task in everything.tasks}
    truth, failures = truth_of(collection, settings.attributes, settings.part, settings.where, classes)
    if not len(truth):
        raise BiocosmosError(f"part '{settings.queries}' has no specimens to judge")
    held_truth = None
    if settings.calibration:
        held_truth, _ = truth_of(collection, settings.attributes, settings.calibration, settings.where, classes)
        refuse_shared(truth.ids, held_truth.ids, settings)
    reports = {}
    tables = read_told(settings.names, truth.tasks)
    paths = [table.path for table in tables]
    for name, table in zip(called(paths, [path.stem for path in paths], "a table of probabilities"), tables, strict=True):
        said = said_of(table, collection, truth.ids, truth.tasks, settings.queries)
        held = None
        if held_truth is not None:
            held = held_truth, said_of(table, collection, held_truth.ids, held_truth.tasks, str(settings.calibration))
        said, how = with_thresholds(said, settings, HALVES, held)
        facts = {"namer": {"name": name}, "thresholds": how, **facts_of(collection, settings)}
        notes = [
            f"{name}: which specimens it was trained on is not known here: that it has not seen these is yours to know.",
            *told_cells(failures),
            about_thresholds(how, said),
        ]
        reports[name] = judged(truth, said, settings, name, facts, notes)
    return together(reports, f"{collection.path.stem}: attributes")


def judged(
    truth: Attributes,
    said: AttributePredictions,
    settings: EvaluateSettings,
    name: str,
    facts: Mapping[str, Any],
    notes: Sequence[str],
) -> Report:
    """The report on one namer of attributes, with what is to be told of how it was judged."""
    importance: Importance | None = None if settings.importance is None else read_importance(settings.importance)
    rules = Rules(settings.beta, settings.absent)  # type: ignore[arg-type]
    report = attributes(truth, said, importance=importance, rules=rules, name=name, provenance=facts, seed=settings.seed)
    report.caveats[:0] = [note for note in notes if note]
    if settings.where is not None:
        report.caveats.append(f"Only specimens where {shown(settings.where)}.")
    return report


def truth_of(
    collection: Collection,
    names: Sequence[str],
    part: str | None,
    where: str | None,
    classes: Mapping[str, Sequence[str]] | None = None,
) -> tuple[Attributes, Failures]:
    """What the collection knows, and the label cells that were no labels."""
    failures = Failures()
    return attributes_of(collection, names, split=part, where=where, classes=classes, failures=failures), failures


def refuse_shared(ids: guard.Ids, held: guard.Ids, settings: EvaluateSettings) -> None:
    """Raise BiocosmosError for specimens that are judged and set thresholds."""
    what = f"specimens of part '{settings.queries}' are in part '{settings.calibration}' too"
    guard.refuse_shared(ids, held, what, "set thresholds on specimens that are not judged")


def with_thresholds(
    said: AttributePredictions,
    settings: EvaluateSettings,
    otherwise: str,
    held: tuple[Attributes, AttributePredictions] | None = None,
) -> tuple[AttributePredictions, str]:
    """What is said with the thresholds that the settings ask for, and which these are in words.

    held: what is known and said of the part that sets them, if one does; otherwise: those that it has.
    """
    if held is not None:
        return replace(said, tasks=tuple(_tuned(task, *held, settings.beta) for task in said.tasks)), (
            f"the best F{settings.beta:g} of each class on part '{settings.calibration}'"
        )
    if settings.threshold is not None:
        cuts = settings.threshold
        tasks = [replace(task, thresholds=np.full(len(task.classes), cuts) if task.several else None) for task in said.tasks]
        return replace(said, tasks=tuple(tasks)), f"{cuts:g} for every class"
    fixed = any(task.thresholds is not None for task in said.tasks if task.several)
    return said, otherwise if fixed else HALVES


def _tuned(task: TaskPredictions, truth: Attributes, held: AttributePredictions, beta: float) -> TaskPredictions:
    if not task.several:
        return replace(task, thresholds=None)
    cuts, _ = tuned(held.task(task.name).probabilities, truth.task(task.name).values, beta)
    return replace(task, thresholds=cuts)


def about_thresholds(how: str, said: AttributePredictions) -> str:
    """A sentence on thresholds, "" where no task has any."""
    return f"Thresholds: {how}; a class is said at or above it." if any(task.several for task in said.tasks) else ""


def told_cells(failures: Failures) -> list[str]:
    """A sentence on label cells that were no labels."""
    if not len(failures):
        return []
    first = next(iter(failures))
    what = f"{len(failures):,} label cells are neither 0, 1 nor empty and count as not known"
    return [f"{what}, the first of '{first.id}': {first.reason}."]


def facts_of(collection: Collection, settings: EvaluateSettings) -> dict[str, Any]:
    """The parts and the split, for the provenance."""
    facts: dict[str, Any] = {"parts": {"queries": settings.queries, "calibration": settings.calibration}}
    name = settings.queries.rpartition(":")[0] or "default"
    if settings.part is None or name not in collection.split_names:
        return facts | {"split_hash": None}
    split = collection.split(name).identity()
    return facts | {"split": split, "split_hash": split["hash"]}
