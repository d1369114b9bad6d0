"""Ranks of a lineage that has none: the endings that the codes of nomenclature prescribe, and nothing else.

GenBank's lineages are names without ranks. The endings of names of the family group are binding for animals (ICZN 29.2), those
up to the order for plants, algae and fungi (ICN 16 to 19); what has no such ending is left open.
"""

from __future__ import annotations

from collections.abc import Sequence

ANIMALS = (("oidea", "superfamily"), ("idae", "family"), ("inae", "subfamily"), ("ini", "tribe"))
PLANTS_AND_FUNGI = (("ales", "order"), ("aceae", "family"), ("oideae", "subfamily"), ("eae", "tribe"))
KINGDOMS = {"Metazoa": ANIMALS, "Viridiplantae": PLANTS_AND_FUNGI, "Fungi": PLANTS_AND_FUNGI, "Rhodophyta": PLANTS_AND_FUNGI}
KINGDOMS |= {"Phaeophyceae": PLANTS_AND_FUNGI}


def ranks_of_lineage(lineage: Sequence[str]) -> dict[str, str]:
    """Rank -> name of the names of a lineage, coarse to fine, whose ending says their rank for certain.

    >>> ranks_of_lineage(["Eukaryota", "Metazoa", "Arthropoda", "Insecta", "Culicoidea", "Culicidae", "Culicini", "Culex"])
    {'superfamily': 'Culicoidea', 'family': 'Culicidae', 'tribe': 'Culicini'}
    """
    kingdom = next((name for name in lineage if name in KINGDOMS), None)
    if kingdom is None:
        return {}
    found: dict[str, str] = {}
    below = list(lineage)[list(lineage).index(kingdom) + 1 :]
    for name in below:
        if not name[:1].isupper() or not name.isalpha():
            continue
        rank = next((rank for ending, rank in KINGDOMS[kingdom] if name.endswith(ending)), None)
        # a tribe's and a superfamily's ending are also those of genera (Rhini) and of orders: only around a family
        if (rank == "tribe" and "family" not in found) or rank is None:
            continue
        found.setdefault(rank, name)
    if "family" not in found:
        found.pop("superfamily", None)
    return found


__all__ = ["ranks_of_lineage"]
