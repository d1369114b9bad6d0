"""The collections that are merged: each one version of one, with what its ids are called from now on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biocosmos.errors import BiocosmosError, Failures
from biocosmos.specimens.differing import distinct
from biocosmos.specimens.known import digests
from biocosmos.specimens.records import EMBEDDING_PREFIX

if TYPE_CHECKING:
    from biocosmos.specimens.collection import Collection

SAME = ("content_hash", "crop", "label", "barcode")
"""Two specimens of one id are one if these agree."""
LOOKED_AT = 4096
SHOWN = 3


@dataclass(frozen=True)
class Part:
    """One version of a collection; ``prefix`` stands before its ids in the whole."""

    collection: Collection
    dataset: lance.LanceDataset
    prefix: str = ""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return str(self.collection.path)

    def ids(self) -> Iterator[pa.Array]:
        """Its ids as they are in the whole, in the order stored."""
        for batch in self.dataset.to_batches(columns=["id"]):
            yield self.prefixed(batch.column("id"))

    def prefixed(self, ids: pa.Array) -> pa.Array:
        """Its own ids as they are in the whole."""
        return pc.binary_join_element_wise(pa.scalar(self.prefix), ids, "") if self.prefix else ids

    def as_dict(self) -> dict[str, Any]:
        """What it is known by."""
        return {"path": str(self.collection.path.resolve()), "version": int(self.dataset.version), "prefix": self.prefix}


def parts_of(collections: Sequence[Collection], prefixes: Mapping[str, str]) -> list[Part]:
    """The newest version of each. prefixes: path, or name of the folder -> prefix; "" -> of all but the first.

    Raises BiocosmosError for a collection that is named twice, and for a prefix of one that is not among them.
    """
    places = [collection.path.resolve() for collection in collections]
    if twice := [path for i, path in enumerate(places) if path in places[:i]]:
        raise BiocosmosError(f"{twice[0]} was named twice: name each collection once")
    found, used = [], set[str]()
    for i, collection in enumerate(collections):
        names = [str(collection.path), collection.path.name, collection.path.stem, str(collection.path.resolve())]
        own = next((name for name in names if name in prefixes), "" if i and "" in prefixes else None)
        used |= set() if own is None else {own}
        found.append(Part(collection, collection.dataset, "" if own is None else prefixes[own]))
    if unknown := sorted(set(prefixes) - used):
        shown = ", ".join(str(collection.path) for collection in collections)
        raise BiocosmosError(f"--id-prefix: '{unknown[0]}' is none of {shown}")
    return found


@dataclass
class Doubles:
    """Specimens that several parts have: for each part, the places of the rows that are there in an earlier part already."""

    rows: list[set[int]]

    @property
    def count(self) -> int:
        """Rows that are left out."""
        return sum(map(len, self.rows))


def doubles(parts: Sequence[Part], failures: Failures, *, stage: str) -> Doubles:
    """Find the ids that several parts have, in eight bytes an id. Where the specimens are the same, the first stays.

    A column in which two such specimens differ all the same is told in a warning.
    Raises BiocosmosError, with ids and the remedy, where one id means two specimens.
    """
    hashed = [np.concatenate([np.empty(0, np.uint64), *(digests(ids.to_pylist()) for ids in part.ids())]) for part in parts]
    which = np.repeat(np.arange(len(parts)), [len(each) for each in hashed])
    place = np.concatenate([np.arange(len(each)) for each in hashed])
    every = np.concatenate(hashed)
    order = np.argsort(every, kind="stable")  # stable: within one digest the parts stand in their order
    same = np.flatnonzero(every[order][1:] == every[order][:-1]) + 1
    found = Doubles([set() for _ in parts])
    pairs: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for at in same:
        later = order[at]
        before = at - 1
        while before > 0 and every[order[before - 1]] == every[later]:
            before -= 1
        first = order[before]
        if which[first] != which[later]:
            pairs.setdefault((int(which[first]), int(which[later])), []).append((int(place[first]), int(place[later])))
    for (one, other), rows in pairs.items():
        for start in range(0, len(rows), LOOKED_AT):
            _compare(parts, one, other, rows[start : start + LOOKED_AT], found, failures, stage)
    return found


def _compare(
    parts: Sequence[Part], one: int, other: int, rows: list[tuple[int, int]], found: Doubles, failures: Failures, stage: str
) -> None:
    first, second = parts[one], parts[other]
    shared = [name for name in first.dataset.schema.names if name in second.dataset.schema.names]
    shared = [name for name in shared if name not in ("image", "image_path") and not name.startswith(EMBEDDING_PREFIX)]
    tables = []
    for side, part in enumerate((first, second)):
        table = part.dataset.take([row[side] for row in rows], columns=shared).combine_chunks()
        tables.append(table.set_column(table.column_names.index("id"), "id", part.prefixed(table["id"].combine_chunks())))
    mine, theirs = tables
    ids = mine["id"].to_pylist()
    equal = np.array([a == b for a, b in zip(ids, theirs["id"].to_pylist())], bool)
    differ = {
        name: distinct(mine[name].combine_chunks(), theirs[name].combine_chunks()) & equal for name in shared if name != "id"
    }
    clash = np.zeros(len(rows), bool)
    for name in SAME:
        clash |= differ.get(name, clash)
    if clash.any():
        named = ", ".join(repr(ids[i]) for i in np.flatnonzero(clash)[:SHOWN]) + (", ..." if clash.sum() > SHOWN else "")
        remedy = f"tell them apart with --id-prefix {second.collection.path}={second.collection.path.stem}-"
        raise BiocosmosError(
            f"{int(clash.sum()):,} ids mean other specimens in {first.name} and {second.name} ({named}): {remedy}"
        )
    for i in map(int, np.flatnonzero(equal)):
        found.rows[other].add(rows[i][1])
        others = [name for name, mask in differ.items() if mask[i]]
        if others:
            reason = f"{second.name} has the same specimen with another '{others[0]}': that of {first.name} was kept"
            failures.add(reason, stage=stage, id=ids[i], severity="warning")
