"""Search with a place, a day or a depth: how far from there each neighbour was found, or what was found nearest."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.jobs.settings import SearchSettings
from biocosmos.places import Places, days_apart, great_circle
from biocosmos.settings import refuse_changed
from biocosmos.specimens.collection import Collection
from biocosmos.specimens.placed import places_of

STAGE = "search"
SCORE = "score"
ALIKE = ("encoder", "among", "approximate", "align", "fold", "device", "precision", "backend")
"""Settings of a search by likeness."""
Distances = dict[str, npt.NDArray[np.float64]]


def asked_place(settings: SearchSettings) -> Places | None:
    """The one place, day and depth that is asked about; None where none is. Raises BiocosmosError for what is none."""
    if settings.at is None and settings.on is None and settings.depth is None:
        return None
    return Places.told(settings.at, settings.on, settings.depth)


def asks_alike(settings: SearchSettings) -> bool:
    """Whether something is asked about that has a vector."""
    asked = (settings.images, settings.text, settings.id, settings.dna, settings.fasta)
    return any((*asked, settings.place, settings.sound, settings.satellite))


def distances(asked: Places, found: Places) -> Distances:
    """What is asked about -> (n,) float64 how far it is: kilometres along the great circle, days the shorter way around the year,
    metres of depth; nan where a specimen does not say it."""
    far: Distances = {}
    if asked.has_place[0]:
        far["kilometres"] = great_circle(asked.latitude, asked.longitude, found.latitude, found.longitude)
    if asked.has_day[0]:
        far["days"] = days_apart(asked.day, found.day)
    if np.isfinite(asked.depth[0]):
        far["metres"] = np.abs(asked.depth - found.depth)
    return far


def with_distances(collection: Collection, table: pa.Table, asked: Places) -> pa.Table:
    """The neighbours, in their order, with how far from there each was found, behind their score; null where it is not known."""
    ids = sorted(set(table["id"].to_pylist()))
    stored, places = places_of(collection, ids)
    row_of = {id_: row for row, id_ in enumerate(stored.to_pylist())}
    rows = np.array([row_of[id_] for id_ in table["id"].to_pylist()], np.int64)
    at = table.column_names.index(SCORE) + 1
    for name, far in reversed(distances(asked, places.take(rows)).items()):
        table = table.add_column(at, name, pa.array(np.round(far, 3), from_pandas=True))
    return table


def nearest_found(collection: Collection, asked: Places, settings: SearchSettings) -> tuple[pa.Table, Failures, dict[str, Any]]:
    """The ``settings.k`` selected specimens that were found nearest: query, position, id and the distances.

    By place first, then by day, then by depth, of what is asked about. Specimens that do not say all of it are left out, and
    their number is a warning. Raises UnusedSetting for a setting of likeness, BiocosmosError where no specimen is left.
    """
    refuse_changed(settings, ALIKE, "with something that has a vector: an image, --text, --id, --dna, --fasta, --place")
    stored, places = places_of(collection, **settings.selected())
    far = distances(asked, places)
    known = np.isfinite(np.stack([*far.values()])).all(axis=0)
    what = " and a ".join({"kilometres": "place", "days": "day of the year", "metres": "depth"}[name] for name in far)
    if not known.any():
        raise BiocosmosError(f"no specimen that was selected in {collection.path} has a {what}: nothing is near")
    failures = Failures()
    if not known.all():
        missing = int((~known).sum())
        left = "1 specimen without a {} is left out" if missing == 1 else f"{missing:,} specimens without a {{}} are left out"
        failures.add(left.format(what), stage=STAGE, severity="warning")
    rows = np.flatnonzero(known)
    rows = rows[np.lexsort([each[rows] for each in reversed(far.values())])][: settings.k]
    deep = None if settings.depth is None else f"{settings.depth:g} m"
    said = " ".join(each for each in (settings.at, settings.on, deep) if each is not None)
    table = pa.table(
        {
            "query": [said] * len(rows),
            "position": pa.array(range(1, len(rows) + 1), pa.int32()),
            "id": stored.take(pa.array(rows)),
        }
    )
    for name, each in far.items():
        table = table.append_column(name, pa.array(np.round(each[rows], 3)))
    return table, failures, {"search": {"near": said}}
