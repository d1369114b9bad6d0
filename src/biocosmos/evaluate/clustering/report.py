"""How well clusterings of embeddings find the taxa: encoders x reducers x clusterers, at every rank, with and without labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce as folded
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from biocosmos.discover.choice.internal import ASKED
from biocosmos.discover.clusters import ClusterSettings
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.clustering.caveats import clustering_caveats
from biocosmos.evaluate.clustering.chosen import CHOICES, Chosen, choice_rows, chosen, with_chosen
from biocosmos.evaluate.clustering.grid import FIXED, FROM_LABELS, Options, Setting, grid, told
from biocosmos.evaluate.clustering.intervals import DRAWS, Halves
from biocosmos.evaluate.clustering.page import page
from biocosmos.evaluate.clustering.parted import parted_in_spaces
from biocosmos.evaluate.clustering.partitions import partitions
from biocosmos.evaluate.clustering.runs import cluster_all
from biocosmos.evaluate.clustering.tables import Found, tables_of
from biocosmos.evaluate.clustering.work import Work
from biocosmos.evaluate.numbers.bootstrap import CONFIDENCE, Bootstrap
from biocosmos.evaluate.numbers.targets import Target, group_targets, rank_targets
from biocosmos.evaluate.report import Report, split_hash
from biocosmos.progress import progress
from biocosmos.search.gallery import Gallery

Count = int | Literal["taxa", "chosen"]


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

    galleries: encoder -> the specimens that are clustered, labelled or not; those that all encoders have are compared.
    settings: reducers and clusterers with their parameters, or as options; None: those of :func:`grid`; a mapping names them.
    clusters: how many, for clusterers that must be told and whose setting does not say. "taxa" takes as many as there are taxa at
        the main rank, which is a use of the labels and is marked as one; "chosen" lets :mod:`biocosmos.discover.choice` say it
        for each encoder without labels, and adds the setting that it would take.
    counted: where a number comes from, in words. ranks: those to score, all by default. groups: columns to compare clusters with
        too (do they follow the instrument?). draws: halves for intervals (:class:`Halves`). asked: rows whose silhouette is
        taken. work: a folder to go on from when killed.

    Tables: summary (a row a clustering, at the main rank: the finest at which half of the specimens have a name), scores (per
    rank), parted (silhouettes, Calinski-Harabasz, Davies-Bouldin of clusters and taxa in the original, the reduced and UMAP's
    space), agreement (do scores without labels order clusterings as AMI does), differences (encoders with the first, on the same
    specimens), labels (the cluster of every specimen), looks (those shown with pictures), failures, choices (what was chosen
    without labels, and what that loses).
    UMAP's space is there where UMAP is among the reducers.

    Raises BiocosmosError where no specimen has a name, where all have the same, under two specimens, and when nothing could be
    clustered.
    """
    sizes = {name: len(gallery) for name, gallery in galleries.items()}
    galleries = common_rows(galleries)
    first = next(iter(galleries.values()))
    targets = targets_of(first, ranks, groups)
    main = main_of(targets)
    kept, halves = Work(work), Halves(len(first), draws, confidence, seed)
    given = grid(seed=seed) if settings is None else settings
    choices: dict[str, Chosen] = {}
    if clusters == "chosen":
        choices = {encoder: chosen(gallery.vectors, seed, kept) for encoder, gallery in galleries.items()}
        ways = {encoder: with_chosen(given, choice) for encoder, choice in choices.items()}
    else:
        number, by = (_taxa(main), FROM_LABELS) if clusters == "taxa" else (clusters, counted or FIXED)
        ways = dict.fromkeys(galleries, told(given, number, by))
    found = _found(galleries, ways, targets, halves, kept, seed, asked)
    tables = tables_of(found, galleries, main, halves, Bootstrap(seed=seed, confidence=confidence))
    tables["choices"] = pa.Table.from_pylist(choice_rows(choices, tables["summary"].to_pylist()), CHOICES)
    provenance = {
        "protocol": "clustering",
        "specimens": len(first),
        "main_rank": main.name,
        "encoders": {name: gallery.provenance for name, gallery in galleries.items()},
        "split_hash": split_hash(first.provenance),
        "options": {
            "settings": {encoder: {each.name: vars(each.settings) for each in mine} for encoder, mine in ways.items()},
            "clusters": clusters,
            "intervals": {"halves": draws, "confidence": confidence, "seed": seed},
            "silhouette_rows": min(asked, len(first)),
        },
    }
    caveats = clustering_caveats(tables, len(first), sizes, main, ways[next(iter(ways))], asked)
    return Report("clustering", f"Clusters against taxa: {', '.join(galleries)}", tables, caveats, provenance, page)


def _found(
    galleries: Mapping[str, Gallery],
    ways: Mapping[str, Sequence[Setting]],
    targets: Sequence[Target],
    halves: Halves,
    work: Work,
    seed: int,
    asked: int,
) -> Found:
    """Every clustering of every encoder with its scores. Raises BiocosmosError where there is none."""
    found = Found()
    with progress("clustering", total=2 * sum(map(len, ways.values())), unit="settings") as bar:
        for encoder, gallery in galleries.items():
            bar.describe(f"clustering {encoder}")
            runs, failed = cluster_all(encoder, gallery.vectors, ways[encoder], work, bar.advance)
            bar.advance(len(failed))
            for run in runs:
                found.scored[run.key] = partitions(run.labels, targets, halves, work)
                bar.advance()
            found.parted += parted_in_spaces(encoder, gallery.vectors, runs, targets, work, seed, asked)
            found.runs += runs
            found.failed += failed
    if not found.runs:
        raise BiocosmosError(f"nothing could be clustered: {found.failed[0].setting}: {found.failed[0].reason}")
    return found


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
