"""Provisional names ("Pardosa sp. 1", "Aus cf. bus", "Aus nr. bus") are no species: they are kept, and not judged as one."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from biocosmos.evaluate.numbers.targets import Array, Target
from biocosmos.specimens.readers.binomials import is_provisional
from biocosmos.taxonomy import Taxonomy
from biocosmos.taxonomy.scientific_names import is_open

SPECIES = ("species", "subspecies")
"""Ranks whose names are asked whether they are provisional."""


@lru_cache(maxsize=100_000)
def is_open_species(name: str) -> bool:
    """Whether a name at the rank of species leaves the species open.

    >>> is_open_species("Pardosa sp. 1"), is_open_species("Pardosa lugubris"), is_open_species("malaise4021")
    (True, False, True)
    """
    name = name.strip()
    if " " not in name and name[:1].islower():
        return is_open(name)  # an epithet by itself
    return is_provisional(None, name)


def without_provisional(target: Target) -> tuple[Target, Array]:
    """The target with provisional names taken for no name, and (taxa,) which those are; other ranks as they are."""
    if target.name not in SPECIES:
        return target, np.zeros(len(target), bool)
    provisional = np.array([is_open_species(str(name)) for name in target.names], bool)
    if not provisional.any():
        return target, provisional
    codes = np.append(np.where(provisional, -1, np.arange(len(target))), -1)
    return replace(target, query=codes[target.query], gallery=codes[target.gallery]), provisional


def lifted(taxonomy: Taxonomy, nodes: Array) -> Array:
    """Nodes (n,), those with a provisional name at the rank of species in favour of the taxon above them."""
    nodes = np.array(nodes, np.int64)
    for rank in reversed([name for name in taxonomy.ranks if name in SPECIES]):
        here = np.flatnonzero((nodes > 0) & (taxonomy.rank[np.maximum(nodes, 0)] == taxonomy.rank_index(rank)))
        provisional = np.array([is_open_species(str(name)) for name in taxonomy.names[nodes[here]]], bool)
        nodes[here[provisional]] = taxonomy.parent[nodes[here[provisional]]]
    return nodes
