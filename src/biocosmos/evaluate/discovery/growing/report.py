"""Cost curves of ways of working, beside one by one, as a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from biocosmos.discover.growing.costs import Costs
from biocosmos.discover.growing.simulation import ALONE, SAYS, STRATEGIES, Working
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.discovery.growing.page import page
from biocosmos.evaluate.report import Report

AIM = 6
"""One by one is to cost so many times as much."""
SLACK = 0.005
"""A run ends when the whole specimens that are wanted are named, which can be a few short of it: an audit takes some out."""
CAVEATS = (
    "The person is simulated. The seconds are sums of published times of single acts, not measurements of people at this page.",
    "The labels of the collection are taken as true; where they are wrong, so is the person.",
)


def report_on(rows: Sequence[Mapping[str, Any]], costs: Costs, working: Working, encoders: Mapping[str, Any]) -> Report:
    """The report of curves: tables ``summary``, a row for each way of working, and ``curve``.

    rows: of :meth:`Simulation.run`, each with encoder, rank and specimens. Raises BiocosmosError without a row.
    """
    if not rows:
        raise BiocosmosError("there is no curve to report: run a simulation first")
    curve = [{**row, "cost": row["seconds"] / (row["specimens"] * costs.alone)} for row in rows]
    keys = dict.fromkeys((row["encoder"], row["rank"], row["strategy"]) for row in curve)
    summary = [_summary([r for r in curve if (r["encoder"], r["rank"], r["strategy"]) == key], costs, working) for key in keys]
    about = {
        "costs": asdict(costs),
        "working": asdict(working),
        "encoders": dict(encoders),
        "says": {name: SAYS[name] for name in STRATEGIES},
        "one_by_one": ALONE,
        "aim": AIM,
    }
    tables = {"summary": pa.Table.from_pylist(summary), "curve": pa.Table.from_pylist(curve)}
    return Report("growing", "What naming everything costs", tables, list(CAVEATS), about, page)


def _summary(rows: Sequence[Mapping[str, Any]], costs: Costs, working: Working) -> dict[str, Any]:
    """Of one way of working: when the share that is wanted was named at the precision that is wanted, mean over seeds; None
    where a seed never got there."""
    first = rows[0]
    reached: list[float | None] = []
    sixth: list[float] = []
    for seed in dict.fromkeys(row["seed"] for row in rows):
        mine = sorted((row for row in rows if row["seed"] == seed), key=lambda row: row["seconds"])
        reached.append(_crossing(mine, working))
        before = [row["share"] for row in mine if row["cost"] <= 1.05 / AIM and row["precision"] >= working.precision]
        sixth.append(max(before, default=0.0))
    there = [each for each in reached if each is not None]
    seconds = sum(there) / len(there) if len(there) == len(reached) else None
    whole = first["specimens"] * costs.alone
    return {
        "encoder": first["encoder"],
        "rank": first["rank"],
        "strategy": first["strategy"],
        "specimens": first["specimens"],
        "seeds": len(reached),
        "hours": None if seconds is None else seconds / 3600,
        "of_one_by_one": None if seconds is None else seconds / (working.share * whole),
        "an_hour": None if seconds is None else 3600 * working.share * first["specimens"] / seconds,
        "share_at_sixth": sum(sixth) / len(sixth),
        "most": max(row["share"] for row in rows if row["precision"] >= working.precision or row["share"] == 0),
        "precision": min(row["precision"] for row in rows),
    }


def _crossing(rows: Sequence[Mapping[str, Any]], working: Working) -> float | None:
    """Seconds at which the share is reached at the precision, on a straight line between two looks; None where it never is."""
    seconds, share = 0.0, 0.0
    for row in rows:
        if row["precision"] is None or not row["precision"] >= working.precision:
            continue
        wanted = working.share
        if row["share"] >= wanted - SLACK:
            at = min(max((wanted - share) / max(row["share"] - share, 1e-9), 0), 1)
            return seconds + float(at) * (float(row["seconds"]) - seconds)
        seconds, share = float(row["seconds"]), float(row["share"])
    return None
