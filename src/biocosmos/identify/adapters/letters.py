"""Ranks as the letters of SINTAX headers, and taxa as names that such a header can hold.

R. Edgar: SINTAX, a simple non-Bayesian taxonomy classifier for 16S and ITS sequences, bioRxiv 2016, doi:10.1101/074161. A header
is ``>id;tax=d:..,p:..,c:..,o:..,f:..,g:..,s:..``; vsearch knows the letters d k p c o f g s t.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from biocosmos.errors import BiocosmosError
from biocosmos.taxonomy import Taxonomy

LETTERS = {
    "domain": "d",
    "superkingdom": "d",
    "kingdom": "k",
    "phylum": "p",
    "class": "c",
    "order": "o",
    "family": "f",
    "genus": "g",
    "species": "s",
    "label": "t",
    "subspecies": "t",
}
_UNSAFE = re.compile(r"[^\w.-]+", re.ASCII)


def lettered(ranks: Sequence[str]) -> dict[str, str]:
    """letter -> rank, coarsest first, of the ranks that have one; of two ranks with one letter the coarser has it.

    Raises BiocosmosError where no rank has a letter: SINTAX cannot be told of such a tree.
    """
    found: dict[str, str] = {}
    for rank in ranks:
        if rank in LETTERS and LETTERS[rank] not in found:
            found[LETTERS[rank]] = rank
    if not found:
        raise BiocosmosError(f"SINTAX knows the ranks {', '.join(LETTERS)}, and this collection has {', '.join(ranks) or 'none'}")
    return found


class Headers:
    """Headers of a reference of a taxonomy: every taxon as its name, made safe, with its number in the tree behind it, so that
    homonyms and names with a comma or a bracket come back as what they were."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._taxonomy, self.letters = taxonomy, lettered(taxonomy.ranks)
        self._ranks = [(letter, taxonomy.rank_index(rank)) for letter, rank in self.letters.items()]

    def tax(self, node: int) -> str:
        """The ``tax=`` of a specimen of a taxon: d:Animalia|1,p:Arthropoda|2; without the ranks that are null above it; "" for a
        taxon without any rank that has a letter."""
        line = self._taxonomy.lineage(np.array([node]))[0]
        return ",".join(f"{letter}:{self._name(int(line[i]))}" for letter, i in self._ranks if line[i] >= 0)

    def node(self, name: str) -> int | None:
        """The taxon that a name of :meth:`tax` stands for; None where it is none of ours."""
        _, bar, number = name.rpartition("|")
        if not bar or not number.isdecimal() or not 0 < int(number) < len(self._taxonomy):
            return None
        return int(number) if self._name(int(number)) == name else None

    def _name(self, node: int) -> str:
        return f"{_UNSAFE.sub('_', str(self._taxonomy.names[node]))}|{node}"
