"""How well clusterings of embeddings find the taxa: encoders x reducers x clusterers, at every rank, with and without labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce as folded
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.discover.choice.internal import ASKED
from biocosmos.discover.clusters import ClusterSettings
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.clustering.agreement import AGREEMENT, agreement
from biocosmos.evaluate.clustering.caveats import clustering_caveats
from biocosmos.evaluate.clustering.grid import FIXED, FROM_LABELS, Options, grid, space_name, told
from biocosmos.evaluate.clustering.intervals import DRAWS, Halves
from biocosmos.evaluate.clustering.page import page
from biocosmos.evaluate.clustering.parted import (
    CLUSTERS,
    LEFT_OUT,
    ONE_CLUSTER,
    ORIGINAL,
    PARTED,
    REDUCED,
    UMAP,
    WELL_PARTED,
    Labelling,
    labellings_of,
    parted,
)
from biocosmos.evaluate.clustering.partitions import SCORES, Partition, partitions
from biocosmos.evaluate.clustering.runs import COSTS, Failed, Run, cluster_all
from biocosmos.evaluate.clustering.work import Work
from biocosmos.evaluate.numbers.bootstrap import CONFIDENCE, Bootstrap
from biocosmos.evaluate.numbers.targets import Target, group_targets, rank_targets
from biocosmos.evaluate.report import Report, split_hash
from biocosmos.progress import progress
from biocosmos.search.gallery import Gallery

Array = npt.NDArray[Any]
Count = int | Literal["taxa"]

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


def clustering_report(
    galleries: Mapping[str, Gallery],
    settings: Sequence[ClusterSettings | Options] | Mapping[str, ClusterSettings | Options] | None = None,
    *,
    clusters: Count = "taxa",
    counted: str | None = None,
    ranks: Sequence[str] | None = None,
    groups: Sequence[str] = (),
    seed: int = 0,
    draws: int = DRAWS,
    confidence: float = CONFIDENCE,
    asked: int = ASKED,
    work: Path | None = None,
) -> Report:
    """Cluster the vectors of every encoder by every setting, and compare the clusters with the taxa of every rank.

    galleries: encoder -> the specimens that are clustered, labelled or not; those that all encoders have are compared. settings:
    reducers and clusterers with their parameters, or as options; None: those of :func:`grid`; a mapping names them.
    clusters: how many, for clusterers that must be told and whose setting does not say: "taxa" takes as many as there are taxa
    at the main rank, which is a use of the labels and is marked as one; counted: where a number comes from, in words. ranks:
    those to score, all by default; groups: columns to compare clusters with too (do they follow the instrument?). draws: halves
    for intervals (see :class:`Halves`); asked: rows whose silhouette is taken; work: a folder to go on from when killed.

    Tables: summary (a row a clustering, at the main rank: the finest at which half of the specimens have a name), scores (per
    rank), parted (silhouettes, Calinski-Harabasz, Davies-Bouldin of clusters and taxa in the original, the reduced and UMAP's
    space), agreement (do scores without labels order clusterings as AMI does), differences (encoders with the first, on the same
    specimens), labels (the cluster of every specimen), failures. UMAP's space is there where UMAP is among the reducers.

    Raises BiocosmosError where no specimen has a name, where all have the same, under two specimens, and when nothing could be
    clustered.
    """
    sizes = {name: len(gallery) for name, gallery in galleries.items()}
    galleries = common_rows(galleries)
    first = next(iter(galleries.values()))
    targets = targets_of(first, ranks, groups)
    main = main_of(targets)
    number = _taxa(main) if clusters == "taxa" else clusters
    by = FROM_LABELS if clusters == "taxa" else counted or FIXED
    chosen = told(grid(seed=seed) if settings is None else settings, number, by)
    kept, halves = Work(work), Halves(len(first), draws, confidence, seed)
    runs, failed = list[Run](), list[Failed]()
    scored: dict[tuple[str, str], dict[str, Partition]] = {}
    rows: list[dict[str, Any]] = []
    with progress("clustering", total=len(galleries) * len(chosen) * 2, unit="settings") as bar:
        for encoder, gallery in galleries.items():
            bar.describe(f"clustering {encoder}")
            made, lost = cluster_all(encoder, gallery.vectors, chosen, kept, bar.advance)
            bar.advance(len(lost))
            for run in made:
                scored[run.key] = partitions(run.labels, targets, halves, kept)
                bar.advance()
            rows += _spaces(encoder, gallery.vectors, made, targets, kept, seed, asked)
            runs += made
            failed += lost
    if not runs:
        raise BiocosmosError(f"nothing could be clustered: {failed[0].setting}: {failed[0].reason}")
    tables = {
        "summary": pa.Table.from_pylist([_summary(run, scored[run.key][main.name], rows) for run in runs], SUMMARY),
        "scores": pa.Table.from_pylist(_scores(runs, scored), SCORES),
        "parted": pa.Table.from_pylist(rows, PARTED),
        "agreement": pa.Table.from_pylist(
            _agreement(runs, scored, rows, main, Bootstrap(seed=seed, confidence=confidence)), AGREEMENT
        ),
        "differences": pa.Table.from_pylist(_differences(runs, scored, main, halves), DIFFERENCES),
        "labels": _labels(first, main, runs),
        "failures": pa.Table.from_pylist([vars(each) for each in failed], FAILURES),
    }
    provenance = {
        "protocol": "clustering",
        "specimens": len(first),
        "main_rank": main.name,
        "encoders": {name: gallery.provenance for name, gallery in galleries.items()},
        "split_hash": split_hash(first.provenance),
        "options": {
            "settings": {each.name: vars(each.settings) for each in chosen},
            "clusters": {"number": number, "counted_by": by},
            "intervals": {"halves": draws, "confidence": confidence, "seed": seed},
            "silhouette_rows": min(asked, len(first)),
        },
    }
    caveats = clustering_caveats(tables, len(first), sizes, main, chosen, asked)
    title = f"Clusters against taxa: {', '.join(galleries)}"
    return Report("clustering", title, tables, caveats, provenance, page)


def common_rows(galleries: Mapping[str, Gallery]) -> dict[str, Gallery]:
    """The specimens that every encoder has, in one order. Raises BiocosmosError where there are under two, or none is common."""
    if not galleries:
        raise BiocosmosError("there is nothing to cluster: pass a gallery for each encoder")
    found = dict(galleries)
    ids = [set(gallery.ids) for gallery in found.values()]
    common = folded(set.__and__, ids)
    if any(len(each) > len(common) for each in ids):
        found = {name: each.subset(np.array([id in common for id in each.ids], bool)) for name, each in found.items()}
    if len(common) < 2:
        what = "are in every gallery" if len(found) > 1 else "are there"
        raise BiocosmosError(f"clusters need at least 2 specimens, but {len(common)} {what}: choose a larger part")
    first = next(iter(found.values()))
    for name, each in found.items():
        if not np.array_equal(each.ids, first.ids):
            raise BiocosmosError(f"the specimens of '{name}' stand in another order: make all galleries from one collection")
    return found


def main_of(targets: Sequence[Target]) -> Target:
    """The finest rank with at least two taxa at which half of the specimens have a name; the best named one if there is none.

    Raises BiocosmosError where there are no two taxa at any rank.
    """
    told = [target for target in targets if target.kind == "rank" and _taxa(target) > 1] or [t for t in targets if _taxa(t) > 1]
    if not told:
        same = targets[-1]
        raise BiocosmosError(
            f"every specimen with a name is of one {same.name} ({same.names[0]}): there is nothing for clusters to tell apart"
        )
    half = [target for target in told if (target.query >= 0).sum() * 2 >= len(target.query)]
    return half[-1] if half else max(told, key=lambda target: int((target.query >= 0).sum()))


def targets_of(gallery: Gallery, ranks: Sequence[str] | None, groups: Iterable[str]) -> list[Target]:
    """What clusters are compared with: the ranks that have a name somewhere, and columns. Raises BiocosmosError for none."""
    taxa = rank_targets(gallery, gallery, ranks)
    columns = [name for name in groups if name not in {target.name for target in taxa}]
    targets = [*taxa, *group_targets(gallery, gallery, columns)]
    targets = [target for target in targets if len(target)]
    if not targets:
        raise BiocosmosError(
            "no specimen has a name, so there is nothing to compare clusters with: 'biocosmos discover clusters' needs no names, "
            "and tells how well its clusters are parted"
        )
    return targets


def _taxa(target: Target) -> int:
    return len(np.unique(target.query[target.query >= 0]))


def _spaces(
    encoder: str, vectors: Array, runs: Sequence[Run], targets: Sequence[Target], work: Work, seed: int, asked: int
) -> list[dict[str, Any]]:
    """Rows of ``parted``: taxa and clusters in the original space and UMAP's, and each where it was clustered."""
    umap = next((run.reduced for run in runs if run.setting.settings.reducer == "umap"), None)
    rows: list[dict[str, Any]] = []
    for space, x in ((ORIGINAL, vectors), (UMAP, umap)):
        if x is not None:
            here = {"encoder": encoder, "space": space}
            shown = [each for run in runs for each in labellings_of(run.labels, {**here, "setting": run.setting.name})]
            rows += parted(x, [*_true(targets, {**here, "setting": ""}), *shown], work, seed, asked)
    alike: dict[int, list[Run]] = {}
    for run in runs:
        alike.setdefault(id(run.reduced), []).append(run)
    for of_one in alike.values():
        by = space_name(of_one[0].setting.settings)
        here = {"encoder": encoder, "space": REDUCED}
        shown = [each for run in of_one for each in labellings_of(run.labels, {**here, "setting": run.setting.name})]
        rows += parted(of_one[0].reduced, [*_true(targets, {**here, "setting": by}), *shown], work, seed, asked)
    return rows


def _true(targets: Sequence[Target], facts: Mapping[str, str]) -> list[Labelling]:
    return [Labelling({**facts, "labels": target.name, "noise": LEFT_OUT}, target.query) for target in targets]


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


def _scores(runs: Sequence[Run], scored: Mapping[tuple[str, str], Mapping[str, Partition]]) -> list[dict[str, Any]]:
    return [
        {"encoder": run.encoder, "setting": run.setting.name, **each.row} for run in runs for each in scored[run.key].values()
    ]


def _agreement(
    runs: Sequence[Run],
    scored: Mapping[tuple[str, str], Mapping[str, Partition]],
    rows: Sequence[Mapping[str, Any]],
    main: Target,
    boot: Bootstrap,
) -> list[dict[str, Any]]:
    """Each score of clusters in each space, noise left out and as one cluster, against AMI at the main rank."""
    truth = {run.key: scored[run.key][main.name].ami.interval.value for run in runs}
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


def _differences(
    runs: Sequence[Run], scored: Mapping[tuple[str, str], Mapping[str, Partition]], main: Target, halves: Halves
) -> list[dict[str, Any]]:
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


def _labels(gallery: Gallery, main: Target, runs: Sequence[Run]) -> pa.Table:
    columns = {f"{run.encoder} | {run.setting.name}": pa.array(run.labels, pa.int32()) for run in runs}
    return pa.table(
        {"id": pa.array(gallery.ids, pa.string()), main.name: pa.array(main.names_of(main.query), pa.string()), **columns}
    )
