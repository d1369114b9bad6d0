"""Cluster the specimens of a collection, by a setting that is told or chosen without labels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.discover import kept
from biocosmos.discover.choice.choosing import choose
from biocosmos.discover.clusters import Clustering, ClusterSettings, cluster
from biocosmos.discover.clusters.spaces import MANIFOLDS, space
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.discovery.clusters.report import clusters_report, members
from biocosmos.evaluate.report import Report
from biocosmos.jobs.discover.settings import DiscoverSettings
from biocosmos.provenance import software
from biocosmos.settings import told
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection
from biocosmos.tables import replacing

Array = npt.NDArray[Any]
WORK = "work/clusters"


@dataclass(frozen=True)
class Clustered:
    """What was found. table: id, cluster, typicality, medoid; kept: the same in the collection's folder."""

    table: pa.Table
    clustering: Clustering
    report: Report
    kept: kept.Discovery


def discover_clusters(
    collection: Collection, settings: DiscoverSettings | None = None, how: Mapping[str, Any] | None = None, **options: Any
) -> Clustered:
    """Cluster the selected specimens that have a vector, and keep the table with the collection.

    settings, or as options: see :class:`DiscoverSettings`. how: fields of :class:`ClusterSettings`; without any the setting and
    the number of clusters are chosen without labels (:func:`biocosmos.discover.choice.choosing.choose`).

    Raises BiocosmosError where nothing was selected, and what :func:`biocosmos.discover.clusters.cluster` raises.
    """
    settings = told(DiscoverSettings, **options) if settings is None else settings
    name = collection.encoder_name(settings.encoder)
    gallery = collection.gallery(name, **settings.selected(), columns=[])
    if not len(gallery):
        raise BiocosmosError(f"there is nothing to cluster: no selected specimen of {collection.path} is embedded with {name}")
    caveats = guard.told(collection, gallery.ids, name)
    reasons: pa.Table | None = None
    facts: dict[str, Any] = {"chosen_without_labels": not how}
    if how:
        setting = told(ClusterSettings, seed=settings.seed, **how)
    else:
        choice = choose(gallery.vectors, seed=settings.seed)
        setting, reasons, facts["reasons"] = choice.settings, choice.reasons, list(choice.said)
    reduced = _kept_space(collection, gallery.vectors, setting) if setting.reducer in MANIFOLDS else None
    found = cluster(gallery.vectors, setting, reduced=reduced)
    title = f"{collection.path.stem}: what is alike, by {name}"
    report = clusters_report(gallery, found, title=title, reasons=reasons, caveats=caveats, provenance=facts)
    table = members(gallery, found)
    return Clustered(table, found, report, kept.keep(collection, "clusters", table, report.provenance))


def _kept_space(collection: Collection, vectors: Array, setting: ClusterSettings) -> Array:
    """The reduced space, kept in the collection's folder: it takes longer than all the rest, and serves every clustering."""
    parts = [setting.standardise, setting.reducer, setting.dims, setting.space_neighbours, setting.again, setting.seed]
    digest = hashlib.sha256(repr([parts, software()["biocosmos"]]).encode())
    digest.update(np.ascontiguousarray(vectors).data)
    path = collection.path / WORK / f"{setting.reducer}-{digest.hexdigest()[:16]}.npy"
    try:
        found: Array = np.load(path)
        if len(found) == len(vectors):
            return found
    except (OSError, ValueError, EOFError):  # not there, or damaged: made again
        pass
    found = space(vectors, setting)
    with replacing(path) as temporary, temporary.open("wb") as out:
        np.save(out, found)
    return found
