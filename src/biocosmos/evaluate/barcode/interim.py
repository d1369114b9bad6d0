"""Interim names ("Pardosa sp. 1", "Aus cf. bus", "Aus nr. bus") are no species: they are kept, and not judged as one."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from biocosmos.evaluate.numbers.targets import Array, Target
from biocosmos.taxonomy import Taxonomy
from biocosmos.taxonomy.scientific_names import is_open, parse

SPECIES = ("species", "subspecies")
"""Ranks whose names are asked whether they are interim."""


@lru_cache(maxsize=100_000)
def is_interim(name: str) -> bool:
    """Whether a name at the rank of species leaves the species open.

    >>> is_interim("Pardosa sp. 1"), is_interim("Pardosa lugubris"), is_interim("lugubris"), is_interim("malaise4021")
    (True, False, False, True)
    """
    name = name.strip()
    if " " not in name and name[:1].islower():
        return is_open(name)  # an epithet by itself
    return parse(name).kind in ("open", "code")


def without_interim(target: Target) -> tuple[Target, Array]:
    """The target with interim names taken for no name, and (taxa,) which those are; other ranks as they are."""
    if target.name not in SPECIES:
        return target, np.zeros(len(target), bool)
    interim = np.array([is_interim(str(name)) for name in target.names], bool)
    if not interim.any():
        return target, interim
    codes = np.append(np.where(interim, -1, np.arange(len(target))), -1)
    return replace(target, query=codes[target.query], gallery=codes[target.gallery]), interim


def lifted(taxonomy: Taxonomy, nodes: Array) -> Array:
    """Nodes (n,), those with an interim name at the rank of species in favour of the taxon above them."""
    nodes = np.array(nodes, np.int64)
    for rank in reversed([name for name in taxonomy.ranks if name in SPECIES]):
        here = np.flatnonzero((nodes > 0) & (taxonomy.rank[np.maximum(nodes, 0)] == taxonomy.rank_index(rank)))
        interim = np.array([is_interim(str(name)) for name in taxonomy.names[nodes[here]]], bool)
        nodes[here[interim]] = taxonomy.parent[nodes[here[interim]]]
    return nodes
