"""Which genus is drawn as a tree, which of its specimens, and where they hang."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.barcode.distances import LEAST_OVERLAP, Measure, matrix
from biocosmos.evaluate.barcode.neighbour_joining import Tree, midpoint_rooted, neighbour_joining

Array = npt.NDArray[Any]
Row = dict[str, Any]
MOST_TIPS = 60
"""Tips of a tree: more cannot be read on a page."""
FEWEST_TIPS = 3
TREES = pa.schema(
    [
        *(("genus", pa.string()), ("path", pa.string()), ("tips", pa.int64()), ("specimens", pa.int64())),
        *(("not_drawn", pa.int64()), ("not_comparable", pa.int64()), ("measure", pa.string()), ("newick", pa.string())),
    ]
)
TIPS = pa.schema(
    [
        *(("genus", pa.string()), ("tip", pa.int64()), ("species", pa.string()), ("ids", pa.list_(pa.string()))),
        *(("queries", pa.int64()), ("parent", pa.int64()), ("length", pa.float64())),
    ]
)
"""A row a node of each tree: its tip, or null of an inner node; parent: the row of the node above, -1 of the root."""


@dataclass(frozen=True)
class Tip:
    """Specimens of one species with one barcode: their ids, and how many of them are queries."""

    species: str | None
    barcode: str
    ids: tuple[str, ...]
    queries: int


def tips_of(
    ids: Sequence[str], barcodes: Sequence[str], species: Sequence[str | None], query: Array, most: int = MOST_TIPS, seed: int = 0
) -> tuple[list[Tip], int]:
    """(at most ``most`` tips, species by species in the order of names; how many were left out).

    Every species has its first tip before any has a second; which ones is drawn by the seed, those with a query first.
    """
    held: dict[tuple[str, str], list[int]] = {}
    for place, (name, text) in enumerate(zip(species, barcodes)):
        held.setdefault((name or "", text), []).append(place)
    tips = [
        Tip(name or None, text, tuple(ids[i] for i in places), int(query[places].sum())) for (name, text), places in held.items()
    ]
    order = np.random.default_rng(seed).permutation(len(tips)).tolist()
    order.sort(key=lambda i: tips[i].queries == 0)
    turn: Counter[str] = Counter()
    ranked: list[tuple[int, int, int]] = []
    for i in order:
        name = tips[i].species or ""
        ranked.append((turn[name], len(ranked), i))
        turn[name] += 1
    chosen = sorted((i for _, _, i in sorted(ranked)[:most]), key=lambda i: (tips[i].species or "~", tips[i].ids))
    return [tips[i] for i in chosen], len(tips) - len(chosen)


def tree_of(tips: Sequence[Tip], measure: Measure, least: int = LEAST_OVERLAP) -> tuple[Tree, list[Tip], int]:
    """(the tree rooted at its middle, its tips, how many were left out since they could not be compared with all others).

    Raises BiocosmosError where under :data:`FEWEST_TIPS` are left.
    """
    distances = matrix([tip.barcode for tip in tips], measure, least)
    kept = np.arange(len(tips))
    while len(kept) and (missing := np.isnan(distances[np.ix_(kept, kept)]).sum(axis=1)).any():
        kept = np.delete(kept, int(missing.argmax()))
    if len(kept) < FEWEST_TIPS:
        raise BiocosmosError(f"{len(kept)} different barcodes can be compared with each other, and a tree needs {FEWEST_TIPS}")
    tree = midpoint_rooted(neighbour_joining(distances[np.ix_(kept, kept)]))
    return tree, [tips[int(i)] for i in kept], len(tips) - len(kept)


def tree_rows(genus: str, path: str, tree: Tree, tips: Sequence[Tip], facts: Mapping[str, Any]) -> tuple[Row, list[Row]]:
    """The row of the tree with its Newick text, and the rows of its nodes."""
    names = [f"{tip.species or 'no species'}|{tip.ids[0]}" + (f"|{len(tip.ids)}" if len(tip.ids) > 1 else "") for tip in tips]
    nodes = [
        {"genus": genus, "parent": int(parent), "length": float(length)}
        | ({"tip": i, "species": tips[i].species, "ids": list(tips[i].ids), "queries": tips[i].queries} if i < len(tips) else {})
        for i, (parent, length) in enumerate(zip(tree.parent, tree.length))
    ]
    about = {"genus": genus, "path": path, "tips": len(tips), "specimens": sum(len(tip.ids) for tip in tips)}
    return {**about, **facts, "newick": tree.newick(names)}, nodes


def most_confused(pairs: Sequence[Mapping[str, Any]]) -> str | None:
    """The path of the parent with the most confusions of sisters, the first in order of names of equal ones; None without any."""
    counts: Counter[str] = Counter()
    for row in pairs:
        if row["siblings"] and " / " in row["true_path"]:
            counts[row["true_path"].rpartition(" / ")[0]] += row["count"]
    return min(counts, key=lambda path: (-counts[path], path)) if counts else None
