"""What points are coloured by: a class for every specimen, and the legend of the classes."""

from __future__ import annotations

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
    if kept.kept(collection, "clusters"):
        found.append(("cluster", "cluster"))
    found.append(("tag", "tag"))
    for name in NUMBERS:
        if np.isfinite(getattr(desk.catalogue, name)).any():
            found.append((name, name))
    return found


def first_choice(desk: Desk) -> str:
    """The finest rank at which the legend can name nearly all: at most :data:`NAMED` taxa, else the one with the fewest."""
    taxonomy, nodes = desk.catalogue.taxonomy, desk.catalogue.nodes
    taxa = {}
    for rank in taxonomy.ranks:
        found = np.unique(taxonomy.ancestor(nodes, rank))
        taxa[rank] = int((found > 0).sum())
    few = [rank for rank, count in taxa.items() if 1 < count <= NAMED]
    many = sorted((count, rank) for rank, count in taxa.items() if count > NAMED)
    if few:
        return f"{RANK}{few[-1]}"
    return f"{RANK}{many[0][1]}" if many else "state"


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
        split = desk.collection.split()
        return _texts(_joined(catalogue.ids, split.ids, split.parts).take(pa.array(rows)))
    if by == "cluster":
        table = kept.read_kept(desk.collection, "clusters").table()
        return _clusters(_joined(catalogue.ids, table["id"], table["cluster"]).take(pa.array(rows)))
    if by == "tag":
        return _tags(desk, rows)
    keys = ", ".join(key for key, _ in choices(desk))
    raise BiocosmosError(f"the map cannot be coloured by {by[:60]!r}: it can by {keys}")


def _taxa(catalogue: Any, rank: str, rows: npt.NDArray[np.int32]) -> Colouring:
    taxonomy = catalogue.taxonomy
    if rank not in taxonomy.ranks:
        raise BiocosmosError(f"there is no rank {rank[:60]!r} to colour by: there are {', '.join(taxonomy.ranks)}")
    nodes = taxonomy.ancestor(catalogue.nodes[rows], rank)
    distinct, inverse = np.unique(nodes, return_inverse=True)
    names = [str(taxonomy.names[node]) if node > 0 else "" for node in distinct]
    for place, name in enumerate(names):
        if name and names.count(name) > 1:  # homonyms: their parents tell them apart
            path = [each for each in taxonomy.path(int(distinct[place])) if each]
            names[place] = f"{name} ({path[-2] if len(path) > 1 else rank})"
    codes = np.where(distinct > 0, np.arange(len(distinct)), -1)[inverse]
    return _classes(codes, names)


def _clusters(values: pa.Array) -> Colouring:
    numbers = pc.cast(values, pa.int64(), safe=False).fill_null(-1).to_numpy(zero_copy_only=False)
    distinct, inverse = np.unique(numbers, return_inverse=True)
    codes = np.where(distinct >= 0, np.arange(len(distinct)), -1)[inverse]
    return _classes(codes, [f"cluster {number}" for number in distinct])


def _texts(values: pa.Array) -> Colouring:
    encoded = values.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return _classes(codes, [str(name) for name in encoded.dictionary.to_pylist()])


def _tags(desk: Desk, rows: npt.NDArray[np.int32]) -> Colouring:
    names = [tag.name for tag in desk.curation.tags()]
    codes = np.full(len(desk.catalogue.ids), -1, np.int64)
    for code, name in enumerate(names):
        tagged = desk.curation.rows(name)
        codes[tagged] = np.where(codes[tagged] < 0, code, len(names))
    return _classes(codes[rows], [*names, SEVERAL])


def _joined(ids: pa.Array, given: Any, values: Any) -> pa.Array:
    """``values``, which stand beside the ids ``given``, for each of ``ids``; null where it is not given."""
    given, values = (each.combine_chunks() if isinstance(each, pa.ChunkedArray) else each for each in (given, values))
    return values.take(pc.index_in(ids.cast(pa.string()), value_set=given.cast(pa.string())))


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
