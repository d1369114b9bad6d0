"""The report on tracks: one or several trackers' against the truth, sequence by sequence, label by label, and all together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.report import Report
from biocosmos.evaluate.tracking.aligned import rows_of
from biocosmos.evaluate.tracking.page import ALL, page
from biocosmos.evaluate.tracking.scores import COUNTS, CURVE, SHARES, THRESHOLDS, TrackScores, judge, row, together
from biocosmos.sequences.frames import Boxes

_NUMBERS = [(name, pa.float64()) for name in SHARES] + [(name, pa.int64()) for name in COUNTS]
_COUNTED = [(name, pa.int64()) for name in ("individuals", "found_individuals", "count_off")]
_SIZES = [(name, pa.int64()) for name in ("boxes", "found_boxes", "frames")]
SCORES = pa.schema(
    [(name, pa.string()) for name in ("tracks", "sequence", "label")]
    + _NUMBERS
    + _COUNTED
    + [("count_error", pa.float64())]
    + _SIZES
)
CURVES = pa.schema([("tracks", pa.string()), ("overlap", pa.float64())] + [(name, pa.float64()) for name in CURVE])
FEW = 10
"""Individuals below which scores say little."""


def tracking_report(
    truth: Sequence[Boxes], found: Mapping[str, Sequence[Boxes]], facts: Mapping[str, Any] | None = None
) -> Report:
    """A report of kind "tracking".

    truth: sequences with tracks. found: name of a tracker -> its sequences; they are told apart by their names, and where both
    sides have but one, these are compared. Tables: scores, a row for each tracker, sequence and label ("all" stands for every
    one); curve, a row for each tracker and overlap.
    Raises BiocosmosError for a truth without individuals, for found boxes without tracks, and for sequences that are not there.
    """
    if not any(len(rows_of(boxes)) for boxes in truth):
        raise BiocosmosError("the truth has no individual: name the ground truth of the sequences, with a track for each box")
    rows: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    caveats: list[str] = []
    for name, sequences in found.items():
        pairs = _paired(truth, sequences, name)
        scores = [judge(true, own) for true, own in pairs]
        whole = together(scores)
        rows += [_row(name, true.name, ALL, each) for (true, _), each in zip(pairs, scores) if len(pairs) > 1 or len(truth) > 1]
        rows.append(_row(name, ALL, ALL, whole))
        rows += _of_labels(name, pairs)
        curves += [
            {"tracks": name, "overlap": overlap, **{key: float(whole.curve[key][step]) for key in CURVE}}
            for step, overlap in enumerate(THRESHOLDS)
        ]
        caveats += _left_out(name, pairs)
    individuals = max((each["individuals"] for each in rows if each["sequence"] == ALL and each["label"] == ALL), default=0)
    if individuals < FEW:
        caveats.append(f"The truth has {individuals} individuals: scores of so few may be chance.")
    caveats.append(
        "IDF1 and MOTA count a box as found where it overlaps the true one by half; HOTA is the mean over 19 overlaps from 0.05 "
        "to 0.95. An individual that comes back has to be told again by all three."
    )
    tables = {"scores": pa.Table.from_pylist(rows, SCORES), "curve": pa.Table.from_pylist(curves, CURVES)}
    return Report("tracking", f"Tracks of {', '.join(found)}", tables, caveats, dict(facts or {}), page)


def _row(tracks: str, sequence: str, label: str, scores: TrackScores) -> dict[str, Any]:
    return {"tracks": tracks, "sequence": sequence, "label": label, **row(scores)}


def _paired(truth: Sequence[Boxes], found: Sequence[Boxes], name: str) -> list[tuple[Boxes, Boxes]]:
    """Sequences of the truth, each with what was found of it."""
    if not any(len(rows_of(boxes)) for boxes in found) and any(len(boxes) for boxes in found):
        raise BiocosmosError(f"{name} has boxes without tracks: track them first, with 'biocosmos track'")
    if len(truth) == len(found) == 1:
        return [(truth[0], found[0])]
    by_name = {boxes.name: boxes for boxes in found}
    strange = sorted(set(by_name) - {boxes.name for boxes in truth})
    if strange:
        known = ", ".join(boxes.name for boxes in truth[:3])
        raise BiocosmosError(f"{name} has a sequence {strange[0]!r} that the truth has not: it has {known} ...")
    missing = [boxes.name for boxes in truth if boxes.name not in by_name]
    if missing:
        raise BiocosmosError(f"{name} has no sequence {missing[0]!r}, which the truth has ({len(missing)} are missing)")
    return [(boxes, by_name[boxes.name]) for boxes in truth]


def _of_labels(name: str, pairs: Sequence[tuple[Boxes, Boxes]]) -> list[dict[str, Any]]:
    """A row for each label of the truth, where the tracks have labels too."""
    if not any(own.label is not None and any(label is not None for label in own.label) for _, own in pairs):
        return []
    true = [set() if boxes.label is None else set(boxes.label) for boxes, _ in pairs]
    labels = sorted(label for label in set().union(*true) if label is not None)
    if len(labels) < 2:
        return []
    return [_row(name, ALL, label, together([judge(boxes, own, label) for boxes, own in pairs])) for label in labels]


def _left_out(name: str, pairs: Sequence[tuple[Boxes, Boxes]]) -> list[str]:
    """What did not take part."""
    said = []
    for side, who in ((0, "the truth"), (1, name)):
        count = sum(len(pair[side]) - len(rows_of(pair[side])) for pair in pairs)
        if count:
            said.append(f"{count:,} boxes of {who} have no track and are not counted.")
    return said
