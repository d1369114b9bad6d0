"""What points are coloured by: a class for every specimen, and the legend of the classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.discover import kept
from biocosmos.errors import BiocosmosError

if TYPE_CHECKING:
    from biocosmos.serve.desk import Desk

NAMED, STEPS = 20, 32
"""Classes with a name and a colour of their own; steps of a number."""
STATES = ("unlabelled", "predicted", "dubious", "validated")
RANK = "rank:"
NUMBERS = ("novelty", "confidence")
SEVERAL = "several tags"

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Colouring:
    """codes: (n,) uint16, a class for every specimen asked about. kind: "classes", of which the legend names each, or "steps", of
    a number from ``low`` to ``high`` in :data:`STEPS` equal steps. legend: code, name, count, role ("class", "other", "none")."""

    codes: npt.NDArray[np.uint16]
    kind: str
    legend: list[dict[str, Any]]
    low: float | None = None
    high: float | None = None


def choices(desk: Desk) -> list[tuple[str, str]]:
    """(key, what a menu calls it) of everything that the specimens of a collection can be coloured by."""
    collection = desk.collection
    found = [(f"{RANK}{rank}", rank) for rank in reversed(desk.catalogue.taxonomy.ranks)]
    found.append(("state", "state of the name"))
    if "default" in collection.split_names:
        found.append(("part", "part of the split"))
    if _live(desk) or kept.kept(collection, "clusters"):
        found.append(("cluster", "cluster"))
    if desk.curation.tags():
        found.append(("tag", "tag"))
    for name in NUMBERS:
        if np.isfinite(getattr(desk.catalogue, name)).any():
            found.append((name, name))
    return found


def first_choice(desk: Desk) -> str:
    """The rank at which the classes that the legend names tell most (bits a specimen), the state where no rank tells anything."""
    taxonomy, nodes = desk.catalogue.taxonomy, desk.catalogue.nodes
    best, most = "state", 0.0
    for rank in taxonomy.ranks:
        counts = np.bincount(np.maximum(taxonomy.ancestor(nodes, rank), 0), minlength=len(taxonomy))[1:]
        shares = np.sort(counts[counts > 0])[::-1][:NAMED] / max(1, len(nodes))
        told = float(-(shares * np.log2(shares)).sum())
        if told > most + 0.01 and len(shares) > 1:
            best, most = f"{RANK}{rank}", told
    return best


def colouring(desk: Desk, by: str, rows: npt.NDArray[np.int32]) -> Colouring:
    """The classes of specimens, for ``by`` one of the keys of :func:`choices`. Raises BiocosmosError for anything else."""
    catalogue = desk.catalogue
    if by in NUMBERS:
        return _steps(getattr(catalogue, by)[rows])
    if by == "state":
        return _classes(catalogue.states[rows].astype(np.int64), STATES)
    if by.startswith(RANK):
        return _taxa(catalogue, by.removeprefix(RANK), rows)
    if by == "part":
        split = catalogue.parts.split(catalogue.now.stored, "default")
        return _classes(split.codes[rows].astype(np.int64), split.names)
    if by == "cluster":
        return _clusters(desk, rows)
    if by == "tag":
        names = [tag.name for tag in desk.curation.tags()]
        return _classes(_sets(desk, [*map(desk.curation.rows, names)])[rows], [*names, SEVERAL])
    keys = ", ".join(key for key, _ in choices(desk))
    raise BiocosmosError(f"the map cannot be coloured by {by[:60]!r}: it can by {keys}")


def _taxa(catalogue: Any, rank: str, rows: npt.NDArray[np.int32]) -> Colouring:
    taxonomy = catalogue.taxonomy
    if rank not in taxonomy.ranks:
        raise BiocosmosError(f"there is no rank {rank[:60]!r} to colour by: there are {', '.join(taxonomy.ranks)}")
    nodes = np.maximum(taxonomy.ancestor(catalogue.nodes[rows], rank), 0)
    distinct = np.flatnonzero(np.bincount(nodes, minlength=1))
    distinct = distinct[distinct > 0]
    names = [str(taxonomy.names[node]) for node in distinct]
    several = Counter(names)
    for place, name in enumerate(names):
        if several[name] > 1:  # homonyms: their parents tell them apart
            path = [each for each in taxonomy.path(int(distinct[place])) if each]
            names[place] = f"{name} ({path[-2] if len(path) > 1 else rank})"
    codes = np.full(len(taxonomy) + 1, -1, np.int64)
    codes[distinct] = np.arange(len(distinct))
    return _classes(codes[nodes], names)


def _live(desk: Desk) -> Any:
    """The clusters that somebody works on: they are shown, not those that a job found last; None where nobody does."""
    return desk.clusters if kept.kept(desk.collection, "growing") else None


def _clusters(desk: Desk, rows: npt.NDArray[np.int32]) -> Colouring:
    if (live := _live(desk)) is not None:
        names = live.names()
        return _classes(_sets(desk, [*map(live.rows, names)])[rows], [*names, SEVERAL])
    table = kept.read_kept(desk.collection, "clusters").table()
    places = desk.catalogue.rows_of_ids(table["id"].cast(pa.string()).combine_chunks())
    given = pc.cast(table["cluster"], pa.int64(), safe=False).fill_null(-1).to_numpy()
    numbers = np.full(len(desk.catalogue.ids), -1, np.int64)
    numbers[places[places >= 0]] = given[places >= 0]
    distinct, inverse = np.unique(numbers[rows], return_inverse=True)
    codes = np.where(distinct >= 0, np.arange(len(distinct)), -1)[inverse]
    return _classes(codes, [f"cluster {number}" for number in distinct])


def _sets(desk: Desk, sets: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.int64]:
    """(n,) of which set each specimen is, -1 of none, their number of several."""
    codes = np.full(len(desk.catalogue.ids), -1, np.int64)
    for code, members in enumerate(sets):
        codes[members] = np.where(codes[members] < 0, code, len(sets))
    return codes


def _classes(values: npt.NDArray[np.int64], names: Sequence[str]) -> Colouring:
    """The classes with most specimens first, the rest together. values: (n,) places in ``names``, -1 for none."""
    known = values >= 0
    counts = np.bincount(values[known], minlength=len(names))
    order = sorted(np.flatnonzero(counts).tolist(), key=lambda place: (-counts[place], names[place]))
    shown = order if len(order) <= NAMED else order[:NAMED]
    other, none = NAMED, NAMED + 1
    table = np.full(len(names) + 1, other, np.uint16)
    table[-1] = none  # where -1 points to
    for code, place in enumerate(shown):
        table[place] = code
    legend = [_entry(code, names[place], counts[place], "class") for code, place in enumerate(shown)]
    if rest := order[len(shown) :]:
        legend.append(_entry(other, f"{len(rest):,} others", counts[rest].sum(), "other"))
    if lacking := int((~known).sum()):
        legend.append(_entry(none, "none", lacking, "none"))
    return Colouring(table[values], "classes", legend)


def _steps(values: npt.NDArray[np.float32]) -> Colouring:
    known = np.isfinite(values)
    low, high = (float(values[known].min()), float(values[known].max())) if known.any() else (0.0, 0.0)
    width = (high - low) / STEPS or 1.0
    codes = np.full(len(values), STEPS, np.uint16)
    codes[known] = np.clip((values[known] - low) / width, 0, STEPS - 1).astype(np.uint16)
    lacking = int((~known).sum())
    legend = [_entry(STEPS, "none", lacking, "none")] if lacking else []
    return Colouring(codes, "steps", legend, low, high)


def _entry(code: int, name: str, count: int, role: str) -> dict[str, Any]:
    return {"code": code, "name": name, "count": int(count), "role": role}
