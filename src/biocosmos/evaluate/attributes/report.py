"""Attributes judged: every task with its measures, its classes, its calibration, and the specimens that cost most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.attributes.importance import Importance
from biocosmos.evaluate.attributes.multi_label import Rules
from biocosmos.evaluate.attributes.page import page
from biocosmos.evaluate.attributes.tables import (
    CALIBRATION,
    CLASSES,
    CONFUSED,
    COSTLY,
    ONE,
    SET,
    SUMMARY,
    Judged,
    judge,
)
from biocosmos.evaluate.numbers.bootstrap import DRAWS, Bootstrap
from biocosmos.evaluate.report import Report
from biocosmos.identify.attributes import AttributePredictions
from biocosmos.specimens.attributes import Attributes

FEW = 10
"""True specimens of a class below which its numbers swing."""
SHOWN = 5


def attributes(
    truth: Attributes,
    said: AttributePredictions,
    *,
    importance: Importance | None = None,
    rules: Rules | None = None,
    name: str = "",
    provenance: Mapping[str, Any] | None = None,
    seed: int = 0,
    bootstrap: int = DRAWS,
) -> Report:
    """Judge what is said of specimens against what is known of them.

    truth, said: the same ids in the same order, and the same tasks with the same classes in the same order; a class is said
    where its probability is >= the threshold that ``said`` carries. importance: weights of classes; rules: beta, and how absent
    classes count; name: who said it; provenance: for the tables.

    Tables: "summary" (every measure of every task with its interval over specimens), "classes", "calibration", "confused"
    (pairs of classes, of tasks with exactly one) and "costly" (the specimens whose misses and false alarms weigh most). Unknown
    labels are in no number. Raises BiocosmosError for ids, tasks or classes that differ, and where nothing is known.
    """
    rules = Rules() if rules is None else rules
    if not np.array_equal(truth.ids.astype(str), said.ids.astype(str)):
        raise BiocosmosError("what is said and what is known are not of the same specimens in the same order")
    judged = []
    for task in truth.tasks:
        told = said.task(task.name)
        if (told.classes, told.several) != (task.classes, task.several):
            raise BiocosmosError(f"the classes of the attribute '{task.name}' differ between what is said and what is known")
        weights = None if importance is None else importance.of(task.name, task.classes)
        if not task.known.any():
            raise BiocosmosError(f"nothing is known of the attribute '{task.name}' of these specimens: there is nothing to judge")
        judged.append(judge(truth.ids, task, told, weights, rules, Bootstrap(bootstrap, seed=seed)))
    classes = {task.name: task.classes for task in truth.tasks}
    if importance is not None and all(one.weights is None for one in judged):
        raise BiocosmosError(f"{importance.source} weighs no class of {', '.join(classes)}: its classes must be called as theirs")
    facts: dict[str, Any] = {
        "protocol": "attributes",
        "namer": {"name": name},
        "options": {"beta": rules.beta, "absent": rules.absent, "rule": ">=", "bootstrap": bootstrap, "seed": seed},
        "importance": None if importance is None else importance.source,
        **dict(provenance or {}),
    }
    tables = {
        "summary": pa.Table.from_pylist([row for one in judged for row in one.summary], SUMMARY),
        "classes": pa.Table.from_pylist([row for one in judged for row in one.classes], CLASSES),
        "calibration": pa.Table.from_pylist([row for one in judged for row in one.calibration], CALIBRATION),
        "confused": pa.Table.from_pylist([row for one in judged for row in one.confused], CONFUSED),
        "costly": pa.Table.from_pylist([row for one in judged for row in one.costly], COSTLY),
    }
    caveats = [caveat for one in judged for caveat in _caveats(one, rules)]
    if importance is not None and (unknown := importance.unknown(classes)):
        caveats.append(f"{importance.source} weighs {_listed(unknown)}, which no attribute here has: these weights are not used.")
    title = f"Attributes{f' by {name}' if name else ''}: {', '.join(classes)}"
    return Report("attributes", title, tables, caveats, facts, page)


def _caveats(one: Judged, rules: Rules) -> list[str]:
    """What keeps the numbers of a task from meaning more."""
    said, task = [], one.name
    absent = [row["class"] for row in one.classes if not row["true"] and not row["empty"]]
    if absent:
        how = {
            "skip": "left out of every mean",
            "zero": "counted as 0 in every mean",
            "published": "counted as the published code does: 0 in the means of F and precision, NaN in CP, CR and CF1",
        }[rules.absent]
        said.append(f"{task}: {_listed(absent)} {_are(absent)} true of no specimen here: {how}.")
    few = [row["class"] for row in one.classes if 0 < row["true"] < FEW and not row["empty"]]
    if few:
        said.append(f"{task}: {_listed(few)} {_are(few)} true of fewer than {FEW} specimens: their numbers swing.")
    if one.kind == ONE and len(one.classes) == 1:
        said.append(f"{task}: there is one class, so that every answer is right: nothing is measured by it.")
    if one.unknown and rules.absent == "published":
        said.append(f"{task}: {one.unknown:,} labels are not known: taken for false, as the published code does.")
    elif one.unknown:
        said.append(f"{task}: {one.unknown:,} of {one.labels:,} labels are not known: they are in no number.")
    if one.unanswerable:
        said.append(
            f"{task}: {one.unanswerable:,} specimens have a value that is none of the classes, so that no answer is right: "
            "counted apart, in no number."
        )
    if one.kind == SET and not any(row["true"] for row in one.classes if row["empty"]) and rules.absent == "skip":
        said.append(f"{task}: no specimen is known to be empty: F1 empty is not defined, and no mean has the empty class.")
    return said


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
