"""Lay the specimens of a collection out on a plane."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.discover import kept
from biocosmos.discover.projection import NEIGHBOURS, default_reducer, project
from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.discovery.maps.report import map_report
from biocosmos.evaluate.report import Report
from biocosmos.jobs.discover.map_settings import MapSettings
from biocosmos.provenance import software
from biocosmos.search.gallery import Gallery
from biocosmos.search.graph import Neighbours, neighbour_graph
from biocosmos.settings import told
from biocosmos.specimens import guard
from biocosmos.specimens.collection import Collection

Array = npt.NDArray[Any]
WORK = Path("work") / "map"
FEW_TAXA = 12
PART, CLUSTER = "part", "cluster"


@dataclass(frozen=True)
class Mapped:
    """table: id, x, y; graph: the nearest neighbours that were used; report: with the page; kept: the table kept."""

    table: pa.Table
    gallery: Gallery
    graph: Neighbours
    report: Report
    kept: kept.Discovery


def discover_map(collection: Collection, settings: MapSettings | None = None, **options: Any) -> Mapped:
    """Places of the selected specimens on a plane, kept with the collection. The neighbour graph, which takes longest, is kept in
    the collection's folder: killed and run again it goes on.

    settings, or as options: see :class:`MapSettings`. Raises BiocosmosError for too few specimens, a column that is not there.
    """
    settings = told(MapSettings, **options) if settings is None else settings
    name = collection.encoder_name(settings.encoder)
    columns = [each for each in settings.by if each not in (*collection.ranks, PART, CLUSTER)]
    for column in columns:
        if column not in collection.stored_columns:
            raise BiocosmosError(f"the collection has no column '{column}' to colour by")
    gallery = collection.gallery(name, **settings.selected(), columns=columns)
    reducer = settings.reducer or default_reducer(len(gallery))
    key = hashlib.sha256(f"{name} {settings.selected()}".encode()).hexdigest()[:12]
    graph = neighbour_graph(gallery.vectors, NEIGHBOURS, folder=collection.path / WORK / key)
    places = project(gallery.vectors, reducer, graph=graph, seed=settings.seed)
    table = pa.table({"id": pa.array(gallery.ids.tolist(), pa.string()), "x": places[:, 0], "y": places[:, 1]})
    facts: dict[str, Any] = {"reducer": reducer, "seed": settings.seed, "software": software(), "gallery": gallery.provenance}
    caveats = guard.told(collection, gallery.ids, name)
    if settings.reducer is None and reducer == "pca":
        caveats.append(
            "Only two of many directions are shown: pip install 'biocosmos[discover]' brings UMAP, which shows neighbours."
        )
    colours = {each: _values(collection, gallery, each) for each in settings.by or _default(collection, gallery)}
    title = f"{collection.path.stem}: a map of likeness, by {name}"
    report = map_report(gallery, places, colours, title=title, caveats=caveats, provenance=facts)
    return Mapped(table, gallery, graph, report, kept.keep(collection, "projection", table, report.provenance))


def atlas(found: Mapped, collection: Collection, *, images: bool = False) -> pa.Table:
    """The map as embedding-atlas and LightlyStudio open it: the specimens' columns, projection_x and projection_y, ``neighbors``
    (ids: row numbers, distances: 1 - cosine) and, if asked for, the images' bytes where they are packed."""
    fields = [name for name in collection.stored_columns if name != "crop" and (images or name != "image")]
    ids = found.gallery.ids.tolist()
    table = collection.take(ids, fields)
    rows = found.graph.rows
    near = [
        [{"ids": mine[mine >= 0].tolist(), "distances": (1 - scores[mine >= 0]).tolist()}]
        for mine, scores in zip(rows, found.graph.scores)
    ]
    kind = pa.struct([("ids", pa.list_(pa.int64())), ("distances", pa.list_(pa.float64()))])
    table = table.append_column("projection_x", found.table["x"]).append_column("projection_y", found.table["y"])
    return table.append_column("neighbors", pa.array([each[0] for each in near], kind))


def _default(collection: Collection, gallery: Gallery) -> list[str]:
    found = []
    if gallery.taxa is not None and gallery.taxonomy is not None:
        lineage = gallery.taxonomy.lineage(gallery.taxa)
        counts = [len(np.unique(lineage[lineage[:, i] >= 0, i])) for i in range(lineage.shape[1])]
        few = [rank for rank, count in zip(gallery.taxonomy.ranks, counts) if 1 < count <= FEW_TAXA]
        found += few[-1:]
    if "default" in collection.split_names:
        found.append(PART)
    if kept.kept(collection, "clusters"):
        found.append(CLUSTER)
    return found


def _values(collection: Collection, gallery: Gallery, name: str) -> list[str | None]:
    """(n,) what each specimen is at a rank, in a column, of a split or a clustering."""
    ids = pa.array(gallery.ids.tolist(), pa.string())
    if name == PART:
        split = collection.split()
        found: list[str | None] = split.parts.take(pc.index_in(ids, value_set=split.ids)).to_pylist()
        return found
    if name == CLUSTER:
        table = kept.read_kept(collection, "clusters").table()
        place = pc.index_in(ids, value_set=table["id"].cast(pa.string()).combine_chunks())
        return [None if label is None or label < 0 else f"cluster {label}" for label in table["cluster"].take(place).to_pylist()]
    if name in collection.ranks and gallery.taxa is not None and gallery.taxonomy is not None:
        nodes = gallery.taxonomy.ancestor(gallery.taxa, name)
        return [None if node < 0 else str(gallery.taxonomy.names[node]) for node in nodes]
    assert gallery.columns is not None
    return [None if value is None else str(value) for value in gallery.columns[name].to_pylist()]
