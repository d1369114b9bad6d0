"""The rows of a report on attributes, task by task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.evaluate.attributes.exclusive import exclusive
from biocosmos.evaluate.attributes.intervals import intervals
from biocosmos.evaluate.attributes.multi_label import Rules, multi_label
from biocosmos.evaluate.numbers.bootstrap import Bootstrap, Interval
from biocosmos.evaluate.numbers.calibration import Reliability, reliability
from biocosmos.identify.attributes import TaskPredictions
from biocosmos.specimens.attributes import Attribute

Array = npt.NDArray[Any]
Row = dict[str, Any]
EMPTY = "(none)"
"""How tables call the empty class."""
SET, ONE = "set", "one"
NAMES = {"empty": "F1 empty", "op": "OP", "or_": "OR", "of1": "OF1", "cp": "CP", "cr": "CR", "cf1": "CF1", "mf1": "MF1"}
MOST_COSTLY = 24
MOST_CONFUSED = 50

SUMMARY = pa.schema(
    [
        *((name, pa.string()) for name in ("task", "kind", "measure")),
        *((name, pa.float64()) for name in ("value", "low", "high")),
        *((name, pa.int64()) for name in ("specimens", "classes")),
    ]
)
CLASSES = pa.schema(
    [
        *((name, pa.string()) for name in ("task", "kind", "class")),
        ("empty", pa.bool_()),
        *((name, pa.int64()) for name in ("known", "true", "said", "right")),
        *((name, pa.float64()) for name in ("precision", "recall", "f1", "f_beta", "ap", "threshold", "weight", "lost")),
    ]
)
CALIBRATION = pa.schema(
    [
        ("task", pa.string()),
        *((name, pa.float64()) for name in ("lower", "upper", "confidence", "accuracy", "low", "high")),
        ("count", pa.int64()),
    ]
)
CONFUSED = pa.schema(
    [
        *((name, pa.string()) for name in ("task", "true", "said")),
        ("count", pa.int64()),
        ("share", pa.float64()),
        ("example_id", pa.string()),
    ]
)
COSTLY = pa.schema(
    [
        *((name, pa.string()) for name in ("task", "id")),
        ("missed", pa.list_(pa.string())),
        ("wrong", pa.list_(pa.string())),
        ("cost", pa.float64()),
    ]
)


@dataclass
class Judged:
    """What was found of one task; labels: cells, unknown among them; unanswerable: specimens of none of the classes."""

    name: str
    kind: str
    weights: Array | None
    labels: int
    unknown: int
    unanswerable: int = 0
    summary: list[Row] = field(default_factory=list)
    classes: list[Row] = field(default_factory=list)
    calibration: list[Row] = field(default_factory=list)
    confused: list[Row] = field(default_factory=list)
    costly: list[Row] = field(default_factory=list)

    def add(self, measure: str, interval: Interval, specimens: int, classes: int) -> None:
        """A row of the summary."""
        self.summary.append(
            {
                "task": self.name,
                "kind": self.kind,
                "measure": measure,
                **{key: _defined(value) for key, value in interval._asdict().items()},
                "specimens": specimens,
                "classes": classes,
            }
        )

    def calibrated(self, found: Reliability) -> None:
        """The bins of a reliability diagram."""
        columns = ("lower", "upper", "confidence", "accuracy", "low", "high", "count")
        self.calibration += [
            {"task": self.name, **dict(zip(columns, (value.item() for value in bin_)))}
            for bin_ in zip(*(getattr(found, name) for name in columns))
        ]


def judge(
    ids: Array, task: Attribute, said: TaskPredictions, weights: Array | None, rules: Rules, bootstrap: Bootstrap
) -> Judged:
    """All rows of a task. weights: (C,) or None, all alike."""
    known = task.values >= 0 if task.several else task.known
    one = Judged(task.name, SET if task.several else ONE, weights, known.size, int((~known).sum()))
    if task.several:
        _judge_set(one, task, said, rules, bootstrap)
    else:
        _judge_one(one, task, said, rules, bootstrap)
        _confused(one, ids, task, said)
    _costly(one, ids, task, said, rules.beta)
    return one


def _judge_set(one: Judged, task: Attribute, said: TaskPredictions, rules: Rules, bootstrap: Bootstrap) -> None:
    found = multi_label(said.probabilities, task.values, said.cuts, one.weights, rules)
    with_intervals = intervals(said.probabilities, task.values, said.cuts, one.weights, rules, bootstrap)
    counted = int(found.present.sum()) if rules.absent == "skip" else len(task.classes) + 1
    own = int(found.present[:-1].sum()) if rules.absent == "skip" else len(task.classes)
    beta = f"F{rules.beta:g}"
    if one.weights is not None:
        one.add(f"{beta} weighted", with_intervals["weighted"], found.specimens, own)
    one.add(f"mean {beta}", with_intervals["plain"], found.specimens, own)
    for key, measure in NAMES.items():
        one.add(measure, with_intervals[key], found.specimens, counted)
    one.add("exact match", with_intervals["exact"], found.whole, len(task.classes))
    one.add("mAP", with_intervals["mean_ap"]._replace(value=found.mean_ap), found.specimens, own)
    known = task.values >= 0
    calibration = reliability(said.probabilities[known], task.values[known] == 1)
    one.add("ECE", Interval(calibration.ece, np.nan, np.nan), found.specimens, len(task.classes))
    one.calibrated(calibration)
    columns: dict[str, Array] = {
        "known": found.known,
        **{name: getattr(found.counts, name) for name in ("true", "said", "right")},
        "precision": found.counts.precision,
        "recall": found.counts.recall,
        "f1": found.counts.f(1.0),
        "f_beta": found.counts.f(rules.beta),
        "ap": np.append(found.ap, np.nan),
        "threshold": np.append(said.cuts, np.nan),
    }
    _classes(one, [*task.classes, EMPTY], columns)


def _judge_one(one: Judged, task: Attribute, said: TaskPredictions, rules: Rules, bootstrap: Bootstrap) -> None:
    found = exclusive(said.probabilities, task.values, rules, bootstrap, one.weights)
    one.unanswerable = found.unanswerable
    true, told, right = found.counts.true, found.counts.said, found.counts.right
    counted = int((true > 0).sum()) if rules.absent == "skip" else len(true)
    if found.weighted is not None:
        one.add(f"F{rules.beta:g} weighted", found.weighted, found.specimens, counted)
    one.add("accuracy", found.accuracy, found.specimens, len(true))
    one.add("balanced accuracy", found.balanced, found.specimens, int((true > 0).sum()))
    one.add("macro F1", found.macro_f1, found.specimens, counted)
    one.add("ECE", Interval(found.calibration.ece, np.nan, np.nan), found.specimens, len(true))
    one.calibrated(found.calibration)
    there = true + told > 0
    columns: dict[str, Array] = {
        "known": np.full(len(true), found.specimens),
        "true": true,
        "said": told,
        "right": right,
        "precision": found.counts.precision,
        "recall": found.counts.recall,
        "f1": np.where(there, found.counts.f(1.0), np.nan),
        "f_beta": np.where(there, found.counts.f(rules.beta), np.nan),
    }
    _classes(one, list(task.classes), columns)


def _classes(one: Judged, names: list[str], columns: dict[str, Array]) -> None:
    classes = len(names) - (one.kind == SET)
    weights = np.ones(classes) if one.weights is None else one.weights
    f_beta = np.nan_to_num(columns["f_beta"])
    lost = weights * (1 - f_beta[:classes]) * (columns["true"][:classes] > 0)
    total = lost.sum()
    for i, name in enumerate(names):
        row: Row = {"task": one.name, "kind": one.kind, "class": name, "empty": i >= classes}
        row |= {key: _defined(values[i].item()) for key, values in columns.items()}
        row["weight"] = None if one.weights is None or i >= classes else float(one.weights[i])
        row["lost"] = float(lost[i] / total) if i < classes and total > 0 else None
        one.classes.append(row)


def _costly(one: Judged, ids: Array, task: Attribute, said: TaskPredictions, beta: float) -> None:
    """The specimens that cost most: a miss its class's weight times beta^2, a false alarm the weight, as F_beta counts them."""
    weights = np.ones(len(task.classes)) if one.weights is None else one.weights
    missed, wrong = (task.values == 1) & ~said.said, (task.values == 0) & said.said
    if not task.several:
        wrong &= (task.values == 1).any(axis=1, keepdims=True)
    cost = missed @ (weights * beta**2) + wrong @ weights
    for row in np.argsort(-cost, kind="stable")[:MOST_COSTLY]:
        if cost[row] > 0:
            names = [[task.classes[k] for k in np.flatnonzero(mask[row])] for mask in (missed, wrong)]
            one.costly.append(
                {"task": one.name, "id": str(ids[row]), "missed": names[0], "wrong": names[1], "cost": float(cost[row])}
            )


def _confused(one: Judged, ids: Array, task: Attribute, said: TaskPredictions) -> None:
    rows = np.flatnonzero((task.values == 1).any(axis=1))
    true, told = task.targets[rows], said.said[rows].argmax(axis=1)
    wrong = true != told
    pairs, first, counts = np.unique(np.stack([true[wrong], told[wrong]], axis=1), axis=0, return_index=True, return_counts=True)
    totals = np.bincount(true, minlength=len(task.classes))
    examples = rows[wrong]
    for i in np.argsort(-counts, kind="stable")[:MOST_CONFUSED]:
        a, b = pairs[i]
        one.confused.append(
            {
                "task": one.name,
                "true": task.classes[a],
                "said": task.classes[b],
                "count": int(counts[i]),
                "share": float(counts[i] / totals[a]),
                "example_id": str(ids[examples[first[i]]]),
            }
        )


def _defined(value: Any) -> Any:
    """None in place of NaN."""
    return None if isinstance(value, float) and value != value else value
