"""One report of all runs of a leave-out protocol: means and deviations over left-out taxa, each kind of stranger apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.novelty.metrics import KNOWN
from biocosmos.evaluate.novelty.page import page
from biocosmos.evaluate.novelty.protocol import COLUMNS, INSIDE
from biocosmos.evaluate.numbers.metrics import NAN
from biocosmos.evaluate.report import Report
from biocosmos.identify.novelty.registry import DEFAULT_DETECTOR

Row = dict[str, Any]
MEASURES = ("auroc", "fpr95_novel_positive", "fpr95_known_positive", "aupr_novel", "aupr_known")
PLACES = ("exact", "deep", "shallow", "wrong", "none", "inside", "depth", "flagged")
COUNTS = ("false_alarms", "caught", "bray_curtis", "over", "under", "novel_share")
RAW_TABLES = ("separation", "placement", "distortion", "accuracy", "scores")
FEW_RUNS = 30


def novelty_report(
    runs: Sequence[Mapping[str, Sequence[Row]]],
    *,
    title: str = "Telling the unknown from the known",
    provenance: Mapping[str, Any] | None = None,
    failed: Sequence[Row] = (),
) -> Report:
    """A report of what :func:`biocosmos.evaluate.novelty.protocol.measure` found in each run.

    Tables: summary (detector and column: mean and deviation over taxa, n - 1), places (rule and column), counts (operating point
    and column), kept (accuracy at each rank, mean over runs), then separation, placement, distortion, accuracy and scores as
    measured, and failed. Raises BiocosmosError where no run measured anything.
    """
    rows = {name: [row for run in runs for row in run.get(name, ())] for name in RAW_TABLES}
    if not rows["separation"]:
        raise BiocosmosError("no run measured any novel specimen: leave out taxa that have at least 5 specimens in the test part")
    summary = _means(rows["separation"], ("column", "detector"), MEASURES, ("novel", "known"))
    tables = {
        "summary": summary,
        "places": _means(rows["placement"], ("column", "rule"), [*PLACES, *_answered(rows["placement"])], ("specimens",)),
        "counts": _means(rows["distortion"], ("column", "put_aside"), COUNTS, ()),
        "kept": _kept(rows["accuracy"]),
        **rows,
        "failed": list(failed),
    }
    detectors = list(dict.fromkeys(row["detector"] for row in rows["separation"]))
    facts = {
        **(provenance or {}),
        "protocol": "leave out",
        "runs": len(runs),
        "taxa_left_out_together": sorted({row["left_out_together"] for row in rows["separation"]}),
        "detectors": detectors,
        "main_detector": DEFAULT_DETECTOR if DEFAULT_DETECTOR in detectors else detectors[0],
    }
    made = {
        name: pa.Table.from_pylist(found) if found else pa.table({"run": pa.array([], pa.string())})
        for name, found in tables.items()
    }
    return Report("novelty", title, made, caveats(tables, facts), facts, page)


def _answered(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row if name.startswith("answered_")))


def _means(rows: Sequence[Row], by: Sequence[str], measures: Sequence[str], totals: Sequence[str]) -> list[Row]:
    """Mean and deviation over taxa of each measure, one row for each combination of ``by`` in the order they come, columns of the
    protocol first."""
    order = {name: place for place, name in enumerate((KNOWN, *COLUMNS))}
    kinds = sorted(dict.fromkeys(tuple(row[name] for name in by) for row in rows), key=lambda kind: order[kind[0]])
    found = []
    for kind in kinds:
        mine = [row for row in rows if tuple(row[name] for name in by) == kind]
        row: Row = {**dict(zip(by, kind)), "taxa": len(mine), "runs": len({one["run"] for one in mine})}
        for name in measures:
            values = np.array([one.get(name, NAN) for one in mine], np.float64)
            values = values[np.isfinite(values)]
            row[name] = float(values.mean()) if len(values) else NAN
            row[f"{name}_deviation"] = float(values.std(ddof=1)) if len(values) > 1 else NAN
        found.append(row | {name: sum(one[name] for one in mine) for name in totals})
    return found


def _kept(rows: Sequence[Row]) -> list[Row]:
    """Accuracy on known specimens at each rank, mean over runs, and what it is short of the reference on the same specimens."""
    found = []
    for rank in dict.fromkeys(row["rank"] for row in rows):
        mine = [row for row in rows if row["rank"] == rank]
        both = [row for row in mine if row["reference"] is not None]
        changes = np.array([row["accuracy"] - row["reference"] for row in both])
        found.append(
            {
                "rank": rank,
                "runs": len(mine),
                "accuracy": float(np.mean([row["accuracy"] for row in mine])),
                "reference": float(np.mean([row["reference"] for row in both])) if both else None,
                "change": float(changes.mean()) if len(changes) else None,
                "worst_change": float(changes.min()) if len(changes) else None,
            }
        )
    return found


def caveats(tables: Mapping[str, Sequence[Row]], facts: Mapping[str, Any]) -> list[str]:
    """Sentences on what the numbers cannot say, the gravest first."""
    out = []
    if tables["failed"]:
        out.append(
            f"{len(tables['failed'])} of {len(tables['failed']) + facts['runs']} runs failed and are missing from every mean."
        )
    together = facts["taxa_left_out_together"]
    if max(together, default=1) > 1:
        out.append(
            f"Up to {max(together)} taxa were left out of one training together, to save trainings. Each is measured apart, but "
            "the head saw less of the world than with one left out, so these are no leave-one-out numbers: they tend to be lower."
        )
    near = [row for row in tables["summary"] if row["column"] in ("near", "middle")]
    if near and min(row["taxa"] for row in near) < FEW_RUNS:
        out.append(
            f"Fewer than {FEW_RUNS} taxa stand behind a column: deviations between taxa are large, so means may move by points."
        )
    missing = [column for column in COLUMNS if column not in {row["column"] for row in tables["summary"]}]
    if missing:
        out.append(f"Not measured here: {', '.join(missing)}.")
    out.append(
        "A taxon left out is a taxon somebody knew and photographed. Truly new taxa may be rarer, and stranger or more alike to "
        "known ones, than these."
    )
    out.append(
        "The score is scaled and calibrated on held-out known specimens. Where queries differ from them for other reasons "
        "(another camera, another sea), known specimens are called novel more often than said."
    )
    if any(row["rule"] == INSIDE for row in tables["places"]):
        out.append(
            "Ranks above the deepest are calibrated by hiding known taxa from a head that has learnt from them, which is only "
            "nearly how unseen taxa score: the observed shares are in the table, judge by them."
        )
    return out
