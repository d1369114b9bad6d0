"""The tables of a report on clusterings, from what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from biocosmos.evaluate.clustering.agreement import AGREEMENT, agreement
from biocosmos.evaluate.clustering.chosen import CHOSEN
from biocosmos.evaluate.clustering.intervals import Halves
from biocosmos.evaluate.clustering.looks import LOOKS, judging_space, looks, put_first
from biocosmos.evaluate.clustering.parted import (
    CLUSTERS,
    LEFT_OUT,
    ONE_CLUSTER,
    ORIGINAL,
    PARTED,
    REDUCED,
    UMAP,
    WELL_PARTED,
)
from biocosmos.evaluate.clustering.partitions import SCORES, Partition
from biocosmos.evaluate.clustering.runs import COSTS, Failed, Run
from biocosmos.evaluate.numbers.bootstrap import Bootstrap
from biocosmos.evaluate.numbers.targets import Target
from biocosmos.search.gallery import Gallery

Scored = Mapping[tuple[str, str], Mapping[str, Partition]]

SUMMARY = pa.schema(
    [
        *((name, pa.string()) for name in ("encoder", "setting", "standardise", "reducer", "clusterer", "counted_by", "rank")),
        *((name, pa.int64()) for name in ("dims", "specimens", "unnamed", "taxa", "clusters")),
        *((name, pa.float64()) for name in ("share_clustered", "ami", "ami_low", "ami_high", "ami_clustered", "ari")),
        *((name, pa.float64()) for name in ("silhouette_umap", "silhouette_reduced", "silhouette_original", *COSTS)),
    ]
)
DIFFERENCES = pa.schema(
    [
        *((name, pa.string()) for name in ("setting", "first", "encoder", "rank")),
        *((name, pa.float64()) for name in ("value", "low", "high")),
    ]
)
FAILURES = pa.schema([(name, pa.string()) for name in ("encoder", "setting", "reason")])


@dataclass
class Found:
    """Clusterings, those that could not be made, their scores by (encoder, setting) and rank; parted: rows of that table."""

    runs: list[Run] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    scored: dict[tuple[str, str], dict[str, Partition]] = field(default_factory=dict)
    parted: list[dict[str, Any]] = field(default_factory=list)


def tables_of(
    found: Found, galleries: Mapping[str, Gallery], main: Target, halves: Halves, boot: Bootstrap
) -> dict[str, pa.Table]:
    """name -> table; galleries: of every encoder, the same specimens; main: the rank at which clusterings are compared."""
    runs, scored = found.runs, found.scored
    summary = [_summary(run, scored[run.key][main.name], found.parted) for run in runs]
    return {
        "summary": pa.Table.from_pylist(summary, SUMMARY),
        "scores": pa.Table.from_pylist(_scores(runs, scored), SCORES),
        "parted": pa.Table.from_pylist(found.parted, PARTED),
        "agreement": pa.Table.from_pylist(_agreement(runs, scored, found.parted, main, boot), AGREEMENT),
        "differences": pa.Table.from_pylist(_differences(runs, scored, main, halves), DIFFERENCES),
        "labels": _labels(next(iter(galleries.values())), main, runs),
        "looks": pa.Table.from_pylist(_looks(runs, summary, galleries, main), LOOKS),
        "failures": pa.Table.from_pylist([vars(each) for each in found.failed], FAILURES),
    }


def _summary(run: Run, main: Partition, parted_rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    how = run.setting.settings
    mine = [row for row in parted_rows if (row["encoder"], row["setting"], row["labels"]) == (*run.key, CLUSTERS)]
    mine.sort(key=lambda row: row["noise"] == ONE_CLUSTER)  # which counts where there is noise, as it does for AMI
    widths = {f"silhouette_{row['space']}": row["silhouette"] for row in mine}
    return {
        **main.row,
        **widths,
        **run.cost,
        "encoder": run.encoder,
        "setting": run.setting.name,
        "standardise": how.standardise,
        "reducer": how.reducer,
        "clusterer": how.method,
        "dims": run.reduced.shape[1],
        "counted_by": run.setting.counted,
        "clusters": len(np.unique(run.labels[run.labels >= 0])),
    }


def _scores(runs: Sequence[Run], scored: Scored) -> list[dict[str, Any]]:
    return [
        {"encoder": run.encoder, "setting": run.setting.name, **each.row} for run in runs for each in scored[run.key].values()
    ]


def _agreement(
    runs: Sequence[Run],
    scored: Scored,
    rows: Sequence[Mapping[str, Any]],
    main: Target,
    boot: Bootstrap,
) -> list[dict[str, Any]]:
    """Each score of clusters in each space, noise left out and as one cluster, against AMI at the main rank.

    What was chosen without labels is no setting that was set beforehand, and may be one of these once more: it stands apart.
    """
    truth = {run.key: scored[run.key][main.name].ami.interval.value for run in runs if run.setting.name != CHOSEN}
    scores: dict[tuple[str, str, str], dict[tuple[str, str], float]] = {}
    mine = [row for row in rows if row["labels"] == CLUSTERS]
    for score in WELL_PARTED:
        for space in (UMAP, REDUCED, ORIGINAL):
            here = [row for row in mine if row["space"] == space]
            left_out = {(row["encoder"], row["setting"]): row[score] for row in here if row["noise"] == LEFT_OUT}
            as_one = {(row["encoder"], row["setting"]): row[score] for row in here if row["noise"] == ONE_CLUSTER}
            if left_out:
                scores[score, space, LEFT_OUT] = left_out
            if as_one:
                scores[score, space, ONE_CLUSTER] = {**left_out, **as_one}
    return agreement(scores, truth, boot)


def _differences(runs: Sequence[Run], scored: Scored, main: Target, halves: Halves) -> list[dict[str, Any]]:
    first = runs[0].encoder
    there = {run.key for run in runs}
    found = []
    for run in runs:
        if run.encoder != first and (first, run.setting.name) in there:
            base, other = (scored[name, run.setting.name][main.name].ami for name in (first, run.encoder))
            value, low, high = halves.difference(base, other)
            facts = {"setting": run.setting.name, "first": first, "encoder": run.encoder, "rank": main.name}
            found.append({**facts, "value": value, "low": low, "high": high})
    return found


def _looks(
    runs: Sequence[Run], summary: Sequence[Mapping[str, Any]], galleries: Mapping[str, Gallery], main: Target
) -> list[dict[str, Any]]:
    told = [{"silhouette_umap": None, "silhouette_reduced": None, **row} for row in summary]
    first = put_first(told, judging_space(told))
    picked = [run for run in runs if first is not None and run.key == (first["encoder"], first["setting"])]
    return [row for run in picked for row in looks(run, galleries[run.encoder], main)]


def _labels(gallery: Gallery, main: Target, runs: Sequence[Run]) -> pa.Table:
    columns = {f"{run.encoder} | {run.setting.name}": pa.array(run.labels, pa.int32()) for run in runs}
    return pa.table(
        {"id": pa.array(gallery.ids, pa.string()), main.name: pa.array(main.names_of(main.query), pa.string()), **columns}
    )
