"""Names by the neighbour rules of identify, ranked per rank: the second protocol's "best individual" and "class mean"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from biocosmos.errors import BiocosmosError
from biocosmos.evaluate.metrics import places
from biocosmos.evaluate.tallies import Tally
from biocosmos.evaluate.targets import Target
from biocosmos.identify.rules import RULES, NeighbourRule
from biocosmos.identify.scorer import query_chunk
from biocosmos.search.gallery import Gallery

Array = npt.NDArray[Any]


def ruled_tallies(gallery: Gallery, queries: Gallery, rules: Sequence[str], targets: Sequence[Target], k: int) -> list[Tally]:
    """One tally per target and rule: the place of the right taxon among the taxa that the rule ranks, from 0 (k: not among k).

    targets: ranks. At each, classes are its taxa, made of the gallery rows that have a name there.
    Raises BiocosmosError on an unknown rule.
    """
    unknown = [rule for rule in rules if rule not in RULES]
    if unknown:
        raise BiocosmosError(f"unknown rule {unknown[0]!r}: use {', '.join(RULES)}")
    tallies = []
    for target in targets:
        named = target.gallery >= 0
        # Taxa of one rank are disjoint ranges of the depth-first order, so the codes of the named rows ascend.
        codes = target.gallery[named].astype(np.int32)
        vectors = gallery.vectors if named.all() else gallery.vectors[named]
        answerable = target.answerable(all_vs_all=False)
        for rule in rules:
            first = _first(NeighbourRule(rule, vectors, codes), queries.vectors, target, k) if len(codes) else None
            tallies.append(Tally(target, np.full(len(queries), k) if first is None else first, answerable, rule))
    return tallies


def _first(rule: NeighbourRule, vectors: Array, target: Target, k: int) -> Array:
    """Place of the right class among the k best; classes with equal scores in taxonomy order."""
    first = np.empty(len(vectors), dtype=np.int64)
    block = query_chunk(len(rule.candidates))
    k_here = min(k, len(rule.candidates))
    for start in range(0, len(vectors), block):
        part = slice(start, min(start + block, len(vectors)))
        ranked = np.argsort(-rule.scores(vectors[part]), axis=1, kind="stable")[:, :k_here]
        asked = target.query[part, None]
        found = places((rule.candidates[ranked] == asked) & (asked >= 0))
        first[part] = np.where(found == k_here, k, found)
    return first
