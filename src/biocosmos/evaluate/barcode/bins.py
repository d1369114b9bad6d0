"""Do BINs and species name the same specimens? Match, split, merge or mixture of each species."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

Row = dict[str, Any]
MATCH, SPLIT, MERGE, MIXTURE = "match", "split", "merge", "mixture"
KINDS = (MATCH, SPLIT, MERGE, MIXTURE)
CONCORDANCE = pa.schema(
    [
        *(("species", pa.string()), ("path", pa.string()), ("concordance", pa.string()), ("specimens", pa.int64())),
        *(("bins", pa.list_(pa.string())), ("shared_with", pa.list_(pa.string()))),
    ]
)


def concordance(species: Sequence[str | None], bins: Sequence[str | None]) -> list[Row]:
    """One row a species that has a specimen with a BIN, in the order of names.

    species, bins: (n,) of each specimen, None or "" for none; specimens without one of the two are left out. A species is a
    match: all its specimens are in one BIN, which holds no other species; a split: in several, none of which holds another; a
    merge: in one, which holds others too; a mixture: in several, at least one of which holds others (the categories of
    Ratnasingham and Hebert 2013, https://doi.org/10.1371/journal.pone.0066213, each species judged by its own specimens).
    """
    held: dict[str, Counter[str]] = defaultdict(Counter)
    members: dict[str, set[str]] = defaultdict(set)
    for name, number in zip(species, bins):
        if name and number:
            held[name][number] += 1
            members[number].add(name)
    rows = []
    for name in sorted(held):
        mine = held[name]
        others = sorted(set().union(*(members[number] for number in mine)) - {name})
        kind = (MIXTURE if others else SPLIT) if len(mine) > 1 else (MERGE if others else MATCH)
        rows.append(
            {"species": name, "concordance": kind, "specimens": sum(mine.values())}
            | {"bins": [number for number, _ in mine.most_common()], "shared_with": others}
        )
    return rows
